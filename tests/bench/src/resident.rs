//! `resident memory`: what a host keeps of the machine while nobody types.
//!
//! A release build with its default features runs the checkout's own `plugins.toml`, with its state in a new folder:
//! the plugins are compiled at this very start, which takes more memory than finding them in the cache.

use std::time::Duration;

use anyhow::Result;

use crate::{
    figure::{Against, Figure, Unit},
    host::Host,
    scene::{self, Scene},
};

pub(crate) const NAME: &str = "resident memory";

/// MiB.
const LIMIT: f64 = 60.0;
/// How long after it is ready a host is looked at.
pub(crate) const SETTLED: Duration = Duration::from_secs(5);

pub(crate) fn measure(scene: &Scene) -> Result<Figure> {
    let program = scene.host()?;
    let folder = tempfile::tempdir()?;
    let root = std::path::absolute(scene::root())?;
    std::fs::copy(root.join("plugins.toml"), folder.path().join("plugins.toml"))?;
    // What the sample names beside itself.
    std::os::unix::fs::symlink(&scene.guests, folder.path().join("guests"))?;
    std::os::unix::fs::symlink(root.join("sample"), folder.path().join("sample"))?;
    let host = Host::start(program, folder.path())?;
    host.ready()?;
    std::thread::sleep(SETTLED);
    let measured = host.resident()?;
    Ok(Figure { name: NAME, measured, unit: Unit::Mebibytes, against: Against::Limit(LIMIT) })
}
