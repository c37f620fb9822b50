//! Tracks whether the host is idle: no message is being handled, no job is running, nothing is being sent.

use std::sync::Arc;

use tokio::sync::watch;

/// Counts running activities.
#[derive(Debug, Clone)]
pub(crate) struct Activity(Arc<watch::Sender<usize>>);

/// A running activity. It ends when the last clone is dropped.
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

impl Default for Activity {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Activity {
    /// Starts an activity.
    pub(crate) fn begin(&self) -> ActivityGuard {
        self.0.send_modify(|count| *count += 1);
        ActivityGuard { _token: Arc::new(Token(self.0.clone())) }
    }

    /// Waits until no activity is running.
    pub(crate) async fn until_idle(&self) {
        let mut count = self.0.subscribe();
        // Cannot fail: the sender lives as long as `self`.
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
