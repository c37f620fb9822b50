//! Creates a job: the job's id, its row in the store and its first journal entry.

use serde_json::json;

use super::{context::Context, invocation::Plugin};
use crate::{
    job::{GuestArgument, GuestInvocation, ShownIn, StartEntry, entry},
    model::{ID_CHARACTERS, ID_LENGTH, Limits},
    policy::Request,
    store::{Entry, EntryKind, JobRow, JobStatus},
};

/// Creates the row of a new job in the store, and the job's first journal entry (number 0), but does not store them.
/// The job's caller is the sender of the request's message. `parent` is the job that scheduled the new job, if any.
/// `shown` is a further room in which the new job is announced, if any.
pub(crate) fn new_job(
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
        id: random_job_id(),
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
        overrides: command.override_reason().map(crate::base::one_line),
        opened: context.clock.now(),
        status,
        end: None,
    };
    // 2. The first entry, which contains the data for a replay of the guest.
    let start = StartEntry {
        invocation: guest_invocation(request, &row.id),
        line: row.line.clone(),
        digest: row.digest.clone(),
        settings,
        limits,
        options: command.options().clone(),
        direct: message.direct,
        shown,
    };
    let entry = entry(&row, EntryKind::Invocation, json!(start), row.opened);
    (row, entry)
}

/// Returns a request's command in the type that plugins receive. `job` is the job's id.
pub(crate) fn guest_invocation(request: &Request, job: &str) -> GuestInvocation {
    let arguments = request.command().arguments();
    GuestInvocation {
        job: job.to_owned(),
        command: request.command().spec().name.clone(),
        arguments: arguments
            .map(|(parameter, given)| GuestArgument { name: parameter.name.clone(), value: given.clone() })
            .collect(),
        caller: request.caller().clone(),
    }
}

/// Returns a random job id. If the id is in use, the store rejects the job's row.
pub(crate) fn random_job_id() -> String {
    let mut random = [0_u8; ID_LENGTH];
    if getrandom::fill(&mut random).is_err() {
        // Without a random number generator, the id is derived from the clock.
        random.copy_from_slice(&jiff::Timestamp::now().as_nanosecond().to_le_bytes()[..ID_LENGTH]);
    }
    random.iter().map(|byte| char::from(ID_CHARACTERS[usize::from(*byte) % ID_CHARACTERS.len()])).collect()
}
