//! What is written when a job begins.

use serde_json::json;

use super::{context::Context, invocation::Plugin};
use crate::{
    command::Value,
    job::{GuestArgument, GuestInvocation, GuestValue, ShownIn, StartEntry, entry},
    model::Limits,
    policy::Request,
    store::{Entry, EntryKind, JobRow, JobStatus},
};

/// A job's row and its first entry, in the name of the one who typed the message. `parent` is the job that leaves this
/// one for later, `shown` the room that it is shown in beside its own.
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

/// What the guest is given.
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

/// The letters and digits of ids: those that are not mistaken for others when they are read aloud.
const SIGNS: &[u8; 31] = b"23456789abcdefghjkmnpqrstuvwxyz";
const ID_LENGTH: usize = 5;

/// Whether a word could be a job's id.
pub(crate) fn is_job_id(word: &str) -> bool {
    word.len() == ID_LENGTH && word.bytes().all(|sign| SIGNS.contains(&sign))
}

/// A new job's id.
pub(crate) fn draw_id() -> String {
    let mut random = [0_u8; ID_LENGTH];
    if getrandom::fill(&mut random).is_err() {
        // Without a source of randomness the clock keeps ids apart; a taken one is drawn again.
        random.copy_from_slice(&jiff::Timestamp::now().as_nanosecond().to_le_bytes()[..ID_LENGTH]);
    }
    random.iter().map(|byte| char::from(SIGNS[usize::from(*byte) % SIGNS.len()])).collect()
}
