//! What each module imports, from which folder and from which file.

use std::collections::BTreeSet;

use super::mention::{Mention, mentions};
use super::scope::{Found, Scopes, Target};
use super::tree::Tree;

/// One place that names something of another folder or another file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrow {
    /// The file that names it.
    pub(crate) file: usize,
    pub(crate) line: usize,
    pub(crate) to: End,
}

/// What an arrow leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// A folder, and what of it is named: `engine::handle`.
    Folder(String, String),
    /// The file that defines the item.
    File(usize),
}

/// All arrows that leave their folder or their file, sorted.
pub(crate) fn arrows(tree: &Tree) -> BTreeSet<Arrow> {
    let scopes = Scopes::of(tree);
    let mut arrows = BTreeSet::new();
    for (index, module) in tree.modules.iter().enumerate() {
        let own = tree.folder(module.file);
        for mention in mentions(module) {
            for found in resolve(&scopes, index, &mention) {
                let mut add = |to| arrows.insert(Arrow { file: module.file, line: mention.line, to });
                let folders = found.through.iter().filter_map(|through| tree.folder(tree.modules[*through].file));
                for folder in folders.filter(|folder| Some(*folder) != own) {
                    add(End::Folder(folder.to_owned(), shown(tree, &found, folder)));
                }
                // A module by itself is no item; what is used of it is named by a longer path.
                if let Target::Item(defining, _) = &found.target {
                    let file = tree.modules[*defining].file;
                    if file != module.file {
                        add(End::File(file));
                    }
                }
            }
        }
    }
    arrows
}

fn resolve(scopes: &Scopes<'_>, module: usize, mention: &Mention) -> Vec<Found> {
    let mut found = scopes.resolve(module, &mention.path);
    if mention.macro_name {
        let unknown = found.iter().all(|found| matches!(found.target, Target::External(_)));
        if let (true, Some(defining)) = (unknown, scopes.textual_macro(&mention.path[0])) {
            let target = Target::Item(defining, mention.path[0].clone());
            found.push(Found { target, through: vec![defining] });
        }
    }
    found
}

/// What is named of a folder, as a path that begins with it.
fn shown(tree: &Tree, found: &Found, folder: &str) -> String {
    let in_folder = |module: &usize| tree.folder(tree.modules[*module].file) == Some(folder);
    let last = found.through.iter().rev().find(|through| in_folder(through));
    let mut path = match &found.target {
        Target::Item(module, _) | Target::Module(module) if in_folder(module) => tree.modules[*module].path.clone(),
        _ => last.map(|last| tree.modules[*last].path.clone()).unwrap_or_default(),
    };
    if let Target::Item(_, name) = &found.target {
        path.push(name.clone());
    }
    path.join("::")
}
