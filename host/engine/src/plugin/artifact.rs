//! A plugin's file: the file's digest, its WebAssembly component and every function that the component imports.
//!
//! Not here: compiling the component, which is in `compiler.rs`, and running it, which is in `run.rs`.

use sha2::{Digest, Sha256};
use wasmparser::Payload;
use wit_component::{ComponentEncoder, DecodedWasm};
use wit_parser::{InterfaceId, Resolve, WorldId, WorldItem, WorldKey};

use crate::model::{CONTRACT, CallSpec, CallTable};

/// The maximum size of a plugin's file, in bytes. The host does not read a larger file.
pub(super) const MAX_FILE_SIZE: u64 = 16 << 20;

/// The maximum number of modules and components inside a plugin's file.
const MAX_PARTS: u32 = 200;
/// The maximum depth of modules and components inside a plugin's file.
const MAX_DEPTH: u32 = 8;

/// A plugin's file, loaded as a WebAssembly component. The component exports what the host requires, and imports only
/// functions that the host offers.
#[derive(Debug, Clone)]
pub(crate) struct Artifact {
    /// The bytes of the component. If the file contains a core module, the component is built from the module.
    pub component: Vec<u8>,
    /// The contract for which the plugin was built, such as `wardroom:plugin@0.1.0`.
    pub contract: String,
    /// Every host call that the plugin imports.
    pub calls: Vec<CallSpec>,
}

/// The reason why a file is not a valid plugin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArtifactError {
    /// The file is not a WebAssembly module or component. The value is the reason.
    #[error("the file is not a WebAssembly module or component: {0}")]
    NotWasm(String),
    /// The file is a core WebAssembly module that was not built for the contract. The value is the reason.
    #[error("the core module cannot be converted to a plugin component: {0}")]
    NotEncodable(String),
    /// The plugin imports functions that this host does not provide. The value is their names, at most 20.
    #[error("it imports functions that this host does not provide: {}", .0.join(", "))]
    Imports(Vec<String>),
    /// The plugin was built for another version of the contract or of a capability.
    #[error("it is built for {found}, but this host has {ours}; rebuild it for this version")]
    Version {
        /// The name and version of the WIT package that the plugin imports or exports.
        found: String,
        /// The name of the same WIT package, with the version that this host has.
        ours: &'static str,
    },
    /// The plugin does not export the interface `commands`, through which the host calls a plugin.
    #[error("it does not export the interface `wardroom:plugin/commands`")]
    NoCommands,
    /// The file has more than [`MAX_FILE_SIZE`] bytes. The value is the file's size in bytes.
    #[error("the file has {0} bytes, but the limit is {MAX_FILE_SIZE} bytes")]
    TooLarge(u64),
    /// The file contains more than [`MAX_PARTS`] modules and components, or nests them deeper than [`MAX_DEPTH`].
    #[error(
        "it contains more than {MAX_PARTS} modules and components, or they are nested more than {MAX_DEPTH} levels deep"
    )]
    TooComplex,
    /// The file cannot be read. The value is the path and the reason in one line.
    #[error("{0}")]
    Unreadable(String),
}

/// Returns the SHA-256 digest of bytes, with the prefix `sha256:`.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

impl Artifact {
    /// Checks the bytes of a plugin's file. The bytes must be a component, or a core module with the contract's types
    /// in a custom section.
    ///
    /// # Errors
    /// The reason why the bytes are not a valid plugin.
    pub(crate) fn from_bytes(bytes: &[u8], table: &CallTable) -> Result<Self, ArtifactError> {
        if bytes.len() as u64 > MAX_FILE_SIZE {
            return Err(ArtifactError::TooLarge(bytes.len() as u64));
        }
        let component = component(bytes, table)?;
        let decoded = wit_component::decode(&component).map_err(|error| ArtifactError::NotWasm(chain(&error)))?;
        let DecodedWasm::Component(resolve, world) = decoded else {
            return Err(ArtifactError::NotWasm("it is a WIT package and contains no code".to_owned()));
        };
        let calls = imports(&resolve, world, table)?;
        check_exports(&resolve, world)?;
        Ok(Self { component, contract: CONTRACT.to_owned(), calls })
    }
}

/// Reads a plugin's file of at most [`MAX_FILE_SIZE`] bytes.
///
/// # Errors
/// [`ArtifactError::Unreadable`] or [`ArtifactError::TooLarge`].
pub(super) fn read_file(path: &std::path::Path) -> Result<Vec<u8>, ArtifactError> {
    let unreadable =
        |error: std::io::Error| ArtifactError::Unreadable(format!("`{}` cannot be read: {error}", path.display()));
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_FILE_SIZE {
        return Err(ArtifactError::TooLarge(size));
    }
    std::fs::read(path).map_err(unreadable)
}

/// Validates the bytes of a plugin's file and returns the component. Builds the component if the file is a core module.
fn component(bytes: &[u8], table: &CallTable) -> Result<Vec<u8>, ArtifactError> {
    let is_component = wasmparser::Parser::is_component(bytes);
    if !is_component && !wasmparser::Parser::is_core_wasm(bytes) {
        return Err(ArtifactError::NotWasm("it does not begin with the bytes of a WebAssembly header".to_owned()));
    }
    check_nesting(bytes)?;
    // Validation gives a clearer message than a failed compilation would.
    wasmparser::validate(bytes).map_err(|error| ArtifactError::NotWasm(displayable(&error.to_string())))?;
    if is_component {
        return Ok(bytes.to_vec());
    }
    let unknown = unknown_imports(bytes, table);
    if !unknown.is_empty() {
        return Err(ArtifactError::Imports(unknown));
    }
    let encode = || ComponentEncoder::default().validate(true).module(bytes)?.encode();
    encode().map_err(|error| ArtifactError::NotEncodable(chain(&error)))
}

