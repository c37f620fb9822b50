//! How long somebody waits for the first sign that they were heard.
//!
//! Invariant: what is never answered is forgotten, so this holds little memory whatever is typed.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::metric::Label;
use crate::store::InboxKey;

/// No more are waited for at a time than these.
const MOST: usize = 4_096;
/// What is older than this makes way for others.
const OLD: Duration = Duration::from_secs(60);

/// The commands that nothing was said to yet.
#[derive(Default)]
pub(crate) struct FirstAnswers(Mutex<HashMap<String, Waiting>>);

struct Waiting {
    since: Instant,
    // The other name that the same command goes by.
    twin: Option<String>,
}

impl FirstAnswers {
    /// A command came in.
    pub(crate) fn arrived(&self, key: &InboxKey) {
        let mut waiting = self.waiting();
        if waiting.len() >= MOST {
            waiting.retain(|_, one| one.since.elapsed() < OLD);
        }
        if waiting.len() < MOST {
            waiting.insert(name(key), Waiting { since: Instant::now(), twin: None });
        }
    }

    /// It became a job: what is said of the job answers it too.
    pub(crate) fn became(&self, key: &InboxKey, job: &str) {
        let mut waiting = self.waiting();
        let name = name(key);
        let Some(one) = waiting.get_mut(&name) else { return };
        one.twin = Some(job.to_owned());
        let since = one.since;
        waiting.insert(job.to_owned(), Waiting { since, twin: Some(name) });
    }

    /// It is not answered.
    pub(crate) fn forget(&self, key: &InboxKey) {
        self.waiting().remove(&name(key));
    }

    /// Something was sent under a key of the outbox.
    pub(crate) fn sent(&self, network: &'static str, key: &str) {
        // The last part of a key is its purpose.
        let Some((about, _)) = key.rsplit_once('/') else { return };
        let mut waiting = self.waiting();
        let Some(one) = waiting.remove(about) else { return };
        if let Some(twin) = one.twin {
            waiting.remove(&twin);
        }
        drop(waiting);
        super::table::FIRST_ANSWER
            .seconds([(Label::Network, network.into())])
            .record(one.since.elapsed().as_secs_f64());
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the keys of a message's answers begin with.
fn name(key: &InboxKey) -> String {
    format!("{}/{}", key.room, key.event)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(event: &str) -> InboxKey {
        InboxKey { network: "memory".into(), room: "ops/1".into(), event: event.into() }
    }

    #[test]
    fn the_first_answer_ends_the_wait_by_either_name() {
        let answers = FirstAnswers::default();
        for sent in ["ops/1/a/👀", "7f3ak/card"] {
            answers.arrived(&key("a"));
            answers.became(&key("a"), "7f3ak");
            assert_eq!(answers.waiting().len(), 2);
            answers.sent("memory", "ops/1/b/👀");
            answers.sent("memory", "nothing");
            assert_eq!(answers.waiting().len(), 2);
            answers.sent("memory", sent);
            assert!(answers.waiting().is_empty(), "{sent}");
        }
        answers.arrived(&key("c"));
        answers.forget(&key("c"));
        assert!(answers.waiting().is_empty());
    }

    #[test]
    fn what_is_never_answered_fills_no_memory() {
        let answers = FirstAnswers::default();
        for number in 0..2 * MOST {
            answers.arrived(&key(&number.to_string()));
        }
        assert_eq!(answers.waiting().len(), MOST);
    }
}
