//! Measures the time from the arrival of a command to the first reply in the command's room.
//!
//! Invariant: the number of commands that wait for a reply is limited, so that commands without a reply cannot use
//! unlimited memory.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::store::InboxKey;

/// The maximum number of keys in [`FirstAnswers`]. Each command without a reply has one key, and a second key if the
/// command created a job. At the maximum, new commands are not measured.
const MAX_WAITING: usize = 4_096;
/// When [`FirstAnswers`] is full, it drops each command that has had no reply for this time.
const MAX_AGE: Duration = Duration::from_secs(60);

/// The commands that have no reply yet. Each command is stored under the key of its message. A command that created a
/// job is also stored under the id of the job.
#[derive(Default)]
pub(crate) struct FirstAnswers(Mutex<HashMap<String, Waiting>>);

struct Waiting {
    since: Instant,
    // The command's other key in the map: the job id in the entry under the message key, and the message key in the
    // entry under the job id.
    other_key: Option<String>,
}

impl FirstAnswers {
    /// Starts the measurement for the command in the message with this inbox key.
    pub(crate) fn arrived(&self, key: &InboxKey) {
        let mut waiting = self.0.lock();
        if waiting.len() >= MAX_WAITING {
            waiting.retain(|_, one| one.since.elapsed() < MAX_AGE);
        }
        if waiting.len() < MAX_WAITING {
            waiting.insert(name(key), Waiting { since: Instant::now(), other_key: None });
        }
    }

    /// Links a command to the job that it created, so that a message of the job counts as a reply to the command.
    pub(crate) fn link_job(&self, key: &InboxKey, job: &str) {
        let mut waiting = self.0.lock();
        let name = name(key);
        let Some(one) = waiting.get_mut(&name) else { return };
        one.other_key = Some(job.to_owned());
        let since = one.since;
        waiting.insert(job.to_owned(), Waiting { since, other_key: Some(name) });
    }

    /// Discards the measurement of a command that gets no reply.
    pub(crate) fn discard(&self, key: &InboxKey) {
        self.0.lock().remove(&name(key));
    }

    /// Handles a sent message with the outbox key `key`. If the message is the first reply to a command, records the
    /// time from the arrival of the command until now.
    pub(crate) fn sent(&self, network: &'static str, key: &str) {
        // The last part of an outbox key is the purpose of the message.
        let Some((about, _)) = key.rsplit_once('/') else { return };
        let mut waiting = self.0.lock();
        let Some(one) = waiting.remove(about) else { return };
        if let Some(other_key) = one.other_key {
            waiting.remove(&other_key);
        }
        drop(waiting);
        super::table::FIRST_ANSWER.seconds([("network", network.into())]).record(one.since.elapsed().as_secs_f64());
    }
}

/// Returns the key of a command in [`FirstAnswers`]. The outbox key of each reply to the command begins with this text.
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
            answers.link_job(&key("a"), "7f3ak");
            assert_eq!(answers.0.lock().len(), 2);
            answers.sent("memory", "ops/1/b/👀");
            answers.sent("memory", "nothing");
            assert_eq!(answers.0.lock().len(), 2);
            answers.sent("memory", sent);
            assert!(answers.0.lock().is_empty(), "{sent}");
        }
        answers.arrived(&key("c"));
        answers.discard(&key("c"));
        assert!(answers.0.lock().is_empty());
    }

    #[test]
    fn unanswered_commands_do_not_fill_the_memory() {
        let answers = FirstAnswers::default();
        for number in 0..2 * MAX_WAITING {
            answers.arrived(&key(&number.to_string()));
        }
        assert_eq!(answers.0.lock().len(), MAX_WAITING);
    }
}
