//! `100 plugins from the cache`: the time of a start that compiles nothing.
//!
//! The bench measures the loading of plugins as a whole: files, digests, compiled code, descriptions and linkers. It
//! creates the wasmtime engine before, because a host creates it once for any number of plugins.

use std::{path::Path, time::Instant};

use anyhow::{Result, anyhow, bail, ensure};
use wardroom::{config::Config, engine::internals::Sandbox};

use crate::{
    figure::{Against, Figure, Unit, median},
    scene::{self, Scene},
    variant,
};

pub(crate) const NAME: &str = "100 plugins from the cache";

const PLUGINS: usize = 100;
const ROUNDS: usize = 9;
/// The limit in seconds.
const LIMIT: f64 = 0.5;

pub(crate) fn measure(scene: &Scene) -> Result<Figure> {
    let guest = scene.guest()?;
    let folder = tempfile::tempdir()?;
    let mut modules = Vec::new();
    for number in 0..PLUGINS {
        let (name, file) = (variant::name(number), folder.path().join(format!("{number}.wasm")));
        std::fs::write(&file, variant::variant(&guest, number)?)?;
        modules.push((name, file));
    }
    let config = scene::config(folder.path(), modules)?;
    let cache = folder.path().join("code");
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    tokio.block_on(load(&config, &cache))?;
    let kept = artifacts(&cache)?;
    let mut seconds = Vec::new();
    for _ in 0..ROUNDS {
        seconds.push(tokio.block_on(load(&config, &cache))?);
    }
    if kept.len() != PLUGINS || artifacts(&cache)? != kept {
        bail!("the plugins did not come from the cache");
    }
    Ok(Figure { name: NAME, measured: median(seconds), unit: Unit::Seconds, against: Against::Limit(LIMIT) })
}

/// Loads all plugins as a new process would. Returns the time in seconds.
async fn load(config: &Config, cache: &Path) -> Result<f64> {
    let sandbox = Sandbox::new().map_err(|error| anyhow!("{error:#}"))?;
    let began = Instant::now();
    let loaded = sandbox.load(config, cache).await;
    let took = began.elapsed().as_secs_f64();
    let commands = loaded.map_err(anyhow::Error::msg)?;
    for number in 0..PLUGINS {
        let name = variant::name(number);
        ensure!(commands.contains(&name), "the plugin has no command `{name}`");
    }
    Ok(took)
}

/// Returns the files of compiled code in the cache, with their modification times.
fn artifacts(cache: &Path) -> Result<Vec<(std::ffi::OsString, std::time::SystemTime)>> {
    let mut artifacts = Vec::new();
    for entry in std::fs::read_dir(cache)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|ending| ending == "cwasm") {
            artifacts.push((entry.file_name(), entry.metadata()?.modified()?));
        }
    }
    artifacts.sort();
    Ok(artifacts)
}
