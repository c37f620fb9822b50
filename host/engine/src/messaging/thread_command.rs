//! Commands about a job that need no prefix: `approve`, `deny`, `cancel` and `job again` in the thread of the job, or as
//! a reply to a message of the job.
//!
//! Invariant: only a message in the thread of a job, or a reply to a message of the bot about a job, is such a command,
//! and only in a room whose relations the host can trust.

use super::inbox::may_have_unsent_request;
use crate::{
    adapter::Incoming,
    job::approval_text,
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

/// Returns the line of a command about the job to which a message relates, and the thread for the answer. If the message
/// replies to a message about a job, the line names this job. Returns `None` if the message relates to no job of the bot.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Unavailable`] also if the message may relate to an approval message whose event id is
/// not stored yet.
pub(super) async fn resolve(
    store: &dyn Store,
    bot: &str,
    (network, room): (&str, &str),
    message: &Incoming,
    line: &str,
) -> Result<Option<(String, Option<String>)>, StoreError> {
    if let Some(thread) = &message.thread {
        let of_thread = Some((network.to_owned(), room.to_owned(), thread.clone()));
        let query = JobQuery { thread: of_thread, limit: Some(1), ..JobQuery::default() };
        if store.jobs(&query).await?.iter().any(|job| job.bot == bot) {
            return Ok(Some((line.to_owned(), Some(thread.clone()))));
        }
    }
    // The root of the thread, or the message that is replied to, can be a message of the bot about a job.
    let Some(on) = message.thread.as_ref().or(message.reply_to.as_ref()) else { return Ok(None) };
    let Some(key) = store.key_of_event(network, on).await? else {
        return match may_have_unsent_request(store, network).await? {
            true => Err(StoreError::Unavailable("an approval request is still being sent".to_owned())),
            false => Ok(None),
        };
    };
    let Some((id, _)) = key.split_once('/').filter(|(id, _)| is_job_id(id)) else { return Ok(None) };
    let Some(job) = store.job(id).await?.filter(|job| job.bot == bot && job.inbox.network == network) else {
        return Ok(None);
    };
    let (is_here, ask) = (job.inbox.room == room, approval_text::parse_key(&key));
    let handle = match ask {
        Some((id, ask)) => approval_text::argument(id, ask),
        None if is_here => job.id.clone(),
        None => return Ok(None),
    };
    Ok(Some((with_id(line, &handle), message.thread.clone().or(job.thread.filter(|_| is_here)))))
}

/// Adds the id of a job to a command about a job, if the command has none.
fn with_id(line: &str, id: &str) -> String {
    let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let first = rest.split_whitespace().next().unwrap_or_default();
    if is_job_id(parse_job_argument(first).0) {
        return line.to_owned();
    }
    // A command of two words such as `job again` takes only the id of the job, and not the number of a request.
    let id = if command.eq_ignore_ascii_case("approve") || command.eq_ignore_ascii_case("deny") {
        id
    } else {
        parse_job_argument(id).0
    };
    format!("{command} {id} {rest}").trim_end().to_owned()
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
    fn a_command_in_a_reply_names_the_job_of_the_message() {
        for (line, with) in [
            ("approve", "approve 7f3ak-2"),
            ("deny not on Friday", "deny 7f3ak-2 not on Friday"),
            ("Deny 8c2kd no", "Deny 8c2kd no"),
            ("cancel", "cancel 7f3ak"),
            ("job again", "job 7f3ak again"),
            ("job 8c2kd again", "job 8c2kd again"),
        ] {
            assert_eq!(with_id(line, "7f3ak-2"), with);
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
