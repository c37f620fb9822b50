//! The cache of compiled plugins: a folder that only the host's user can write.
//!
//! Invariant: a file's name is a hash of the plugin's digest and of the engine's compatibility hash. Only files that
//! this module wrote are deserialized.

use std::{
    fs,
    hash::{Hash, Hasher},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use wasmtime::{Engine, component::Component};

/// The cache. Without a folder every plugin is compiled at each start.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// Opens the cache and creates its folder with mode 0700. A folder that other users own or can write is not used; a
    /// warning is logged.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        let usable = folder.filter(|folder| match prepare(folder) {
            Ok(()) => true,
            Err(reason) => {
                tracing::warn!(folder = %folder.display(), reason, "the cache folder is not usable; plugins are compiled at every start");
                false
            }
        });
        Self { folder: usable }
    }

    /// The path of the file for an engine and a plugin's digest. `None` without a folder.
    fn file(&self, engine: &Engine, digest: &str, ending: &str) -> Option<PathBuf> {
        let mut hasher = Sha256::new();
        let mut compatibility = HashBytes(Vec::new());
        engine.precompile_compatibility_hash().hash(&mut compatibility);
        hasher.update(&compatibility.0);
        hasher.update(digest.as_bytes());
        Some(self.folder.as_ref()?.join(format!("{}.{ending}", hex::encode(hasher.finalize()))))
    }

    /// The cached compiled component of a plugin. A file that cannot be loaded is deleted.
    pub(crate) fn compiled(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let file = self.file(engine, digest, CODE).filter(|file| file.is_file())?;
        match load(engine, &file) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(file = %file.display(), error = format!("{error:#}"), "a cached compiled plugin cannot be loaded; compiling it again");
                let _ = fs::remove_file(&file);
                None
            }
        }
    }

    /// Compiles a component and caches the code.
    pub(crate) fn compile(&self, engine: &Engine, digest: &str, component: &[u8]) -> wasmtime::Result<Component> {
        let compiled = Component::new(engine, component)?;
        if let Some(file) = self.file(engine, digest, CODE) {
            keep(&file, &compiled.serialize()?);
        }
        Ok(compiled)
    }

    /// The cached JSON file with this ending that belongs to the compiled code. `None` if it is missing or invalid.
    pub(crate) fn note<T: DeserializeOwned>(&self, engine: &Engine, digest: &str, ending: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.file(engine, digest, ending)?).ok()?).ok()
    }

    /// Caches a JSON file that belongs to the compiled code.
    pub(crate) fn keep_note(&self, engine: &Engine, digest: &str, ending: &str, note: &impl Serialize) {
        if let (Some(file), Ok(bytes)) = (self.file(engine, digest, ending), serde_json::to_vec(note)) {
            keep(&file, &bytes);
        }
    }
}

const CODE: &str = "cwasm";

struct HashBytes(Vec<u8>);

impl Hasher for HashBytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
    fn finish(&self) -> u64 {
        0
    }
}

#[expect(
    unsafe_code,
    reason = "compiled code is trusted: this process's user alone can write the folder, and only this module does"
)]
fn load(engine: &Engine, file: &Path) -> wasmtime::Result<Component> {
    // SAFETY: `Cache::new` accepts only a folder that belongs to this user and that no other user can write. Every file
    // in it was written by `keep` with bytes that wasmtime serialized.
    unsafe { Component::deserialize_file(engine, file) }
}

/// Writes a temporary file and renames it, so that a reader never sees a partial file. A failure is only logged.
fn keep(file: &Path, bytes: &[u8]) {
    let passing = file.with_extension(format!("{}.tmp", std::process::id()));
    let write = || {
        let mut out = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&passing)?;
        out.write_all(bytes)?;
        // Sync before the rename: otherwise a power failure could leave a partial file under the final name.
        out.sync_all()?;
        fs::rename(&passing, file)
    };
    if let Err(error) = write() {
        let _ = fs::remove_file(&passing);
        tracing::warn!(file = %file.display(), %error, "a compiled plugin cannot be cached");
    }
}

/// Creates the folder and checks that it belongs to this user and that no other user can write it.
fn prepare(folder: &Path) -> Result<(), String> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| error.to_string())?;
    let about = fs::symlink_metadata(folder).map_err(|error| error.to_string())?;
    if !about.is_dir() {
        return Err("it is no folder".to_owned());
    }
    if about.uid() != rustix::process::geteuid().as_raw() {
        return Err("it belongs to somebody else".to_owned());
    }
    if about.mode() & 0o022 != 0 {
        return Err("others can write it".to_owned());
    }
    Ok(())
}
