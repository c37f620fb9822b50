//! `cargo xtask bench`: measures release builds and compares the results with the limits of the design.

use anyhow::{Context as _, Result};

use crate::step::Steps;
use crate::{guests, process, synapse, workspace};

/// Builds the hosts and the benchmarks, then runs the benchmarks.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::new(5);
    let release = workspace::target()?.join("release");
    steps.run("building the guests", || guests::build(None))?;
    let build = |arguments: &[&str]| process::run(workspace::cargo()?.args(["build", "--release"]).args(arguments));
    // Copy the host, because the next build overwrites it.
    let chat = release.join("wardroom-chat");
    steps.run("building the benchmarks, and a release host with Matrix and Mattermost", || {
        let features = "wardroom-cli/matrix,wardroom-cli/mattermost";
        build(&["--package", "wardroom-bench", "--package", "wardroom-cli", "--features", features])?;
        std::fs::copy(release.join("wardroom"), &chat).map(drop).context("cannot copy the host")
    })?;
    steps.run("building a release host with console, exec and sqlite", || build(&["--package", "wardroom-cli"]))?;
    let synapse = steps.run("installing Synapse", synapse::install)?;
    steps.run("running the benchmarks", || {
        let mut bench = std::process::Command::new(release.join("bench"));
        bench.current_dir(workspace::root());
        bench.env("WARDROOM_BIN_RELEASE", release.join("wardroom")).env("WARDROOM_GUESTS", workspace::guests());
        bench.env("WARDROOM_BIN_CHAT", &chat).env("WARDROOM_SYNAPSE_VENV", &synapse);
        process::run(&mut bench)
    })
}
