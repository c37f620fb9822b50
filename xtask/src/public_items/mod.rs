//! Lists the public interface of the engine, one line per item that another crate can use.
//!
//! The list is committed, so that a review shows each change of the interface. `WARDROOM_BLESS=1 cargo xtask lint
//! public` writes the list.
//!
//! Invariant: an item is listed once, at its shortest path. Items are types, traits, functions, constants, macros,
//! modules and re-exports of other crates; methods, fields and variants are their members.
//! Not here: trait implementations, modules with `#[doc(hidden)]`, and items that a macro generates (the list shows the
//! macro call).

mod collect;
mod line;
mod signature;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::structure::ENGINE;
use crate::structure::tree::Tree;
use crate::{report, workspace};

pub(crate) use collect::list;

const FILE: &str = "host/engine/public-items.txt";

/// The public interface of a crate.
pub(crate) struct Public {
    /// The lines, sorted by path. Members follow their item.
    pub(crate) lines: Vec<String>,
    pub(crate) modules: usize,
    /// The number of types, traits, functions, constants, statics and macros. Modules, re-exports from other crates and
    /// macro calls are not counted.
    pub(crate) items: usize,
    pub(crate) members: usize,
}

impl Public {
    /// Returns the line with the numbers of items, modules and members.
    pub(crate) fn counts(&self) -> String {
        format!("public items: {} in {} modules, with {} members\n", self.items, self.modules, self.members)
    }
}

/// Compares the engine with the committed list, or writes the list.
pub(crate) fn check() -> Result<()> {
    let public = list(&Tree::read(&workspace::root().join(ENGINE))?);
    report(&public.counts());
    let bless = std::env::var_os("WARDROOM_BLESS").is_some_and(|bless| bless == "1");
    compare(&public.lines, &workspace::root().join(FILE), bless)
}

