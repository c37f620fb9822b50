//! `resident memory`: the memory of an idle host.
//!
//! A release build with its default features runs the repository's `plugins.toml` with its state in a new folder. This
//! start compiles the plugins, which takes more memory than reading them from the cache.

use std::time::Duration;

use anyhow::Result;

use crate::{
    figure::{Against, Figure, Unit},
    host::Host,
    scene::{self, Scene},
};

pub(crate) const NAME: &str = "resident memory";

/// The limit in MiB.
const LIMIT: f64 = 60.0;
/// The time between the first reply and the measurement.
pub(crate) const SETTLED: Duration = Duration::from_secs(5);

pub(crate) fn measure(scene: &Scene) -> Result<Figure> {
    let program = scene.host()?;
    let folder = tempfile::tempdir()?;
    let root = std::path::absolute(scene::root())?;
    std::fs::copy(root.join("plugins.toml"), folder.path().join("plugins.toml"))?;
    // Link the files that the sample configuration refers to.
    std::os::unix::fs::symlink(&scene.guests, folder.path().join("guests"))?;
    std::os::unix::fs::symlink(root.join("sample"), folder.path().join("sample"))?;
    let host = Host::start(program, folder.path(), "")?;
    host.ready()?;
    std::thread::sleep(SETTLED);
    let measured = host.resident()?;
    Ok(Figure { name: NAME, measured, unit: Unit::Mebibytes, against: Against::Limit(LIMIT) })
}
