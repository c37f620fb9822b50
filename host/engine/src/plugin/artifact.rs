//! A plugin's file: its digest, its component and every function that it imports.
//!
//! This module neither compiles nor runs code.

use sha2::{Digest, Sha256};
use wit_component::{ComponentEncoder, DecodedWasm};
use wit_parser::{InterfaceId, Resolve, WorldId, WorldItem, WorldKey};

use crate::model::{CONTRACT, CallSpec, CallTable};

/// The largest file, in bytes: 16 MiB. Larger ones are refused unread.
pub(super) const LARGEST: u64 = 16 << 20;

/// A plugin's file as a component, checked against the contract and the call table.
#[derive(Debug, Clone)]
pub(crate) struct Artifact {
    /// The SHA-256 digest of the file, with the prefix `sha256:`.
    pub digest: String,
    /// The component: the file itself, or built from its core module.
    pub component: Vec<u8>,
    /// The contract that it was built for, with its version, such as `wardroom:plugin@0.1.0`.
    pub contract: String,
    /// Every host call that it imports.
    pub calls: Vec<CallSpec>,
}

/// Why a file is not a plugin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArtifactError {
    /// The file is not WebAssembly, or it is invalid.
    #[error("not a WebAssembly module or component: {0}")]
    NotWasm(String),
    /// The file is a core module that was not built for the contract.
    #[error("a core module that is no plugin: {0}")]
    NotEncodable(String),
    /// It imports functions that no package of this host contains. At most 20 of them are named.
    #[error("it imports what no plugin can have: {}", .0.join(", "))]
    Imports(Vec<String>),
    /// It was built for another version of the contract or of a capability.
    #[error("it is built for {found}, and this host has {ours}")]
    Version {
        /// The package and version that it imports or exports.
        found: String,
        /// The package and version of this host.
        ours: &'static str,
    },
    /// It does not export the interface `commands`.
    #[error("it does not export wardroom:plugin/commands")]
    NoCommands,
    /// The file has more than [`LARGEST`] bytes.
    #[error("it has {0} bytes, and at most {LARGEST} are taken")]
    TooLarge(u64),
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

/// The SHA-256 digest of bytes, with the prefix `sha256:`.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

