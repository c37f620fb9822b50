//! The plugin `remind`: the shortest plugin that waits.
//!
//! Invariant: while it waits it is a row in a table; nothing of it is in memory.

use wardroom_guest::{Arguments, Command, Failure, Parameter, Plugin, Reply, WaitError, code, sleep};

struct Remind;

impl Plugin for Remind {
    const COMMANDS: &'static [Command] = &[Command::action("remind", "Reminds you of something.", remind)
        .examples(&["remind me in 2h look at the graphs"])
        .parameters(&[
            Parameter::text("who", "You, and nobody else.").choices(&["me"]),
            Parameter::text("in", "The word itself.").choices(&["in"]),
            Parameter::duration("span", "How long from now."),
            Parameter::rest("text", "What to remind you of."),
        ])];
}

wardroom_guest::export!(Remind);

fn remind(arguments: &Arguments) -> Result<Reply, Failure> {
    let text = arguments.text("text")?;
    match sleep(arguments.duration("span")?) {
        Ok(_) => Ok(Reply::new(format!("{}: {text}", arguments.caller().name))),
        Err(WaitError::Cancelled) => Err(Failure::new(code::CANCELLED, "the reminder was called off")),
        Err(error) => Err(error.into()),
    }
}
