//! Finds the imports of each module from other folders and other files.

use std::collections::BTreeSet;

use super::mention::{Mention, mentions};
use super::scope::{Found, Scopes, Target};
use super::tree::Tree;

/// One use of an item of another folder or file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ImportEdge {
    /// The index of the importing file in [`Tree::files`].
    pub(crate) file: usize,
    pub(crate) line: usize,
    pub(crate) to: EdgeTarget,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EdgeTarget {
    /// A folder and the imported item, for example `engine` and `engine::handle`.
    Folder(String, String),
    /// The index of the file that defines the imported item.
    File(usize),
}

/// Returns all uses of items of other folders and files, sorted.
pub(crate) fn import_edges(tree: &Tree) -> BTreeSet<ImportEdge> {
    let scopes = Scopes::of(tree);
    let mut import_edges = BTreeSet::new();
    for (index, module) in tree.modules.iter().enumerate() {
        let own = tree.folder(module.file);
        for mention in mentions(module) {
            for found in resolve(&scopes, index, &mention) {
                let mut add = |to| import_edges.insert(ImportEdge { file: module.file, line: mention.line, to });
                let folders = found.through.iter().filter_map(|through| tree.folder(tree.modules[*through].file));
                for folder in folders.filter(|folder| Some(*folder) != own) {
                    add(EdgeTarget::Folder(folder.to_owned(), shown(tree, &found, folder)));
                }
                // A module alone does not count: the use of its items has a longer path.
                if let Target::Item(defining, _) = &found.target {
                    let file = tree.modules[*defining].file;
                    if file != module.file {
                        add(EdgeTarget::File(file));
                    }
                }
            }
        }
    }
    import_edges
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

/// Returns the path of the imported item, beginning with the folder: `engine::handle`.
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
