//! The plugin `drill`: makes the calls that it is told to, and says what came of each. For tests only.
//!
//! Invariant: an answer holds no id and no time, so a test knows it beforehand.

mod run;
mod script;

use wardroom_guest::{Arguments, Command, Failure, Parameter, Plugin, Reply};

const SCRIPT: Parameter = Parameter::rest("script", "What to do, one word a call.");

struct Drill;

impl Plugin for Drill {
    const COMMANDS: &'static [Command] = &[
        Command::action("drill", "Makes calls.", drill).examples(&["drill after:100 sleep"]).parameters(&[SCRIPT]),
        Command::query("peek", "Makes calls in a query.", drill).examples(&["peek get:key"]).parameters(&[SCRIPT]),
        Command::action("drill-place", "Makes calls with an app, an environment and a version typed.", drill)
            .examples(&["drill-place cms staging 1.0.2 trigger:cms/staging:1.0.2 wait"])
            .parameters(&[
                Parameter::app("app", "The app."),
                Parameter::environment("environment", "Where."),
                Parameter::version("version", "Which version."),
                SCRIPT,
            ]),
    ];
}

wardroom_guest::export!(Drill);

fn drill(arguments: &Arguments) -> Result<Reply, Failure> {
    let steps = script::parse(arguments.text("script")?).map_err(|unknown| Failure::invalid(unknown.to_string()))?;
    run::all(&steps)
}
