//! The plugin `deploy`: brings a version of an app to an environment, and tells what runs where.
//!
//! How an app gets to an environment is in the crate `wardroom-strategy`, with the words that `rollback` shares.
//!
//! Invariant: it keeps nothing. What ran where is the host's table of releases, which the host writes.

mod closing;
mod promote;
mod releases;

use wardroom_guest::{Arguments, Command, Failure, Parameter, Plugin, Reply};
use wardroom_strategy::Target;

struct Deploy;

impl Plugin for Deploy {
    const COMMANDS: &'static [Command] = &[
        Command::action("deploy", "Deploys a version of an app to an environment.", deploy)
            .examples(&["deploy cms staging 1.0.2"])
            .parameters(&[
                Parameter::app("app", "The app."),
                Parameter::environment("environment", "Where it goes."),
                Parameter::version("version", "Which version."),
            ]),
        Command::action("promote", "Deploys what the environment before it runs now.", promote::promote)
            .examples(&["promote cms", "promote cms production"])
            .parameters(&[
                Parameter::app("app", "The app."),
                Parameter::environment("environment", "Where it goes; the one that is behind if left out.").optional(),
            ]),
        Command::query("where", "Tells which version runs where.", releases::newest)
            .examples(&["where", "where cms"])
            .parameters(&[Parameter::app("app", "The app; all if left out.").optional()]),
        Command::query("history", "Tells what was deployed, failures too, newest first.", releases::history)
            .examples(&["history cms", "history cms staging"])
            .parameters(&[
                Parameter::app("app", "The app."),
                Parameter::environment("environment", "Where; everywhere if left out.").optional(),
            ]),
    ];
}

wardroom_guest::export!(Deploy);

fn deploy(arguments: &Arguments) -> Result<Reply, Failure> {
    let version = arguments.text("version")?;
    let target = Target::find(arguments.text("app")?, arguments.text("environment")?)?;
    // Who may not read the releases learns it before anything happens.
    let known = target.last_good(arguments.job())?;
    let ended = target.run(version)?;
    // Read again: others may have deployed while this one stood in line.
    let before = target.last_good(arguments.job()).unwrap_or(known);
    closing::line(&target, version, before.as_deref(), &ended)
}
