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

/// The cache of compiled plugins. Without a folder, the host compiles every plugin at each start.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// Opens the cache and creates its folder with mode 0700. If another user owns the folder or can write to it, logs
    /// a warning and caches nothing.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        let usable = folder.filter(|folder| match prepare(folder) {
            Ok(()) => true,
            Err(reason) => {
                tracing::warn!(
                    folder = %folder.display(),
                    reason,
                    "the cache folder cannot be used; the host compiles all plugins at every start; set a folder that \
                     belongs to the host's user and has mode 0700"
                );
                false
            }
        });
        Self { folder: usable }
    }

    /// Returns the path of the cache file for an engine and a plugin's digest, or `None` without a folder.
    fn file(&self, engine: &Engine, digest: &str, ending: &str) -> Option<PathBuf> {
        let mut hasher = Sha256::new();
        let mut compatibility = HashBytes(Vec::new());
        engine.precompile_compatibility_hash().hash(&mut compatibility);
        hasher.update(&compatibility.0);
        hasher.update(digest.as_bytes());
        Some(self.folder.as_ref()?.join(format!("{}.{ending}", hex::encode(hasher.finalize()))))
    }

    /// Returns the compiled component of a plugin from the cache. Deletes a file that cannot be loaded.
    pub(crate) fn compiled(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let file = self.file(engine, digest, CODE).filter(|file| file.is_file())?;
        match load(engine, &file) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(
                    file = %file.display(),
                    error = format!("{error:#}"),
                    "a compiled plugin in the cache could not be loaded; the host compiles the plugin again"
                );
                let _ = fs::remove_file(&file);
                None
            }
        }
    }

    /// Compiles a component and stores the code in the cache.
    pub(crate) fn compile(&self, engine: &Engine, digest: &str, component: &[u8]) -> wasmtime::Result<Component> {
        let compiled = Component::new(engine, component)?;
        if let Some(file) = self.file(engine, digest, CODE) {
            write_atomically(&file, &compiled.serialize()?);
        }
        Ok(compiled)
    }

    /// Reads the JSON file with this ending that belongs to the compiled code. Returns `None` if it is missing or
    /// invalid.
    pub(crate) fn metadata<T: DeserializeOwned>(&self, engine: &Engine, digest: &str, ending: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.file(engine, digest, ending)?).ok()?).ok()
    }

    /// Stores a JSON file that belongs to the compiled code.
    pub(crate) fn store_metadata(&self, engine: &Engine, digest: &str, ending: &str, metadata: &impl Serialize) {
        if let (Some(file), Ok(bytes)) = (self.file(engine, digest, ending), serde_json::to_vec(metadata)) {
            write_atomically(&file, &bytes);
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
    reason = "compiled code is trusted: only this process's user can write to the folder, and only this module does"
)]
fn load(engine: &Engine, file: &Path) -> wasmtime::Result<Component> {
    // SAFETY: `Cache::new` accepts only a folder that belongs to this user and to which no other user can write. Every
    // code file in the folder was written by `write_atomically` with bytes that wasmtime serialized.
    unsafe { Component::deserialize_file(engine, file) }
}

/// Writes a temporary file and renames it, so that the cache never contains a partial file. Logs an error instead of
/// returning it.
fn write_atomically(file: &Path, bytes: &[u8]) {
    let temporary = file.with_extension(format!("{}.tmp", std::process::id()));
    let write = || {
        let mut out = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        out.write_all(bytes)?;
        // Sync before the rename. Without it, a power failure could leave a partial file under the final name.
        out.sync_all()?;
        fs::rename(&temporary, file)
    };
    if let Err(error) = write() {
        let _ = fs::remove_file(&temporary);
        tracing::warn!(
            file = %file.display(),
            %error,
            "a compiled plugin could not be written to the cache; the host compiles the plugin again at the next start"
        );
    }
}

/// Creates the folder. Checks that it belongs to this user and that no other user can write to it.
fn prepare(folder: &Path) -> Result<(), String> {
    let created = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    created.map_err(|error| error.to_string())?;
    let metadata = fs::symlink_metadata(folder).map_err(|error| error.to_string())?;
    if !metadata.is_dir() {
        return Err("it is not a folder".to_owned());
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err("it belongs to another user".to_owned());
    }
    if metadata.mode() & 0o022 != 0 {
        return Err("other users can write to it".to_owned());
    }
    Ok(())
}
