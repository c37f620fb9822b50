//! The plugin `scripted`, for tests only: makes the host calls of a typed script and replies with one word per call.
//!
//! Invariant: a reply contains no id and no time, so a test can compare the reply with a constant.

mod run;
mod script;

use wardroom_guest::{Arguments, Command, Failure, Parameter, Plugin, Reply};

const SCRIPT: Parameter = Parameter::rest("script", "the host calls, one word per call");

struct Scripted;

impl Plugin for Scripted {
    const COMMANDS: &'static [Command] = &[
        Command::action("script", "Makes the host calls of a script.", run_script)
            .examples(&["script after:100 sleep"])
            .parameters(&[SCRIPT]),
        Command::query("peek", "Makes the host calls of a script in a query.", run_script)
            .examples(&["peek get:key"])
            .parameters(&[SCRIPT]),
        Command::action(
            "script-app",
            "Makes the host calls of a script for an app, an environment and a version.",
            run_script,
        )
        .examples(&["script-app cms staging 1.0.2 trigger:cms/staging:1.0.2 wait"])
        .parameters(&[
            Parameter::app("app", "the app"),
            Parameter::environment("environment", "the environment"),
            Parameter::version("version", "the version"),
            SCRIPT,
        ]),
        Command::action("script-copy", "Makes the host calls of a script for two environments.", run_script)
            .examples(&["script-copy cms production staging trigger:cms/staging:from=production wait"])
            .parameters(&[
                Parameter::app("app", "the app"),
                Parameter::environment("from", "the environment that the command only reads").source(),
                Parameter::environment("to", "the environment that the command changes"),
                SCRIPT,
            ]),
        Command::action("script-span", "Makes the host calls of a script within optional limits.", run_script)
            .examples(&["script-span cms --environment staging --for 1h after:1 sleep"])
            .parameters(&[
                Parameter::app("app", "the app"),
                Parameter::environment("environment", "the environment, by default all").optional().named(),
                Parameter::duration("for", "the time for which the command applies").optional().named(),
                SCRIPT,
            ]),
    ];
}

wardroom_guest::export!(Scripted);

fn run_script(arguments: &Arguments) -> Result<Reply, Failure> {
    let steps = script::parse(arguments.text("script")?).map_err(|unknown| Failure::invalid(unknown.to_string()))?;
    run::all(&steps)
}
