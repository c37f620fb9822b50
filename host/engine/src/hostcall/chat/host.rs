//! The host calls `chat.say` and `chat.stage`.

use crate::{
    base::{Text, clean},
    hostcall::{
        host_call::{HostCall, problem},
        invocation::{Invocation, MAX_MESSAGES},
    },
    job::thread_message,
    messaging::MAX_PLUGIN_TEXT_LENGTH,
    plugin::bindings::{chat::Message, types},
    store::{Entry, Write},
};

/// The maximum length of the stage on a job's status card, in bytes. A longer stage is truncated.
const MAX_STAGE_LENGTH: usize = 80;

/// The host call `chat.say`, which posts a message in the job's thread.
pub(crate) struct Say;

impl HostCall for Say {
    type Params = (Message,);
    type Answer = ();
    type Error = types::Error;

    async fn perform(&self, invocation: &mut Invocation, (message,): &(Message,)) -> Result<(), types::Error> {
        let text = Text::quote(&message.text).clamped(MAX_PLUGIN_TEXT_LENGTH);
        if text.is_empty() {
            return Err(problem("invalid", "the message is empty"));
        }
        if !invocation.count_message() {
            return Err(problem("limit", format!("one command can post at most {MAX_MESSAGES} messages")));
        }
        let number = invocation.meter.calls();
        match invocation.job() {
            Some(job) => {
                let row = thread_message(job.row(), &format!("say-{number}"), text);
                invocation.writes.push(Write::Send(row));
            }
            // A query has no thread, so its messages are posted before its answer.
            None => invocation.messages.push(text),
        }
        Ok(())
    }

    fn replayed(&self, invocation: &mut Invocation, _: &Self::Params, _: &Result<(), types::Error>, _: &Entry) {
        invocation.count_message();
    }
}

/// The host call `chat.stage`, which changes the stage that the job's status card shows.
pub(crate) struct Stage;

impl HostCall for Stage {
    type Params = (Message,);
    type Answer = ();
    type Error = types::Error;

    async fn perform(&self, invocation: &mut Invocation, (message,): &(Message,)) -> Result<(), types::Error> {
        show(invocation, message);
        Ok(())
    }

    fn replayed(&self, invocation: &mut Invocation, (message,): &(Message,), _: &Result<(), types::Error>, _: &Entry) {
        // After a restart the status card has no stage, so a replay sets the stage again.
        show(invocation, message);
    }
}

fn show(invocation: &Invocation, message: &Message) {
    let mut stage = clean(message.text.lines().next().unwrap_or_default()).replace('"', "'");
    stage.truncate(stage.floor_char_boundary(MAX_STAGE_LENGTH));
    if let Some(job) = invocation.job() {
        // The quotation marks show that these are the words of the plugin.
        job.card().stage(if stage.is_empty() { stage } else { format!("\"{stage}\"") });
    }
}
