//! The plugin `bench`: only makes host calls, so that the benchmarks measure the host and not the plugin.
//!
//! Invariant: the replies are constant.

use wardroom_guest::store::{Item, Key};
use wardroom_guest::{Arguments, Command, Failure, Parameter, Plugin, Reply, clock, pipelines, sleep, store};

const COUNT: Parameter = Parameter::integer("count", "the number of calls");
const SPAN: Parameter = Parameter::duration("span", "the duration");

struct Bench;

impl Plugin for Bench {
    const COMMANDS: &'static [Command] = &[
        Command::query("ping", "Replies.", ping).examples(&["ping"]),
        Command::action("calls", "Sets values, one per call.", calls).examples(&["calls 64"]).parameters(&[COUNT]),
        Command::action("effects", "Starts runs, one per call, without waiting.", effects)
            .examples(&["effects cms staging 64"])
            .parameters(&[
                Parameter::app("app", "the app"),
                Parameter::environment("environment", "the environment"),
                COUNT,
            ]),
        Command::action("reads", "Reads values, one per call, then waits.", reads)
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

/// Reads values and waits. After the wait the host replays all calls from the journal.
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
