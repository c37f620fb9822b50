//! Creates a job: its id, its row and its first journal entry.

use serde_json::json;

use super::{context::Context, invocation::Plugin};
use crate::{
    command::Value,
    job::{GuestArgument, GuestInvocation, GuestValue, ShownIn, StartEntry, entry},
    model::Limits,
    policy::Request,
    store::{Entry, EntryKind, JobRow, JobStatus},
};

/// The row and the first entry (number 0) of a new job. The caller is the sender of the message. `parent` is the job
/// that schedules this one; `shown` is a second room in which it is announced.
pub(crate) fn opening(
    context: &Context,
    plugin: &Plugin,
    (settings, limits): (Vec<(String, String)>, Limits),
    request: &Request,
    parent: Option<&JobRow>,
    shown: Option<ShownIn>,
    status: JobStatus,
) -> (JobRow, Entry) {
    let message = request.message();
    let command = request.command();
    // 1. The row.
    let row = JobRow {
        id: draw_id(),
        inbox: message.key.clone(),
        thread: parent.map_or_else(|| context.outbox.thread(message), |parent| parent.thread.clone()),
        bot: context.access.bots.get(&message.bot).map_or_else(|| message.bot.clone(), |bot| bot.name.clone()),
        caller: message.sender.clone(),
        plugin: plugin.name.to_string(),
        digest: plugin.digest.clone(),
        command: command.spec().name.clone(),
        app: command.app().map(str::to_owned),
        environment: command.environment().map(str::to_owned),
        line: crate::base::clean(command.line()),
        parent: parent.map(|parent| parent.id.clone()),
        overrides: command.override_reason().map(crate::base::clean),
        opened: context.clock.now(),
        status,
        end: None,
    };
    // 2. The first entry, with everything that a replay of the guest needs.
    let begun = StartEntry {
        invocation: asked(request, &row.id),
        line: row.line.clone(),
        digest: row.digest.clone(),
        settings,
        limits,
        options: command.options().clone(),
        direct: message.direct,
        shown,
    };
    let entry = entry(&row, EntryKind::Invocation, json!(begun), row.opened);
    (row, entry)
}

/// The invocation that the guest receives.
pub(crate) fn asked(request: &Request, job: &str) -> GuestInvocation {
    let value = |value: &Value| match value {
        Value::Text(text) => GuestValue::Text(text.clone()),
        Value::Integer(number) => GuestValue::Integer(*number),
        Value::Boolean(yes) => GuestValue::Boolean(*yes),
    };
    let arguments = request.command().arguments();
    GuestInvocation {
        job: job.to_owned(),
        command: request.command().spec().name.clone(),
        arguments: arguments
            .map(|(parameter, given)| GuestArgument { name: parameter.name.clone(), value: value(given) })
            .collect(),
        caller: request.caller().clone(),
    }
}

/// The characters of job ids, without those that are easily confused: `0`, `1`, `i`, `l`, `o`.
const SIGNS: &[u8; 31] = b"23456789abcdefghjkmnpqrstuvwxyz";
const ID_LENGTH: usize = 5;

/// Whether a word has the form of a job id. The job need not exist.
pub(crate) fn is_job_id(word: &str) -> bool {
    word.len() == ID_LENGTH && word.bytes().all(|sign| SIGNS.contains(&sign))
}

/// A random job id. It may be in use already: the store then refuses the job's row, and the caller draws another id.
pub(crate) fn draw_id() -> String {
    let mut random = [0_u8; ID_LENGTH];
    if getrandom::fill(&mut random).is_err() {
        // Without a source of randomness the id is derived from the clock.
        random.copy_from_slice(&jiff::Timestamp::now().as_nanosecond().to_le_bytes()[..ID_LENGTH]);
    }
    random.iter().map(|byte| char::from(SIGNS[usize::from(*byte) % SIGNS.len()])).collect()
}
