//! Commands about a job that need no prefix: `approve`, `deny`, `cancel` and `job again` in the thread of the job, or as
//! a reply to a message of the job.
//!
//! Invariant: only a message in the thread of a job, or a reply to a message of the bot about a job, is such a command,
//! and only in a room whose relations the host can trust.

use crate::{
    adapter::Incoming,
    model::{is_job_id, parse_job_argument},
    store::{JobQuery, Store, StoreError},
};

/// Returns the command of a message that is in a thread or is a reply. Returns `None` for other messages, and for words
/// that are not such a command, so that people can talk about a job in its thread.
pub(super) fn command(message: &Incoming) -> Option<&str> {
    let line = message.text.trim();
    let is_related = message.thread.is_some() || message.reply_to.is_some();
    (is_related && is_about_job(line)).then_some(line)
}

/// Returns whether a line is a command about a job that is open in a thread.
pub(super) fn is_about_job(line: &str) -> bool {
    let words: Vec<String> = line.split_whitespace().map(str::to_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let is_id = |word: &str| is_job_id(parse_job_argument(word).0);
    match words.as_slice() {
        ["deny", ..] | ["approve" | "cancel"] => true,
        ["approve" | "cancel", id] => is_id(id),
        ["job", "again"] | ["job", "assume", "done"] => true,
        ["job", id, "again"] | ["job", id, "assume", "done"] => is_id(id),
        _ => false,
    }
}

/// Returns the thread of the job that a message is about: the thread of the message, if a job has this thread, or the
/// thread of the job to whose message the message replies. The value is `None` if the message is about no job.
pub(super) async fn thread_of_job(
    store: &dyn Store,
    network: &str,
    room: &str,
    message: &Incoming,
) -> Result<Option<String>, StoreError> {
    if let Some(thread) = &message.thread {
        let query = JobQuery {
            thread: Some((network.to_owned(), room.to_owned(), thread.clone())),
            limit: Some(1),
            ..JobQuery::default()
        };
        if !store.jobs(&query).await?.is_empty() {
            return Ok(Some(thread.clone()));
        }
    }
    // The root of the thread, or the message that is replied to, can be a message of the bot about a job.
    let Some(on) = message.thread.as_ref().or(message.reply_to.as_ref()) else { return Ok(None) };
    let Some(key) = store.key_of_event(network, on).await? else { return Ok(None) };
    let Some((job, _)) = key.split_once('/').filter(|(job, _)| is_job_id(job)) else { return Ok(None) };
    let Some(job) = store.job(job).await? else { return Ok(None) };
    let is_here = job.inbox.network == network && job.inbox.room == room;
    // The message of an approval request can be the root of a thread of its own.
    Ok(Some(message.thread.clone().or(job.thread.filter(|_| is_here)).unwrap_or_else(|| on.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Person;

    fn read(text: &str) -> Option<String> {
        let sender = Person::named_by_id("@bob:x");
        let mut message = Incoming::new("$1", sender, text, jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(command(&message), None, "`{text}` outside of a thread");
        message.reply_to = Some("$0".to_owned());
        let reply = command(&message).map(str::to_owned);
        (message.reply_to, message.thread) = (None, Some("$0".to_owned()));
        assert_eq!(command(&message).map(str::to_owned), reply);
        reply
    }

    #[test]
    fn commands_about_a_job_need_no_prefix_in_a_thread_or_a_reply() {
        for line in [
            "approve",
            "Approve 7f3ak",
            "approve 7f3ak-2",
            "deny",
            "deny not on Friday",
            "deny 7f3ak don't",
            "cancel",
            "cancel 7f3ak",
            "job again",
            "job 7f3ak again",
            "job 7f3ak assume done",
        ] {
            assert_eq!(read(line).as_deref(), Some(line));
        }
    }

    #[test]
    fn talk_about_a_job_is_not_a_command() {
        for line in
            ["approve of this", "I approve", "cancel that please", "job done", "deploy cms staging 1.0.2", "jobs", ""]
        {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