fn compare(lines: &[String], file: &Path, bless: bool) -> Result<()> {
    if bless {
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        return fs::write(file, text).with_context(|| format!("cannot write {}", file.display()));
    }
    if !file.exists() {
        bail!("{FILE} is missing; write it with `WARDROOM_BLESS=1 cargo xtask lint public` and commit it");
    }
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let committed = text.lines().collect::<Vec<_>>();
    if committed == lines {
        return Ok(());
    }
    let removed = committed.iter().filter(|line| !lines.iter().any(|new| new == *line)).map(|line| format!("- {line}"));
    let added = lines.iter().filter(|line| !committed.contains(&line.as_str())).map(|line| format!("+ {line}"));
    let changes = removed.chain(added).collect::<Vec<_>>();
    let changes = if changes.is_empty() { "the order of the lines differs".to_owned() } else { changes.join("\n") };
    bail!(
        "{changes}\n{FILE} differs from the code; write it with `WARDROOM_BLESS=1 cargo xtask lint public` and review it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fixture;

    fn public(files: &[(&str, &str)]) -> Public {
        let folder = fixture(files);
        list(&Tree::read(folder.path()).unwrap())
    }

    #[test]
    fn every_kind_of_item_has_a_line() {
        let public = public(&[(
            "lib.rs",
            "pub struct Unit;\n\
             #[non_exhaustive]\npub struct Named<'a, T: Clone> where T: Send { pub one: &'a [T], two: u8 }\n\
             pub struct Tuple(pub u8, u16);\n\
             impl<T: Clone + Send> Named<'_, T> {\n\
               pub const MOST: usize = 3;\n\
               pub async fn run(&mut self, name: impl Into<String>) -> Result<(), Error> { loop {} }\n\
               fn hidden() {}\n pub(crate) fn inner() {}\n}\n\
             impl Clone for Unit { fn clone(&self) -> Self { Unit } }\n\
             pub enum Kind { One, Two(u8), #[allow(dead_code)] Three { a: Vec<u8> } }\n\
             pub trait Chat: Send + Sync { const LIMIT: usize; type Room; fn send(&self, text: &str); }\n\
             pub type Alias = Box<dyn Fn(u8) -> u8 + Send>;\n\
             pub const LIMIT: u64 = 1;\npub static NAME: &str = \"\";\n\
             pub fn free(_: [u8; 4]) {}\n\
             #[macro_export]\nmacro_rules! exported { () => {} }\nmacro_rules! local { () => {} }\n\
             pub use jiff::Timestamp;\n\
             #[cfg(test)]\npub fn only_in_tests() {}\n\
             #[doc(hidden)]\npub mod internals { pub struct Unlisted; impl Unlisted { pub fn new() {} } }\n\
             pub mod inner { pub(crate) struct Hidden; wasmtime::component::bindgen!({ path: \"wit\" }); }\n",
        )]);
        let expected = [
            "pub type wardroom::Alias = Box<dyn Fn(u8) -> u8 + Send>",
            "pub trait wardroom::Chat: Send + Sync",
            "const wardroom::Chat::LIMIT: usize",
            "type wardroom::Chat::Room",
            "fn wardroom::Chat::send(&self, text: &str)",
            "pub enum wardroom::Kind",
            "wardroom::Kind::One",
            "wardroom::Kind::Three { a: Vec<u8> }",
            "wardroom::Kind::Two(u8)",
            "pub const wardroom::LIMIT: u64",
            "pub static wardroom::NAME: &str",
            "#[non_exhaustive] pub struct wardroom::Named<'a, T: Clone> where T: Send",
            "pub const wardroom::Named::MOST: usize",
            "pub wardroom::Named::one: &'a [T]",
            "pub async fn wardroom::Named::run(&mut self, name: impl Into<String>) -> Result<(), Error>",
            "pub use wardroom::Timestamp = jiff::Timestamp",
            "pub struct wardroom::Tuple",
            "pub wardroom::Tuple::0: u8",
            "pub struct wardroom::Unit",
            "pub macro wardroom::exported",
            "pub fn wardroom::free(_: [u8; 4])",
            "pub items of wasmtime::component::bindgen! in wardroom::inner",
            "pub mod wardroom::inner",
        ];
        assert_eq!(public.lines, expected);
        assert_eq!((public.modules, public.items, public.members), (1, 10, 10));
    }

    #[test]
    fn an_item_that_is_exported_twice_is_listed_once() {
        let public = public(&[
            ("lib.rs", "pub mod engine;\nmod job;\npub use engine::Engine;\npub use job::*;\npub mod prelude;\n"),
            ("engine/mod.rs", "mod builder;\npub use builder::{Builder, Engine};\n"),
            (
                "engine/builder.rs",
                "pub struct Engine;\nimpl Engine { pub fn run() {} }\npub struct Builder;\npub struct Inner;\n",
            ),
            (
                "job.rs",
                "pub struct Job;\nstruct Private;\npub mod card { pub struct Card; }\nuse crate::engine::Builder;\n",
            ),
            ("prelude.rs", "pub use crate::{Engine, Job, engine::Builder as EngineBuilder};\n"),
        ]);
        let expected = [
            "pub struct wardroom::Engine",
            "pub fn wardroom::Engine::run()",
            "pub struct wardroom::Job",
            "pub mod wardroom::card",
            "pub struct wardroom::card::Card",
            "pub mod wardroom::engine",
            "pub struct wardroom::engine::Builder",
            "pub mod wardroom::prelude",
        ];
        assert_eq!(public.lines, expected);
    }

    #[test]
    fn a_difference_is_a_violation_that_shows_the_lines() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("public-items.txt");
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let error = compare(&lines(&["a", "b"]), &file, false).unwrap_err().to_string();
        assert!(error.contains("is missing; write it with `WARDROOM_BLESS=1 cargo xtask lint public`"), "{error}");
        compare(&lines(&["a", "b"]), &file, true).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "a\nb\n");
        compare(&lines(&["a", "b"]), &file, false).unwrap();
        let error = compare(&lines(&["a", "c"]), &file, false).unwrap_err().to_string();
        assert!(error.starts_with("- b\n+ c\n"), "{error}");
        let error = compare(&lines(&["b", "a"]), &file, false).unwrap_err().to_string();
        assert!(error.starts_with("the order of the lines differs\n"), "{error}");
    }
}
