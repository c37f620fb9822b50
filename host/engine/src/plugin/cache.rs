//! The cache of compiled plugins: a folder to which only the host's user can write.
//!
//! Invariant: the name of a cache file is a hash of the plugin's digest and of the engine's compatibility hash. The
//! host deserializes only files that this module wrote.

use std::{
    fs,
    hash::{Hash, Hasher},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use wasmtime::{Engine, component::Component};

/// The cache of compiled plugins, in a folder. Without a folder, nothing is cached, and each start of the host compiles
/// all plugins.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// Opens the cache in `folder`. If the folder does not exist, creates it with mode 0700. If another user owns the
    /// folder or can write to it, logs a warning and caches nothing. With `None`, caches nothing.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        let usable = folder.filter(|folder| match prepare(folder) {
            Ok(()) => true,
            Err(reason) => {
                tracing::warn!(
                    folder = %folder.display(),
                    reason,
                    "cannot use the folder for compiled plugins; the host compiles all plugins at every start; hint: \
                     make the host's user the owner of the folder and set its mode to 0700"
                );
                false
            }
        });
        Self { folder: usable }
    }

    /// Returns the path of the cache file whose name consists of a hash of `engine` and `digest`, and of `ending`.
    /// Returns `None` if the cache has no folder.
    fn file(&self, engine: &Engine, digest: &str, ending: &str) -> Option<PathBuf> {
        let mut compatibility = HashBytes(Vec::new());
        engine.precompile_compatibility_hash().hash(&mut compatibility);
        let hash = Sha256::new().chain_update(&compatibility.0).chain_update(digest).finalize();
        Some(self.folder.as_ref()?.join(format!("{}.{ending}", hex::encode(hash))))
    }

    /// Returns the compiled component of a plugin from the cache. Returns `None` if the cache does not contain the
    /// plugin. If the cache file cannot be loaded, deletes the file and returns `None`.
    pub(crate) fn compiled(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let file = self.file(engine, digest, CODE).filter(|file| file.is_file())?;
        let loaded = load(engine, &file);
        if let Err(error) = &loaded {
            tracing::warn!(
                path = %file.display(),
                error = format!("{error:#}"),
                "cannot load a compiled plugin from the cache; the host compiles the plugin again"
            );
            let _ = fs::remove_file(&file);
        }
        loaded.ok()
    }

    /// Loads the compiled code of a plugin, and stores it in the cache. `digest` is the digest of the plugin's file.
    /// `code` comes from [`Compiler::compile`](super::compiler::Compiler::compile).
    pub(crate) fn store(&self, engine: &Engine, digest: &str, code: &[u8]) -> wasmtime::Result<Component> {
        if let Some(file) = self.file(engine, digest, CODE) {
            write_atomically(&file, code);
            if let Some(component) = self.compiled(engine, digest) {
                return Ok(component);
            }
        }
        load_bytes(engine, code)
    }

    /// Reads the JSON file that the cache stores next to a plugin's compiled code. Returns `None` if the file is
    /// missing or invalid.
    pub(crate) fn metadata<T: DeserializeOwned>(&self, engine: &Engine, digest: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.file(engine, digest, METADATA)?).ok()?).ok()
    }

    /// Stores a JSON file next to a plugin's compiled code.
    pub(crate) fn store_metadata(&self, engine: &Engine, digest: &str, metadata: &impl Serialize) {
        if let (Some(file), Ok(bytes)) = (self.file(engine, digest, METADATA), serde_json::to_vec(metadata)) {
            write_atomically(&file, &bytes);
        }
    }
}

/// The ending of the name of a file with compiled code.
const CODE: &str = "cwasm";
/// The ending of the name of a JSON file.
const METADATA: &str = "plugin.json";

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

#[expect(unsafe_code, reason = "compiled code is trusted: this process or the configured compiler has produced it")]
fn load_bytes(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` are bytes that wasmtime serialized: in this process, or in the program of
    // `EngineBuilder::compiler`, whose documentation requires this.
    unsafe { Component::deserialize(engine, code) }
}

/// Writes a cache file as a temporary file and renames it, so that the cache never contains a partial file. Logs an
/// error instead of returning it.
fn write_atomically(file: &Path, bytes: &[u8]) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let temporary = file.with_extension(format!("{}-{number}.tmp", std::process::id()));
    let write = || {
        let mut out = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        out.write_all(bytes)?;
        // Sync before the rename. Otherwise a power failure could leave a partial file under the final name.
        out.sync_all()?;
        fs::rename(&temporary, file)
    };
    if let Err(error) = write() {
        let _ = fs::remove_file(&temporary);
        tracing::warn!(
            path = %file.display(),
            %error,
            "cannot write a compiled plugin to the cache; the host compiles the plugin again at the next start"
        );
    }
}

/// Creates the cache folder. Checks that the folder belongs to the host's user and that no other user can write to it.
///
/// # Errors
/// The reason why the folder cannot be used, in one line.
fn prepare(folder: &Path) -> Result<(), String> {
    let created = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    created.map_err(|error| error.to_string())?;
    let metadata = fs::symlink_metadata(folder).map_err(|error| error.to_string())?;
    if !metadata.is_dir() {
        return Err("the path is not a folder".to_owned());
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err("the folder belongs to another user".to_owned());
    }
    if metadata.mode() & 0o022 != 0 {
        return Err("other users can write to the folder".to_owned());
    }
    Ok(())
}
