//! The plugin `deploy`: deploys versions of apps, and shows their releases.
//!
//! The crate `wardroom-strategy` contains the code and the messages that the plugins `deploy` and `rollback` share.
//!
//! Invariant: the plugin stores nothing. It reads releases from the catalog; the host writes them.

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
                Parameter::app("app", "the app"),
                Parameter::environment("environment", "the environment to deploy to"),
                Parameter::version("version", "the version"),
            ]),
        Command::action("promote", "Deploys the version that runs in the previous environment.", promote::promote)
            .examples(&["promote cms", "promote cms production"])
            .parameters(&[
                Parameter::app("app", "the app"),
                Parameter::environment(
                    "environment",
                    "the environment to deploy to; default: the only environment with a version to promote",
                )
                .optional(),
            ]),
        Command::query("where", "Shows the version that runs in each environment.", releases::newest)
            .examples(&["where", "where cms"])
            .parameters(&[Parameter::app("app", "the app; default: all apps").optional()]),
        Command::query(
            "history",
            "Lists the deployments of an app including failures, newest first.",
            releases::history,
        )
        .examples(&["history cms", "history cms staging"])
        .parameters(&[
            Parameter::app("app", "the app"),
            Parameter::environment("environment", "the environment; default: all environments").optional(),
        ]),
    ];
}

wardroom_guest::export!(Deploy);

fn deploy(arguments: &Arguments) -> Result<Reply, Failure> {
    let version = arguments.text("version")?;
    let target = Target::find(arguments.text("app")?, arguments.text("environment")?)?;
    // Read the releases before the effect: if the read is denied, the command fails before it changes anything.
    let before_lock = target.last_good(arguments.job())?;
    let ended = target.run(version)?;
    // Read the last good version again: other jobs may have deployed while this job waited for the lock.
    let before = target.last_good(arguments.job()).unwrap_or(before_lock);
    closing::line(&target, version, before.as_deref(), &ended)
}
