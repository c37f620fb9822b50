//! The plugin `scripted`: makes the calls of a script and replies with the answer of each. For tests only.
//!
//! Invariant: a reply has no id and no time, so a test can compare it with a constant.

mod run;
mod script;

use wardroom_guest::{Arguments, Command, Failure, Parameter, Plugin, Reply};

const SCRIPT: Parameter = Parameter::rest("script", "One word per call.");

struct Scripted;

impl Plugin for Scripted {
    const COMMANDS: &'static [Command] = &[
        Command::action("script", "Makes calls.", run_script)
            .examples(&["script after:100 sleep"])
            .parameters(&[SCRIPT]),
        Command::query("peek", "Makes calls in a query.", run_script).examples(&["peek get:key"]).parameters(&[SCRIPT]),
        Command::action("script-app", "Makes calls with an app, an environment and a version.", run_script)
            .examples(&["script-app cms staging 1.0.2 trigger:cms/staging:1.0.2 wait"])
            .parameters(&[
                Parameter::app("app", "The app."),
                Parameter::environment("environment", "Where."),
                Parameter::version("version", "Which version."),
                SCRIPT,
            ]),
    ];
}

wardroom_guest::export!(Scripted);

fn run_script(arguments: &Arguments) -> Result<Reply, Failure> {
    let steps = script::parse(arguments.text("script")?).map_err(|unknown| Failure::invalid(unknown.to_string()))?;
    run::all(&steps)
}
