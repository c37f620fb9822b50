//! The plugin `rollback`: brings a version back that ran there before.
//!
//! What ran there is the host's table of releases; how an app gets there is in the crate `wardroom-strategy`.
//!
//! Invariant: it brings nothing anywhere that did not succeed there once.

mod choice;
mod closing;

use wardroom_guest::{Arguments, Command, Failure, Parameter, Plugin, Reply};
use wardroom_strategy::{MOST, Past, Target};

struct Rollback;

impl Plugin for Rollback {
    const COMMANDS: &'static [Command] =
        &[Command::action("rollback", "Brings back a version that ran there before.", rollback)
            .examples(&["rollback cms staging", "rollback cms staging 1.0.2"])
            .parameters(&[
                Parameter::app("app", "The app."),
                Parameter::environment("environment", "Where."),
                Parameter::version("version", "Which version; the good one before if left out.").optional(),
            ])];
}

wardroom_guest::export!(Rollback);

fn rollback(arguments: &Arguments) -> Result<Reply, Failure> {
    let target = Target::find(arguments.text("app")?, arguments.text("environment")?)?;
    let mut known = target.releases(arguments.job())?;
    let typed = arguments.optional("version");
    // What ran so long ago that the host did not list it is asked for by its name.
    if let (Some(version), true) = (typed, known.len() >= MOST as usize - 1)
        && !known.iter().any(|release| release.version == version)
    {
        known.extend(target.success_of(version)?);
    }
    let past = Past::of(&known);
    let to = match typed {
        Some(version) => choice::typed_version(&target, &past, version)?,
        None => choice::before(&target, &past)?,
    };
    let ended = target.run(&to.version)?;
    // Read again: others may have deployed while this one stood in line.
    let fresh = target.releases(arguments.job());
    let past = Past::of(fresh.as_ref().unwrap_or(&known));
    closing::line(&target, to, &past, &ended)
}