impl Artifact {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ArtifactError`].
    pub(crate) fn read(path: &std::path::Path, table: &CallTable) -> Result<Self, ArtifactError> {
        Self::from_bytes(&read_file(path)?, table)
    }

    /// Checks bytes: a component, or a core module with the contract's types in a custom section.
    ///
    /// # Errors
    /// [`ArtifactError`].
    pub(crate) fn from_bytes(bytes: &[u8], table: &CallTable) -> Result<Self, ArtifactError> {
        if bytes.len() as u64 > LARGEST {
            return Err(ArtifactError::TooLarge(bytes.len() as u64));
        }
        let component = component(bytes, table)?;
        let decoded = wit_component::decode(&component).map_err(|error| ArtifactError::NotWasm(chain(&error)))?;
        let DecodedWasm::Component(resolve, world) = decoded else {
            return Err(ArtifactError::NotWasm("it is a WIT package, and no code".to_owned()));
        };
        let (calls, contract) = imports(&resolve, world, table)?;
        let contract = exports(&resolve, world, contract)?;
        Ok(Self { digest: digest(bytes), component, contract, calls })
    }
}

/// Reads a file of at most [`LARGEST`] bytes.
///
/// # Errors
/// [`ArtifactError::Unreadable`] or [`ArtifactError::TooLarge`].
pub(super) fn read_file(path: &std::path::Path) -> Result<Vec<u8>, ArtifactError> {
    let unreadable =
        |error: std::io::Error| ArtifactError::Unreadable(format!("`{}` cannot be read: {error}", path.display()));
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > LARGEST {
        return Err(ArtifactError::TooLarge(size));
    }
    std::fs::read(path).map_err(unreadable)
}

/// The validated component: the bytes themselves, or built from a core module.
fn component(bytes: &[u8], table: &CallTable) -> Result<Vec<u8>, ArtifactError> {
    if wasmparser::Parser::is_component(bytes) {
        // Validation gives a clearer message than a failed compilation would.
        let mut validator = wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::default());
        validator.validate_all(bytes).map_err(|error| ArtifactError::NotWasm(shown(&error.to_string())))?;
        return Ok(bytes.to_vec());
    }
    if !wasmparser::Parser::is_core_wasm(bytes) {
        return Err(ArtifactError::NotWasm("it does not begin like one".to_owned()));
    }
    wasmparser::validate(bytes).map_err(|error| ArtifactError::NotWasm(shown(&error.to_string())))?;
    let outside = outside(bytes, table);
    if !outside.is_empty() {
        return Err(ArtifactError::Imports(outside));
    }
    let encode = || ComponentEncoder::default().validate(true).module(bytes)?.encode();
    encode().map_err(|error| ArtifactError::NotEncodable(chain(&error)))
}

/// The imports of a core module from unknown packages, such as WASI or a JavaScript host.
fn outside(bytes: &[u8], table: &CallTable) -> Vec<String> {
    let mut outside = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(bytes).flatten() {
        let wasmparser::Payload::ImportSection(section) = payload else { continue };
        for import in section.into_imports().flatten() {
            let package = import.module.split_once('/').map_or("", |(package, _)| package);
            if package != name(CONTRACT) && !table.iter().any(|row| name(row.package) == package) {
                outside.push(shown(&format!("{}.{}", import.module, import.name)));
            }
        }
    }
    outside
}

/// An error with its causes, in one line. It is cleaned, because it may quote text from the file.
fn chain(error: &anyhow::Error) -> String {
    shown(&format!("{error:#}").replace('\n', " "))
}

/// A text from the file in a form that is safe to display: one line, without control characters, at most 300 bytes.
fn shown(name: &str) -> String {
    const LONGEST: usize = 300;
    let mut name = crate::base::clean(name);
    name.truncate(name.floor_char_boundary(LONGEST));
    name
}

/// Every host call that a component imports, and the contract's version if it imports the contract.
fn imports(
    resolve: &Resolve,
    world: WorldId,
    table: &CallTable,
) -> Result<(Vec<CallSpec>, Option<String>), ArtifactError> {
    let (mut calls, mut outside, mut version) = (Vec::new(), Vec::new(), None);
    for (key, item) in &resolve.worlds[world].imports {
        // 1. The import must be an interface with a package.
        let import = resolve.name_world_key(key);
        let WorldItem::Interface { id, .. } = item else {
            outside.push(shown(&import));
            continue;
        };
        let Some((interface, package)) = named(resolve, *id) else {
            outside.push(shown(&import));
            continue;
        };
        // 2. The package must be known, with the same version. The contract counts as known even without rows, because
        //    an interface that has only types has none.
        let known = |package: &str| package == CONTRACT || table.iter().any(|row| row.package == package);
        if !known(&package) {
            let ours = table.iter().map(|row| row.package).find(|ours| name(ours) == name(&package));
            match ours.or((name(CONTRACT) == name(&package)).then_some(CONTRACT)) {
                Some(ours) => return Err(ArtifactError::Version { found: shown(&package), ours }),
                None => outside.push(shown(&import)),
            }
            continue;
        }
        // 3. Every function must have a row in the call table.
        for function in resolve.interfaces[*id].functions.keys() {
            match table.get(&format!("{interface}.{function}")).filter(|row| row.package == package) {
                Some(row) => calls.push(*row),
                None => outside.push(shown(&format!("{import}.{function}"))),
            }
        }
        if package == CONTRACT {
            version = Some(package);
        }
    }
    // 4. Unknown imports are an error. The message names at most 20.
    outside.truncate(20);
    if outside.is_empty() { Ok((calls, version)) } else { Err(ArtifactError::Imports(outside)) }
}

/// Checks that the component exports `commands` of this contract. Returns the contract's version.
fn exports(resolve: &Resolve, world: WorldId, contract: Option<String>) -> Result<String, ArtifactError> {
    for (key, item) in &resolve.worlds[world].exports {
        let (WorldKey::Interface(_), WorldItem::Interface { id, .. }) = (key, item) else { continue };
        match named(resolve, *id) {
            Some((interface, found)) if interface == "commands" && found == CONTRACT => {
                return Ok(contract.unwrap_or(found));
            }
            Some((interface, found)) if interface == "commands" && name(&found) == name(CONTRACT) => {
                return Err(ArtifactError::Version { found: shown(&found), ours: CONTRACT });
            }
            _ => {}
        }
    }
    Err(ArtifactError::NoCommands)
}

/// The name of an interface, and its package with the version. `None` for an interface without a package.
fn named(resolve: &Resolve, id: InterfaceId) -> Option<(String, String)> {
    let interface = &resolve.interfaces[id];
    let package = &resolve.packages[interface.package?].name;
    let version = package.version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
    let package = format!("{}:{}{version}", package.namespace, package.name);
    Some((interface.name.clone().unwrap_or_default(), package))
}

/// A package's name without its version.
fn name(package: &str) -> &str {
    package.split_once('@').map_or(package, |(name, _)| name)
}
