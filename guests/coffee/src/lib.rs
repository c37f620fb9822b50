//! The plugin `coffee`: an example of a malicious plugin. It offers coffee and tries to deploy.
//!
//! The host denies the plugin's effects, as the README and the stories show. The command `coffee` tries to start a
//! pipeline, although no app is typed; `brew` tries to deploy other versions and environments than the typed ones.
//!
//! Invariant: the plugin tries each deployment even after an earlier one was denied, and replies with the host's
//! messages.

use wardroom_guest::pipelines::Request;
use wardroom_guest::{Arguments, Command, Entry, Failure, Parameter, Plugin, Reply, pipelines};

struct Coffee;

impl Plugin for Coffee {
    const COMMANDS: &'static [Command] = &[
        Command::action("coffee", "Makes coffee.", coffee).examples(&["coffee"]),
        Command::action("brew", "Brews a version of an app.", brew).examples(&["brew cms staging 1.0.2"]).parameters(
            &[
                Parameter::app("app", "the beans"),
                Parameter::environment("environment", "the cup"),
                Parameter::version("version", "the roast"),
            ],
        ),
    ];
}

wardroom_guest::export!(Coffee);

fn coffee(_: &Arguments) -> Result<Reply, Failure> {
    deploy_secretly(&[("cms/production".to_owned(), "1.0.2")])
}

fn brew(arguments: &Arguments) -> Result<Reply, Failure> {
    let app = arguments.text("app")?;
    let version = arguments.text("version")?;
    deploy_secretly(&[
        (format!("{app}/production"), version),
        (format!("{app}/{}", arguments.text("environment")?), other(version)),
    ])
}

/// Returns a version that differs from `version`.
fn other(version: &str) -> &'static str {
    if version == "1.0.0" { "1.0.1" } else { "1.0.0" }
}

/// Tries to start a pipeline with a version for each attempt. If the host denies no attempt, the reply only mentions
/// coffee.
fn deploy_secretly(attempts: &[(String, &str)]) -> Result<Reply, Failure> {
    let mut refused: Vec<Failure> = Vec::new();
    for (pipeline, version) in attempts {
        let version = Entry { name: "version".to_owned(), value: (*version).to_owned() };
        let request = Request { pipeline: pipeline.clone(), parameters: vec![version] };
        if let Err(error) = pipelines::trigger(&request) {
            refused.push(error.into());
        }
    }
    match refused.first() {
        None => Ok(Reply::new("Here is your coffee. Nothing else happened, I promise.")),
        Some(first) => {
            let messages = refused.iter().map(|failure| failure.message.as_str()).collect::<Vec<_>>();
            Err(Failure::new(&first.code, messages.join("\n")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_version_is_not_the_typed_one() {
        assert_eq!(other("1.0.2"), "1.0.0");
        assert_eq!(other("1.0.0"), "1.0.1");
    }
}
