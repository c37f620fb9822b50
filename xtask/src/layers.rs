//! Checks the layers of the engine: each folder imports only from itself and from lower layers.
//!
//! Invariant: the check has no list of exceptions. `lib.rs` and tests may import every layer. Each folder or file next
//! to `lib.rs` must be a layer.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::structure::{ENGINE, Import, Structure};
use crate::workspace;

/// The layers, lowest first.
pub(crate) const LAYERS: &[&str] = &[
    "base",
    "model",
    "store",
    "metrics",
    "adapter",
    "journal",
    "command",
    "policy",
    "job",
    "messaging",
    "plugin",
    "hostcall",
    "runner",
    "trigger",
    "config",
    "engine",
];

pub(crate) fn check() -> Result<()> {
    let violations = violations(&workspace::root().join(ENGINE))?;
    if violations.is_empty() {
        return Ok(());
    }
    let lines = violations.iter().map(|violation| format!("{ENGINE}/{violation}")).collect::<Vec<_>>();
    bail!("{}\n{} violations", lines.join("\n"), lines.len())
}

/// Returns the violations of the crate whose `lib.rs` is in `source`. Paths are relative to `source`.
fn violations(source: &Path) -> Result<Vec<String>> {
    let structure = Structure::read(source)?;
    let mut violations = Vec::new();
    for entry in fs::read_dir(source).with_context(|| format!("cannot read {}", source.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let layer = name.strip_suffix(".rs").unwrap_or(&name);
        if name != "lib.rs" && rank(layer).is_none() && !structure.tree.test_modules.contains(layer) {
            violations.push(format!("{name}: not a layer; the layers are {}", LAYERS.join(", ")));
        }
    }
    violations.sort();
    violations.extend(structure.imports().iter().filter_map(violation));
    Ok(violations)
}

/// Returns the violation of an import, if any. An import from a folder that is not a layer is ignored, because the
/// folder itself is reported.
fn violation(import: &Import) -> Option<String> {
    let Import { place, from, to, item } = import;
    let from = from.as_deref()?;
    let below = rank(from)?;
    if rank(to).is_some_and(|to| to < below) {
        return None;
    }
    let allowed = match below {
        0 => "from no other layer".to_owned(),
        _ => format!("only {}", LAYERS[..below].join(", ")),
    };
    Some(format!("{place}: {from} imports {item}; {from} may import {allowed}"))
}

/// Returns the position of a layer; 0 is the lowest.
fn rank(layer: &str) -> Option<usize> {
    LAYERS.iter().position(|known| *known == layer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fixture;

    /// Returns the violations of a crate with these files, without the lists of allowed layers.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let folder = fixture(files);
        let cut = |violation: String| violation.split("; ").next().unwrap_or_default().to_owned();
        violations(folder.path()).unwrap().into_iter().map(cut).collect()
    }

    const LIB: &str = "pub mod base;\npub mod job;\npub mod engine;\npub use engine::Engine;\n";
    const ENGINE: &str = "pub struct Engine;\npub fn handle() {}\n";

    #[test]
    fn an_import_from_a_lower_layer_is_allowed_and_the_reverse_is_a_violation() {
        let right = [
            ("lib.rs", "mod base;\nmod job;\n"),
            ("base/mod.rs", "pub struct Text;\n"),
            ("job/mod.rs", "use crate::base::Text;\npub struct Job(Text);\n"),
        ];
        assert_eq!(found(&right), Vec::<String>::new());
        let wrong = [
            ("lib.rs", "mod base;\nmod job;\n"),
            ("base/mod.rs", "use crate::job::Job;\npub struct Text(Job);\n"),
            ("job/mod.rs", "pub struct Job;\n"),
        ];
        assert_eq!(found(&wrong), ["base/mod.rs:1: base imports job::Job"]);
    }

    #[test]
    fn a_violation_lists_the_layers_that_are_allowed() {
        let folder = fixture(&[
            ("lib.rs", "mod model;\nmod store;\nmod base;\n"),
            ("base.rs", "fn f() { crate::model::f() }\n"),
            ("model/mod.rs", "pub mod deep;\npub fn f() {}\n"),
            ("model/deep.rs", "use crate::store::Rows;\n"),
            ("store/mod.rs", "pub struct Rows;\n"),
        ]);
        let violations = violations(folder.path()).unwrap();
        assert_eq!(
            violations,
            [
                "base.rs:1: base imports model::f; base may import from no other layer",
                "model/deep.rs:1: model imports store::Rows; model may import only base",
            ]
        );
    }

    #[test]
    fn every_way_to_write_a_path_is_a_violation() {
        let ways = [
            "use crate::{base, engine::{self, handle as h}};\n",
            "use super::super::engine::*;\n",
            "fn f() { super::super::engine::handle() }\n",
            "fn f(_: &crate::engine::Engine) {}\n",
            "fn f() { println!(\"{}\", crate::engine::handle()) }\n",
            "fn f() { let _ = vec![vec![super::super::engine::Engine]]; }\n",
            "#[serde(with = \"crate::engine\")]\nstruct S;\n",
            "#[derive(crate::engine::Derive)]\nstruct S;\n",
            "#[crate::engine::attribute]\nstruct S;\n",
            "use crate::Engine;\n",
            "use crate::*;\nfn f(_: Engine) {}\n",
            "use super::super::*;\nfn f() { engine::handle() }\n",
            "mod inner { use super::super::super::engine::Engine; }\n",
            "fn f() { use crate as root; root::engine::handle() }\n",
            "macro_rules! m { () => { use $crate::{base, engine::Engine}; } }\n",
            "impl crate::engine::Engine {}\n",
            "fn f<T: Into<crate::engine::Engine>>() {}\n",
            "fn f() { engine_function!() }\n",
        ];
        for way in ways {
            let engine = format!("{ENGINE}macro_rules! engine_function {{ () => {{}} }}\n");
            let found = found(&[
                ("lib.rs", LIB),
                ("base.rs", ""),
                ("job/mod.rs", "mod card;\n"),
                ("job/card.rs", way),
                ("engine/mod.rs", &engine),
            ]);
            assert!(!found.is_empty(), "{way}");
            assert!(found.iter().all(|violation| violation.starts_with("job/card.rs:")), "{way}: {found:?}");
            assert!(found.iter().all(|violation| violation.contains(": job imports engine")), "{way}: {found:?}");
        }
    }

    #[test]
    fn a_re_export_at_the_root_is_the_layer_that_defines_it() {
        let found = found(&[
            (
                "lib.rs",
                "mod base;\nmod job;\npub mod engine;\npub use base::Text;\npub mod prelude { pub use crate::engine::*; }\n",
            ),
            ("base.rs", "pub struct Text;\n"),
            ("job.rs", "use crate::Text;\nuse crate::prelude::Engine;\npub use jiff::Timestamp;\n"),
            ("engine.rs", ENGINE),
        ]);
        assert_eq!(found, ["job.rs:2: job imports engine::Engine"]);
    }

    #[test]
    fn tests_and_doc_comments_are_exempt() {
        let found = found(&[
            ("lib.rs", "mod base;\nmod job;\nmod engine;\n#[cfg(test)]\nmod testing;\n"),
            ("base.rs", ""),
            ("testing.rs", "use crate::engine::Engine;\n"),
            (
                "job/mod.rs",
                "//! See [`crate::engine`].\n/// As [`crate::engine::Engine`].\nfn f() {}\n#[cfg(test)]\nmod tests;\n\
                 #[cfg(test)]\nmod more { use crate::engine::Engine; }\n\
                 #[cfg(test)]\nuse crate::engine::handle;\n#[test]\nfn t() { crate::engine::handle() }\n",
            ),
            ("job/tests.rs", "use crate::engine::Engine;\n"),
            ("engine.rs", ENGINE),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn names_of_other_crates_and_of_blocks_are_allowed() {
        let found = found(&[
            ("lib.rs", LIB),
            ("base.rs", ""),
            (
                "job.rs",
                "use engine::Engine;\nfn f() { fn handle() {} handle(); ::engine::handle(); x.engine::<T>(); }\n\
                 mod engine { pub struct Engine; }\n",
            ),
            ("engine.rs", ENGINE),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn a_folder_or_file_that_is_not_a_layer_is_a_violation() {
        let found = found(&[
            ("lib.rs", "mod base;\nmod helpers;\n"),
            ("base.rs", "use crate::helpers::help;\n"),
            ("helpers/mod.rs", "pub fn help() {}\n"),
            ("forgotten.rs", ""),
        ]);
        let expected = ["forgotten.rs: not a layer", "helpers: not a layer", "base.rs:1: base imports helpers::help"];
        assert_eq!(found, expected);
    }
}
