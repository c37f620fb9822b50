//! `cargo xtask bench`: the figures of the design, from release builds.

use anyhow::Result;

use crate::step::Steps;
use crate::{guests, process, workspace};

/// Builds what is measured and what measures, then measures.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::new(4);
    steps.run("building the guests", || guests::build(None))?;
    for (package, what) in [
        ("wardroom-cli", "building a release host with console, exec and sqlite"),
        ("wardroom-bench", "building the benches"),
    ] {
        steps.run(what, || process::run(workspace::cargo()?.args(["build", "--release", "--package", package])))?;
    }
    let release = workspace::target()?.join("release");
    steps.run("measuring", || {
        let mut bench = std::process::Command::new(release.join("bench"));
        bench.current_dir(workspace::root());
        bench.env("WARDROOM_BIN_RELEASE", release.join("wardroom")).env("WARDROOM_GUESTS", workspace::guests());
        process::run(&mut bench)
    })
}
