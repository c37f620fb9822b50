//! The plugin `rollback`: deploys a version again that was deployed to the environment successfully before.
//!
//! The plugin reads releases from the catalog and deploys with the crate `wardroom-strategy`.
//!
//! Invariant: the plugin deploys only versions that were deployed to the same environment successfully before.

mod choice;
mod closing;

use wardroom_guest::{Arguments, Command, Failure, Parameter, Plugin, Reply};
use wardroom_strategy::{History, MAX_RELEASES, Target};

struct Rollback;

impl Plugin for Rollback {
    const COMMANDS: &'static [Command] =
        &[Command::action("rollback", "Rolls an environment back to an earlier version.", rollback)
            .examples(&["rollback cms staging", "rollback cms staging 1.0.2"])
            .parameters(&[
                Parameter::app("app", "the app"),
                Parameter::environment("environment", "the environment to roll back"),
                Parameter::version("version", "the version; default: the last good version before the current one")
                    .optional(),
            ])];
}

wardroom_guest::export!(Rollback);

fn rollback(arguments: &Arguments) -> Result<Reply, Failure> {
    let target = Target::find(arguments.text("app")?, arguments.text("environment")?)?.for_rollback()?;
    let mut known = target.releases(arguments.job())?;
    let typed = arguments.optional("version");
    // If the list is full and lacks the typed version, query the catalog for that version.
    if let (Some(version), true) = (typed, known.len() >= MAX_RELEASES as usize - 1)
        && !known.iter().any(|release| release.version == version)
    {
        known.extend(target.success_of(version)?);
    }
    let past = History::of(&known);
    let to = match typed {
        Some(version) => choice::typed_version(&target, &past, version)?,
        None => choice::before(&target, &past)?,
    };
    let ended = target.run(&to.version)?;
    // Read the releases again: other jobs may have deployed while this job waited for the lock.
    let fresh = target.releases(arguments.job());
    let past = History::of(fresh.as_ref().unwrap_or(&known));
    closing::line(&target, to, &past, &ended)
}
