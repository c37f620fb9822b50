//! Measures the time from a command's arrival to the first answer.
//!
//! Invariant: the number of waiting commands is bounded, so commands that are never answered do not fill the memory.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::metric::Label;
use crate::store::InboxKey;

/// The maximum number of waiting commands.
const MOST: usize = 4_096;
/// Entries older than this are removed when the map is full.
const OLD: Duration = Duration::from_secs(60);

/// The commands that have no answer yet.
#[derive(Default)]
pub(crate) struct FirstAnswers(Mutex<HashMap<String, Waiting>>);

struct Waiting {
    since: Instant,
    // The other key of the same command: a command has its message's key and its job's id.
    other_key: Option<String>,
}

impl FirstAnswers {
    /// Records the arrival of a command. The time to its first response is measured from here.
    pub(crate) fn arrived(&self, key: &InboxKey) {
        let mut waiting = self.waiting();
        if waiting.len() >= MOST {
            waiting.retain(|_, one| one.since.elapsed() < OLD);
        }
        if waiting.len() < MOST {
            waiting.insert(name(key), Waiting { since: Instant::now(), other_key: None });
        }
    }

    /// Links a command to its job: a message of the job is an answer too.
    pub(crate) fn became_job(&self, key: &InboxKey, job: &str) {
        let mut waiting = self.waiting();
        let name = name(key);
        let Some(one) = waiting.get_mut(&name) else { return };
        one.other_key = Some(job.to_owned());
        let since = one.since;
        waiting.insert(job.to_owned(), Waiting { since, other_key: Some(name) });
    }

    /// Removes a command that gets no answer.
    pub(crate) fn forget(&self, key: &InboxKey) {
        self.waiting().remove(&name(key));
    }

    /// Records the first answer, if the outbox key belongs to a waiting command.
    pub(crate) fn sent(&self, network: &'static str, key: &str) {
        // The last part of an outbox key is the purpose of the message.
        let Some((about, _)) = key.rsplit_once('/') else { return };
        let mut waiting = self.waiting();
        let Some(one) = waiting.remove(about) else { return };
        if let Some(other_key) = one.other_key {
            waiting.remove(&other_key);
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

/// The common prefix of the outbox keys of a message's answers.
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
    fn an_answer_by_message_or_by_job_ends_the_wait() {
        let answers = FirstAnswers::default();
        for sent in ["ops/1/a/👀", "7f3ak/card"] {
            answers.arrived(&key("a"));
            answers.became_job(&key("a"), "7f3ak");
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
    fn unanswered_commands_do_not_fill_the_memory() {
        let answers = FirstAnswers::default();
        for number in 0..2 * MOST {
            answers.arrived(&key(&number.to_string()));
        }
        assert_eq!(answers.waiting().len(), MOST);
    }
}
