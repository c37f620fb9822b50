//! The plugin `bench`: host calls and nothing else, so that the benches measure the host.
//!
//! Invariant: the answers are fixed, so nothing but the calls differs between two runs.

use wardroom_guest::store::{Item, Key};
use wardroom_guest::{Arguments, Command, Failure, Parameter, Plugin, Reply, clock, pipelines, sleep, store};

const COUNT: Parameter = Parameter::integer("count", "How many calls.");
const SPAN: Parameter = Parameter::duration("span", "How long.");

struct Bench;

impl Plugin for Bench {
    const COMMANDS: &'static [Command] = &[
        Command::query("ping", "Answers.", ping).examples(&["ping"]),
        Command::action("calls", "Keeps values, one a call.", calls).examples(&["calls 64"]).parameters(&[COUNT]),
        Command::action("effects", "Starts runs, one a call, and waits for none.", effects)
            .examples(&["effects cms staging 64"])
            .parameters(&[Parameter::app("app", "The app."), Parameter::environment("environment", "Where."), COUNT]),
        Command::action("reads", "Reads values, one a call, then waits.", reads)
            .examples(&["reads 64 1s"])
            .parameters(&[COUNT, SPAN]),
        Command::action("park", "Waits.", park).examples(&["park 1h"]).parameters(&[SPAN]),
    ];
}

wardroom_guest::export!(Bench);

fn ping(_: &Arguments) -> Result<Reply, Failure> {
    clock::now()?;
    Ok(Reply::new("pong"))
}

fn calls(arguments: &Arguments) -> Result<Reply, Failure> {
    for number in 0..arguments.integer("count")? {
        store::set(&Item { name: format!("k{number}"), value: b"v".to_vec() })?;
    }
    Ok(Reply::new("done"))
}

fn effects(arguments: &Arguments) -> Result<Reply, Failure> {
    let (app, environment) = (arguments.text("app")?, arguments.text("environment")?);
    let request = pipelines::Request { pipeline: format!("{app}/{environment}"), parameters: Vec::new() };
    for _ in 0..arguments.integer("count")? {
        pipelines::trigger(&request)?;
    }
    Ok(Reply::new("done"))
}

/// The wait makes the host do all of the calls a second time, from the journal.
fn reads(arguments: &Arguments) -> Result<Reply, Failure> {
    for number in 0..arguments.integer("count")? {
        store::get(&Key { name: format!("k{number}") })?;
    }
    sleep(arguments.duration("span")?)?;
    Ok(Reply::new("done"))
}

fn park(arguments: &Arguments) -> Result<Reply, Failure> {
    sleep(arguments.duration("span")?)?;
    Ok(Reply::new("done"))
}