/// Checks how many modules and components a file contains, and how deeply they are nested. The time that the later
/// steps need grows faster than these numbers.
fn check_nesting(bytes: &[u8]) -> Result<(), ArtifactError> {
    let (mut count, mut depth) = (0, 0);
    for payload in wasmparser::Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| ArtifactError::NotWasm(displayable(&error.to_string())))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                count += 1;
                depth += 1;
                if count > MAX_PARTS || depth > MAX_DEPTH {
                    return Err(ArtifactError::TooComplex);
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Returns the functions that a core module imports from packages that the host does not have, such as WASI.
fn unknown_imports(bytes: &[u8], table: &CallTable) -> Vec<String> {
    let mut unknown = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(bytes).flatten() {
        let Payload::ImportSection(section) = payload else { continue };
        for import in section.into_imports().flatten() {
            let package = import.module.split_once('/').map_or("", |(package, _)| package);
            if !packages(table).any(|ours| name(ours) == package) {
                unknown.push(displayable(&format!("{}.{}", import.module, import.name)));
            }
        }
    }
    unknown
}

/// Returns the WIT packages that this host has, with their versions. Always includes the contract, because a plugin may
/// import only types from the contract, and the call table lists only functions.
fn packages(table: &CallTable) -> impl Iterator<Item = &'static str> {
    table.iter().map(|row| row.package).chain([CONTRACT])
}

/// Returns the text of an error and of its causes in one line. The text may quote the plugin's file, so [`displayable`]
/// makes the text safe to display.
fn chain(error: &anyhow::Error) -> String {
    displayable(&format!("{error:#}").replace('\n', " "))
}

/// Returns a text from the plugin's file in a form that is safe to display: one line of at most 300 bytes, without
/// control characters.
fn displayable(text: &str) -> String {
    const MAX_LENGTH: usize = 300;
    let mut text = crate::base::clean(text);
    text.truncate(text.floor_char_boundary(MAX_LENGTH));
    text
}

/// Returns every host call that a component imports.
fn imports(resolve: &Resolve, world: WorldId, table: &CallTable) -> Result<Vec<CallSpec>, ArtifactError> {
    let (mut calls, mut unknown) = (Vec::new(), Vec::new());
    for (key, item) in &resolve.worlds[world].imports {
        // 1. The import must be an interface with a package.
        let import = resolve.name_world_key(key);
        let WorldItem::Interface { id, .. } = item else {
            unknown.push(displayable(&import));
            continue;
        };
        let Some((interface, package)) = named(resolve, *id) else {
            unknown.push(displayable(&import));
            continue;
        };
        // 2. The host must have the package in the same version.
        if !packages(table).any(|ours| ours == package) {
            match packages(table).find(|ours| name(ours) == name(&package)) {
                Some(ours) => return Err(ArtifactError::Version { found: displayable(&package), ours }),
                None => unknown.push(displayable(&import)),
            }
            continue;
        }
        // 3. Every function must have a row in the call table.
        for function in resolve.interfaces[*id].functions.keys() {
            match table.get(&format!("{interface}.{function}")).filter(|row| row.package == package) {
                Some(row) => calls.push(*row),
                None => unknown.push(displayable(&format!("{import}.{function}"))),
            }
        }
    }
    // 4. Unknown imports are an error. The message names at most 20.
    unknown.truncate(20);
    if unknown.is_empty() { Ok(calls) } else { Err(ArtifactError::Imports(unknown)) }
}

/// Checks that a component exports the interface `commands` of this host's contract.
fn check_exports(resolve: &Resolve, world: WorldId) -> Result<(), ArtifactError> {
    for (key, item) in &resolve.worlds[world].exports {
        let (WorldKey::Interface(_), WorldItem::Interface { id, .. }) = (key, item) else { continue };
        match named(resolve, *id) {
            Some((interface, found)) if interface == "commands" && found == CONTRACT => return Ok(()),
            Some((interface, found)) if interface == "commands" && name(&found) == name(CONTRACT) => {
                return Err(ArtifactError::Version { found: displayable(&found), ours: CONTRACT });
            }
            _ => {}
        }
    }
    Err(ArtifactError::NoCommands)
}

/// Returns the name of an interface, and the interface's package with its version. Returns `None` for an interface
/// without a package.
fn named(resolve: &Resolve, id: InterfaceId) -> Option<(String, String)> {
    let interface = &resolve.interfaces[id];
    let package = &resolve.packages[interface.package?].name;
    let version = package.version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
    let package = format!("{}:{}{version}", package.namespace, package.name);
    Some((interface.name.clone().unwrap_or_default(), package))
}

/// Returns the name of a package without the version: `wardroom:plugin` for `wardroom:plugin@0.1.0`.
fn name(package: &str) -> &str {
    package.split_once('@').map_or(package, |(name, _)| name)
}
