//! Builds guests from the texts in `tests/hostile`: a core module with the contract's types, or a complete component.
//!
//! A text that begins with `(component` is used unchanged. Every other text contains the fields of a module:
//! `common.wat` is appended, and missing functions (`describe`, `$attack`, `$peek`) get harmless definitions.

use std::fs;

use anyhow::{Context as _, Result};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::test_host::repository;

const DESCRIBE: &str = r#"(func (export "wardroom:plugin/commands@0.1.0#describe") (result i32) (i32.const 2304))"#;
const MEMORY: &str = r#"(memory (export "memory")"#;
const ATTACK: &str = "(func $attack (result i32) (call $fine))";
const PEEK: &str = "(func $peek (result i32) (call $fine))";

/// Returns the names of all texts.
pub(crate) fn names() -> Result<Vec<String>> {
    let entries = fs::read_dir(folder())?.collect::<Result<Vec<_>, _>>()?;
    let names = entries.iter().filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".wat").map(str::to_owned));
    let mut names: Vec<String> = names.filter(|name| name != "common").collect();
    names.sort();
    Ok(names)
}

/// Returns the bytes of a guest.
pub(crate) fn build(name: &str) -> Result<Vec<u8>> {
    let text = read(name)?;
    if is_component(&text) {
        return Ok(wat::parse_str(&text)?);
    }
    from_fields(&text, |contract| contract).with_context(|| format!("{name}.wat"))
}

/// Returns the bytes of a harmless guest.
pub(crate) fn harmless() -> Result<Vec<u8>> {
    from_fields("", |contract| contract)
}

/// Returns the bytes of a small guest whose compilation needs hours and gigabytes: every local variable changes in the
/// innermost of many loops, so each loop carries each variable.
pub(crate) fn hard_to_compile() -> Result<Vec<u8>> {
    const MANY: usize = 3_000;
    let locals = "i32 ".repeat(MANY);
    let changes: String =
        (0..MANY).map(|at| format!("(local.set {at} (i32.add (local.get {at}) (i32.const 1)))")).collect();
    let branches: String = (0..MANY).map(|depth| format!("(br_if {depth} (local.get 0))")).collect();
    let loops = "loop ".repeat(MANY);
    let ends = " end".repeat(MANY);
    from_fields(
        &format!("(func $attack (result i32) (local {locals}) {loops} {changes} {branches} {ends} (call $fine))"),
        |contract| contract,
    )
}

/// Returns the bytes of a harmless guest for another version of the contract.
pub(crate) fn harmless_of(version: &str) -> Result<Vec<u8>> {
    from_fields("", |text| text.replace("0.1.0", version))
}

/// Returns the component that other tools would make from a module.
pub(crate) fn component(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default().validate(true).module(module)?.encode()
}

fn from_fields(fields: &str, version: impl Fn(String) -> String) -> Result<Vec<u8>> {
    let mut common = read("common")?;
    if fields.contains(MEMORY) {
        common = common.replace(&format!("{MEMORY} 2)"), "");
    }
    let mut text = format!("(module\n{fields}\n{common}");
    for (marker, filled_in) in [("#describe\"", DESCRIBE), ("(func $attack", ATTACK), ("(func $peek", PEEK)] {
        if !text.contains(marker) {
            text.push_str(filled_in);
        }
    }
    text.push(')');
    let mut module = wat::parse_str(version(text))?;
    let mut resolve = Resolve::default();
    let mut package = None;
    let mut files: Vec<_> = fs::read_dir(repository().join("wit"))?.collect::<Result<Vec<_>, _>>()?;
    files.sort_by_key(|entry| entry.file_name());
    let mut whole = String::new();
    for file in files {
        let text = version(fs::read_to_string(file.path())?);
        // Join the files of the package to one text.
        let (header, rest) = text.split_once('\n').context("a file of the contract has lines")?;
        if package.is_none() {
            package = Some(header.to_owned());
        }
        whole.push_str(rest);
    }
    let whole = format!("{}\n{whole}", package.context("the contract has files")?);
    let package = resolve.push_str("contract.wit", &whole)?;
    let world = resolve.select_world(&[package], Some("plugin"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    Ok(module)
}

fn is_component(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("(component"))
}

fn read(name: &str) -> Result<String> {
    let path = folder().join(format!("{name}.wat"));
    fs::read_to_string(&path).with_context(|| format!("{} is missing", path.display()))
}

fn folder() -> std::path::PathBuf {
    repository().join("tests/hostile")
}
