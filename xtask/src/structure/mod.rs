//! `cargo xtask structure`: prints numbers about the dependencies in the engine.
//!
//! - The pairs of folders that import each other.
//! - The largest import cycle of files; an import through `pub use` counts.
//! - The number of files and lines per folder without tests, and the number of public items.
//!
//! `cargo xtask structure FROM TO` lists every place where one folder imports another.
//!
//! Not here: the allowed imports (`layers`).

mod cycle;
mod import_edge;
mod mention;
pub(crate) mod scope;
#[cfg(test)]
mod tests;
pub(crate) mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Result, bail};

use crate::{layers, public_items, workspace};
use import_edge::{EdgeTarget, ImportEdge};
use tree::Tree;

/// The crate that is measured, relative to the checkout.
pub(crate) const ENGINE: &str = "host/engine/src";

/// The parsed code of a crate with its imports.
pub(crate) struct Structure {
    pub(crate) tree: Tree,
    import_edges: BTreeSet<ImportEdge>,
}

/// One place where a folder imports another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import {
    /// File and line, for example `job/card.rs:12`.
    pub(crate) place: String,
    /// The folder of the importing file; `None` for `lib.rs`.
    pub(crate) from: Option<String>,
    pub(crate) to: String,
    /// The imported item, for example `engine::handle`.
    pub(crate) item: String,
}

impl Structure {
    /// Parses the crate whose `lib.rs` is in `source`.
    pub(crate) fn read(source: &Path) -> Result<Self> {
        let tree = Tree::read(source)?;
        let import_edges = import_edge::import_edges(&tree);
        Ok(Self { tree, import_edges })
    }

    /// Returns every import of another folder, ordered by file and line.
    pub(crate) fn imports(&self) -> Vec<Import> {
        let mut imports = Vec::new();
        for ImportEdge { file, line, to } in &self.import_edges {
            let EdgeTarget::Folder(to, item) = to else { continue };
            let path = &self.tree.files[*file].path;
            imports.push((path, *line, self.tree.folder(*file), to, item));
        }
        imports.sort();
        let import =
            |(path, line, from, to, item): (&std::path::PathBuf, usize, Option<&str>, &String, &String)| Import {
                place: format!("{}:{line}", path.display()),
                from: from.map(str::to_owned),
                to: to.clone(),
                item: item.clone(),
            };
        imports.into_iter().map(import).collect()
    }

    /// Returns the pairs of folders that import each other, with the number of places in each direction.
    fn mutual(&self) -> Vec<(String, String, usize, usize)> {
        let mut places = BTreeMap::<(String, String), BTreeSet<String>>::new();
        for Import { place, from, to, .. } in self.imports() {
            if let Some(from) = from {
                places.entry((from, to)).or_default().insert(place);
            }
        }
        let count = |from: &String, to: &String| places.get(&(from.clone(), to.clone())).map_or(0, BTreeSet::len);
        let pairs = places.keys().filter(|(from, to)| from < to && count(to, from) > 0);
        pairs.map(|(from, to)| (from.clone(), to.clone(), count(from, to), count(to, from))).collect()
    }

    /// Returns the files of the largest import cycle.
    fn cycle(&self) -> Vec<String> {
        let mut edges = BTreeMap::<usize, BTreeSet<usize>>::new();
        for ImportEdge { file, to, .. } in &self.import_edges {
            if let EdgeTarget::File(to) = to {
                edges.entry(*file).or_default().insert(*to);
            }
        }
        let name = |file: usize| self.tree.files[file].path.display().to_string();
        let mut cycle = cycle::largest(&edges).into_iter().map(name).collect::<Vec<_>>();
        cycle.sort();
        cycle
    }

    /// Returns the number of files and of lines without tests, by folder. `lib.rs` has its own row.
    fn sizes(&self) -> BTreeMap<String, (usize, usize)> {
        let mut sizes = BTreeMap::new();
        for (index, file) in self.tree.files.iter().enumerate() {
            let size: &mut (usize, usize) =
                sizes.entry(self.tree.folder(index).unwrap_or("lib.rs").to_owned()).or_default();
            size.0 += 1;
            size.1 += file.product_lines;
        }
        sizes
    }
}

/// Runs `cargo xtask structure`.
pub(crate) fn run() -> Result<()> {
    let structure = Structure::read(&workspace::root().join(ENGINE))?;
    print(&summary(&structure))
}

/// Runs `cargo xtask structure FROM TO`.
pub(crate) fn between(from: &str, to: &str) -> Result<()> {
    let structure = Structure::read(&workspace::root().join(ENGINE))?;
    let sizes = structure.sizes();
    for folder in [from, to] {
        if !sizes.contains_key(folder) {
            let known = sizes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            bail!("{ENGINE} has no folder `{folder}`; the folders are {known}");
        }
    }
    let imports = structure.imports().into_iter();
    let chosen = imports.filter(|import| import.from.as_deref().unwrap_or("lib.rs") == from && import.to == to);
    let lines = chosen.map(|Import { place, item, .. }| format!("{ENGINE}/{place}: {item}\n"));
    print(&lines.collect::<String>())
}

fn summary(structure: &Structure) -> String {
    let mut sizes = structure.sizes();
    let mut text = format!("{:<14} {:>5} {:>6}\n", "folder", "files", "lines");
    let mut all = (0, 0);
    // List the folders in the order of the layers, then folders that are not layers.
    let mut folders = layers::LAYERS.iter().map(|layer| (*layer).to_owned()).collect::<Vec<_>>();
    folders.extend(sizes.keys().filter(|folder| !layers::LAYERS.contains(&folder.as_str())).cloned());
    for folder in folders {
        let Some((files, lines)) = sizes.remove(&folder) else { continue };
        text.push_str(&format!("{folder:<14} {files:>5} {lines:>6}\n"));
        all = (all.0 + files, all.1 + lines);
    }
    text.push_str(&format!("{:<14} {:>5} {:>6}\n\n", "all", all.0, all.1));

    let mutual = structure.mutual();
    for (one, other, there, back) in &mutual {
        text.push_str(&format!("{one} -> {other}: {there} places, {other} -> {one}: {back} places\n"));
    }
    text.push_str(&format!("pairs of folders that import each other: {}\n\n", mutual.len()));

    let cycle = structure.cycle();
    for file in &cycle {
        text.push_str(&format!("{file}\n"));
    }
    text.push_str(&format!("largest import cycle: {} files\n", cycle.len()));
    let public = public_items::list(&structure.tree);
    text.push_str(&public.counts());
    text
}

fn print(text: &str) -> Result<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}
