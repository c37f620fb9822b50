//! The plugin `bench`: one query with one host call, so that the benches measure the host.
//!
//! Invariant: the answer is fixed, so nothing but the call differs between two runs.

use wardroom_guest::{Arguments, Command, Failure, Plugin, Reply, clock};

struct Bench;

impl Plugin for Bench {
    const COMMANDS: &'static [Command] = &[Command::query("ping", "Answers.", ping).examples(&["ping"])];
}

wardroom_guest::export!(Bench);

fn ping(_: &Arguments) -> Result<Reply, Failure> {
    clock::now()?;
    Ok(Reply::new("pong"))
}
