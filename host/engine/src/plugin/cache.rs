//! Compiled code on disk, in a folder that only the host can write.
//!
//! Architecture Invariant: an artifact is found by the digest of the plugin's bytes and by the
//! engine's own compatibility hash; nothing that came from outside is ever deserialized.

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

/// The folder with compiled code. Without a folder everything is compiled anew.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// A cache in a folder, made with mode 0700. One that others can write is not used, and that is said.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        let usable = folder.filter(|folder| match prepare(folder) {
            Ok(()) => true,
            Err(reason) => {
                tracing::warn!(folder = %folder.display(), reason, "compiled code is not kept");
                false
            }
        });
        Self { folder: usable }
    }

    /// A file for an engine and the digest of a plugin's bytes.
    fn file(&self, engine: &Engine, digest: &str, ending: &str) -> Option<PathBuf> {
        let mut hasher = Sha256::new();
        let mut compatibility = HashBytes(Vec::new());
        engine.precompile_compatibility_hash().hash(&mut compatibility);
        hasher.update(&compatibility.0);
        hasher.update(digest.as_bytes());
        Some(self.folder.as_ref()?.join(format!("{}.{ending}", hex::encode(hasher.finalize()))))
    }

    /// The compiled component of a plugin's bytes, if it was kept and is still good.
    pub(crate) fn compiled(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let file = self.file(engine, digest, CODE).filter(|file| file.is_file())?;
        match load(engine, &file) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(file = %file.display(), error = format!("{error:#}"), "compiled code is not usable; compiling again");
                let _ = fs::remove_file(&file);
                None
            }
        }
    }

    /// Compiles a component and keeps the code.
    pub(crate) fn compile(&self, engine: &Engine, digest: &str, component: &[u8]) -> wasmtime::Result<Component> {
        let compiled = Component::new(engine, component)?;
        if let Some(file) = self.file(engine, digest, CODE) {
            keep(&file, &compiled.serialize()?);
        }
        Ok(compiled)
    }

    /// What was kept beside the compiled code under a name.
    pub(crate) fn note<T: DeserializeOwned>(&self, engine: &Engine, digest: &str, ending: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.file(engine, digest, ending)?).ok()?).ok()
    }

    /// Keeps something beside the compiled code.
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
    // SAFETY: `Cache::new` took a folder that belongs to this user and that nobody else can write, and
    // every file in it was written by `keep` from what wasmtime itself serialized.
    unsafe { Component::deserialize_file(engine, file) }
}

/// Under a passing name first, so that a reader never sees half a file.
fn keep(file: &Path, bytes: &[u8]) {
    let passing = file.with_extension(format!("{}.tmp", std::process::id()));
    let write = || {
        let mut out = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&passing)?;
        out.write_all(bytes)?;
        // Renamed before it is on disk, a power cut could leave half of it under its good name.
        out.sync_all()?;
        fs::rename(&passing, file)
    };
    if let Err(error) = write() {
        let _ = fs::remove_file(&passing);
        tracing::warn!(file = %file.display(), %error, "compiled code could not be kept");
    }
}

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
