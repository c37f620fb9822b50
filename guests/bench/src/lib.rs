//! The plugin `bench`: host calls and nothing else, so that the benches measure the host.
//!
//! Invariant: the answers are fixed, so nothing but the calls differs between two runs.

use core::time::Duration;

use wardroom_guest::store::{Item, Key};
use wardroom_guest::{Arguments, Command, Failure, Parameter, Plugin, Reply, clock, sleep, store};

const HOW_MANY: &[Parameter] = &[Parameter::integer("count", "How many calls.")];

struct Bench;

impl Plugin for Bench {
    const COMMANDS: &'static [Command] = &[
        Command::query("ping", "Answers.", ping).examples(&["ping"]),
        Command::action("calls", "Keeps values, one a call.", calls).examples(&["calls 64"]).parameters(HOW_MANY),
        Command::action("reads", "Reads values, one a call, then waits for a moment.", reads)
            .examples(&["reads 64"])
            .parameters(HOW_MANY),
        Command::action("park", "Waits.", park)
            .examples(&["park 1h"])
            .parameters(&[Parameter::duration("span", "How long.")]),
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

/// The wait makes the host do all of the calls a second time, from the journal.
fn reads(arguments: &Arguments) -> Result<Reply, Failure> {
    for number in 0..arguments.integer("count")? {
        store::get(&Key { name: format!("k{number}") })?;
    }
    sleep(Duration::from_millis(1))?;
    Ok(Reply::new("done"))
}

fn park(arguments: &Arguments) -> Result<Reply, Failure> {
    sleep(arguments.duration("span")?)?;
    Ok(Reply::new("done"))
}
