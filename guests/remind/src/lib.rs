//! The plugin `remind`: posts a reminder after a delay. It is the shortest example of a plugin that waits.
//!
//! While a reminder waits, it is a row in the database and uses no memory.

use wardroom_guest::{Arguments, Command, Failure, Parameter, Plugin, Reply, WaitError, code, sleep};

struct Remind;

impl Plugin for Remind {
    const COMMANDS: &'static [Command] = &[Command::action("remind", "Posts a reminder after a delay.", remind)
        .examples(&["remind me in 2h look at the graphs"])
        .parameters(&[
            Parameter::text("who", "always `me`").choices(&["me"]),
            Parameter::text("in", "always `in`").choices(&["in"]),
            Parameter::duration("span", "the delay, such as `2h`"),
            Parameter::rest("text", "the text of the reminder"),
        ])];
}

wardroom_guest::export!(Remind);

fn remind(arguments: &Arguments) -> Result<Reply, Failure> {
    let text = arguments.text("text")?;
    match sleep(arguments.duration("span")?) {
        Ok(_) => Ok(Reply::new(format!("{}: {text}", arguments.caller().name))),
        Err(WaitError::Cancelled) => Err(Failure::new(code::CANCELLED, "the reminder was cancelled")),
        Err(error) => Err(error.into()),
    }
}
