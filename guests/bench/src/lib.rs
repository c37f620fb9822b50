//! The plugin `bench`, for benchmarks of the host: its commands only make host calls.
//!
//! Invariant: the reply of a command is always the same.

use wardroom_guest::store::{Item, Key};
use wardroom_guest::{Arguments, Command, Failure, Parameter, Plugin, Reply, clock, pipelines, sleep, store};

const COUNT: Parameter = Parameter::integer("count", "the number of host calls");
const SPAN: Parameter = Parameter::duration("span", "how long the command waits");

struct Bench;

impl Plugin for Bench {
    const COMMANDS: &'static [Command] = &[
        Command::query("ping", "Replies with `pong`.", ping).examples(&["ping"]),
        Command::action("calls", "Stores values, one per host call.", calls)
            .examples(&["calls 64"])
            .parameters(&[COUNT]),
        Command::action("effects", "Starts pipeline runs, one per host call, without waiting for them.", effects)
            .examples(&["effects cms staging 64"])
            .parameters(&[
                Parameter::app("app", "the app"),
                Parameter::environment("environment", "the environment"),
                COUNT,
            ]),
        Command::action("reads", "Reads values, one per host call, then waits.", reads)
            .examples(&["reads 64 1s"])
            .parameters(&[COUNT, SPAN]),
        Command::action("park", "Waits for a duration.", park).examples(&["park 1h"]).parameters(&[SPAN]),
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

/// Reads values and waits. After the wait, the host runs the command again and answers all earlier calls from the
/// journal.
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
