//! Turns for reading output: the runs of a backend read their output one after the other, at a minimum interval, so that
//! many runs do not add up to many requests.

use std::time::Duration;

use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

/// Gives one reader at a time a turn, in the order of their requests, at a minimum interval.
#[derive(Debug)]
pub(crate) struct LogTurns {
    interval: Duration,
    next: Mutex<Option<Instant>>,
}

impl LogTurns {
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, next: Mutex::new(None) }
    }

    /// Waits for a turn.
    pub(crate) async fn wait(&self) {
        let mut next = self.next.lock().await;
        if let Some(next) = *next {
            sleep_until(next).await;
        }
        *next = Some(Instant::now() + self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_have_an_interval() {
        let (turns, began) = (LogTurns::new(Duration::from_millis(20)), Instant::now());
        for _ in 0..4 {
            turns.wait().await;
        }
        assert!(began.elapsed() >= Duration::from_millis(60), "{:?}", began.elapsed());
    }
}
