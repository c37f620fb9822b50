//! `rights decision`: the time to decide whether a person may run a command for an app in an environment.
//!
//! The policy has 1,000 roles and 10,000 grants in chat, and each person has some of both. Decisions are not cached,
//! as before each command and at each call. The bench fails if a decision is wrong.

use std::{fmt::Write as _, hint::black_box, time::Instant};

use anyhow::{Result, bail};
use wardroom::{Timestamp, engine::internals::Rights, model::Person, store::Grant};

use crate::{
    figure::{Against, Figure, Unit, median},
    scene::{self, Scene},
};

pub(crate) const NAME: &str = "rights decision";

const ROLES: usize = 1_000;
const GRANTS: usize = 10_000;
const PEOPLE: usize = 1_000;
const ROUNDS: usize = 21;
/// The limit in microseconds.
const LIMIT: f64 = 20.0;

pub(crate) fn measure(_: &Scene) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let config = scene::read_text(folder.path(), &text())?;
    let rights = Rights::new(config, (0..GRANTS).map(grant).collect()).map_err(anyhow::Error::msg)?;
    let mut spans = Vec::new();
    for round in 0..ROUNDS {
        let began = Instant::now();
        let mut yes = 0;
        for number in 0..PEOPLE {
            let id = person((number * 7 + round) % PEOPLE);
            yes += usize::from(decide(&rights, &id, "app1", "staging"));
        }
        spans.push(began.elapsed().as_secs_f64() * 1e6 / PEOPLE as f64);
        if black_box(yes) != PEOPLE {
            bail!("{yes} of {PEOPLE} people have the right that all of them have");
        }
    }
    if decide(&rights, "@nobody:example.org", "app1", "production") || decide(&rights, &person(3), "app9", "nowhere") {
        bail!("a person without the right has it");
    }
    Ok(vec![Figure { name: NAME, measured: median(spans), unit: Unit::Microseconds, against: Against::Limit(LIMIT) }])
}

/// Returns true if the person may deploy the app to the environment.
fn decide(rights: &Rights, id: &str, app: &str, environment: &str) -> bool {
    rights.may(black_box(id), ("memory", "room"), "deploy", app, environment)
}

fn person(number: usize) -> String {
    format!("@person{number}:example.org")
}

/// Returns the configuration. Each person has one role by name, one by a group of all people, and one by a grant in
/// chat.
fn text() -> String {
    let mut text = "[bot.bench.memory]\n[environment.staging]\n[environment.production]\n".to_owned();
    for app in 0..10 {
        let _ = writeln!(text, "[app.app{app}.deploy.staging]\nmemory = true");
    }
    for role in 0..ROLES {
        let who = format!("members = [\"{}\", \"{}\"]", person(role), person((role + 500) % PEOPLE));
        let (commands, chat) = match role {
            0 => ("\"deploy\"", "grant_in_chat = true\n"),
            _ => ("\"where\", \"history\"", ""),
        };
        let _ = writeln!(
            text,
            "[role.role{role}]\n{who}\ncommands = [{commands}]\napps = [\"app*\"]\nenvironments = [\"staging\"]\n{chat}"
        );
    }
    text
}

/// Returns a grant. Each person has ten; the last one allows the measured command.
fn grant(number: usize) -> Grant {
    let app = 9 - number / PEOPLE;
    Grant {
        id: format!("job{number}/1"),
        person: Person::named_by_id(person(number % PEOPLE)),
        role: "role0".to_owned(),
        app: format!("app{app}"),
        environment: Some("staging".to_owned()),
        by: Person::named_by_id("@alice:example.org"),
        bot: "bench".to_owned(),
        at: Timestamp::UNIX_EPOCH,
        until: Some(Timestamp::MAX),
    }
}
