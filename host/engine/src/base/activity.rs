//! Whether anything is at work: a message being handled, a job, words on their way.

use std::sync::Arc;

use tokio::sync::watch;

/// Counts what is at work.
#[derive(Debug, Clone)]
pub struct Activity(Arc<watch::Sender<usize>>);

/// Something is at work as long as one of these lives.
#[derive(Debug, Clone)]
pub struct AtWork {
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
    /// Something begins.
    pub fn begin(&self) -> AtWork {
        self.0.send_modify(|count| *count += 1);
        AtWork { _token: Arc::new(Token(self.0.clone())) }
    }

    /// Waits until nothing is at work.
    pub async fn rest(&self) {
        let mut count = self.0.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let _ = count.wait_for(|count| *count == 0).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rest_is_when_the_last_clone_is_gone() {
        let activity = Activity::default();
        activity.rest().await;
        let first = activity.begin();
        let second = first.clone();
        drop(first);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), activity.rest()).await.is_err());
        drop(second);
        activity.rest().await;
    }
}
