//! `cargo xtask structure`: how the folders and files of the engine depend on each other, in numbers.
//!
//! - Folder pairs that import each other both ways.
//! - The largest cycle of files: each imports the next, directly or through `pub use`, and the last imports the first.
//! - Files and lines of product code per folder, and public items.
//!
//! `cargo xtask structure FROM TO` lists every place where one folder imports another.
//!
//! Not here: which imports are allowed (`layers`).

mod arrow;
mod cycle;
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
use arrow::{Arrow, End};
use tree::Tree;

/// The crate that is measured, relative to the checkout.
pub(crate) const ENGINE: &str = "host/engine/src";

/// What imports what in one crate.
pub(crate) struct Structure {
    pub(crate) tree: Tree,
    arrows: BTreeSet<Arrow>,
}

/// One place where a folder imports another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import {
    /// `job/card.rs:12`.
    pub(crate) place: String,
    /// The folder of that file; `None` for `lib.rs`.
    pub(crate) from: Option<String>,
    pub(crate) to: String,
    /// What is imported: `engine::handle`.
    pub(crate) item: String,
}

impl Structure {
    /// Parses the crate whose `lib.rs` is in `source`.
    pub(crate) fn read(source: &Path) -> Result<Self> {
        let tree = Tree::read(source)?;
        let arrows = arrow::arrows(&tree);
        Ok(Self { tree, arrows })
    }

    /// Every import that leaves its folder, by file and line.
    pub(crate) fn imports(&self) -> Vec<Import> {
        let mut imports = Vec::new();
        for Arrow { file, line, to } in &self.arrows {
            let End::Folder(to, item) = to else { continue };
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

    /// The folder pairs that import each other, with the number of places in each direction.
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

    /// The files of the largest import cycle.
    fn cycle(&self) -> Vec<String> {
        let mut edges = BTreeMap::<usize, BTreeSet<usize>>::new();
        for Arrow { file, to, .. } in &self.arrows {
            if let End::File(to) = to {
                edges.entry(*file).or_default().insert(*to);
            }
        }
        let name = |file: usize| self.tree.files[file].path.display().to_string();
        let mut cycle = cycle::largest(&edges).into_iter().map(name).collect::<Vec<_>>();
        cycle.sort();
        cycle
    }

    /// Per folder: its name, its files, their lines of product code. `lib.rs` is a row of its own.
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

/// `cargo xtask structure`.
pub(crate) fn run() -> Result<()> {
    let structure = Structure::read(&workspace::root().join(ENGINE))?;
    print(&figures(&structure))
}

/// `cargo xtask structure FROM TO`.
pub(crate) fn between(from: &str, to: &str) -> Result<()> {
    let structure = Structure::read(&workspace::root().join(ENGINE))?;
    let sizes = structure.sizes();
    for folder in [from, to] {
        if !sizes.contains_key(folder) {
            let known = sizes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            bail!("`{folder}` is no folder of {ENGINE}; the folders are {known}");
        }
    }
    let imports = structure.imports().into_iter();
    let chosen = imports.filter(|import| import.from.as_deref().unwrap_or("lib.rs") == from && import.to == to);
    let lines = chosen.map(|Import { place, item, .. }| format!("{ENGINE}/{place}: {item}\n"));
    print(&lines.collect::<String>())
}

fn figures(structure: &Structure) -> String {
    let mut sizes = structure.sizes();
    let mut text = format!("{:<14} {:>5} {:>6}\n", "folder", "files", "lines");
    let mut all = (0, 0);
    // In the order of the layers, then what is no layer.
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
    text.push_str(&format!("folder pairs that import each other: {}\n\n", mutual.len()));

    let cycle = structure.cycle();
    for file in &cycle {
        text.push_str(&format!("{file}\n"));
    }
    text.push_str(&format!("largest import cycle: {} files\n", cycle.len()));
    let public = public_items::list(&structure.tree);
    text.push_str(&format!("public items: {}, with {} members\n", public.items, public.members));
    text
}

fn print(text: &str) -> Result<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}
