//! Counts the activities of the host: messages that it handles, jobs that it runs and messages that it sends. The host
//! is idle if the count is zero.

use std::sync::Arc;

use tokio::sync::watch;

/// A counter of the host's current activities, for example of the messages that it is handling. All clones share the
/// same count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Activity(Arc<watch::Sender<usize>>);

/// A guard for one activity. The activity ends when the last clone of the guard is dropped.
#[derive(Debug, Clone)]
pub(crate) struct ActivityGuard {
    _token: Arc<Token>,
}

#[derive(Debug)]
struct Token(Arc<watch::Sender<usize>>);

impl Drop for Token {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Activity {
    pub(crate) fn begin(&self) -> ActivityGuard {
        self.0.send_modify(|count| *count += 1);
        ActivityGuard { _token: Arc::new(Token(self.0.clone())) }
    }

    pub(crate) async fn until_idle(&self) {
        let mut count = self.0.subscribe();
        // `wait_for` cannot fail, because the sender lives as long as `self`.
        let _ = count.wait_for(|count| *count == 0).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn idle_when_the_last_clone_is_dropped() {
        let activity = Activity::default();
        activity.until_idle().await;
        let first = activity.begin();
        let second = first.clone();
        drop(first);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), activity.until_idle()).await.is_err());
        drop(second);
        activity.until_idle().await;
    }
}
