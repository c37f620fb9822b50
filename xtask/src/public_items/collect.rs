//! Collects public items by following `pub mod` and `pub use` from the crate root. A module with `#[doc(hidden)]` is
//! not part of the public interface.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Public, line};
use crate::structure::scope::{self, Scopes, Target};
use crate::structure::tree::{Item, Tree};

/// The name of the crate in the paths of other crates.
const CRATE: &str = "wardroom";

/// The defining module, the name and the kind of an item.
type Definition = (usize, String, &'static str);

/// The public items that were reached, with their paths.
struct Walk<'tree> {
    tree: &'tree Tree,
    scopes: Scopes<'tree>,
    /// The shortest path of each item.
    paths: BTreeMap<Definition, Vec<String>>,
    /// Re-exports from other crates: the public path, and the path in the other crate.
    foreign: BTreeMap<Vec<String>, String>,
    /// Public modules with a macro call that may generate items: the module's path, and the macro's name.
    generated: BTreeMap<Vec<String>, String>,
    /// Modules to visit, with the path under which their items are public.
    open: VecDeque<(usize, Vec<String>)>,
    seen: BTreeSet<(usize, Vec<String>)>,
}

/// Returns the public interface of the crate.
pub(crate) fn list(tree: &Tree) -> Public {
    let mut walk = Walk {
        tree,
        scopes: Scopes::of(tree),
        paths: BTreeMap::new(),
        foreign: BTreeMap::new(),
        generated: BTreeMap::new(),
        open: VecDeque::from([(0, vec![CRATE.to_owned()])]),
        seen: BTreeSet::new(),
    };
    // The queue is first in, first out, so that a module is visited under its shortest path first.
    while let Some((module, path)) = walk.open.pop_front() {
        walk.module(module, &path);
    }
    walk.exported_macros();
    walk.lines()
}

impl Walk<'_> {
    fn module(&mut self, module: usize, path: &[String]) {
        if !self.seen.insert((module, path.to_vec())) {
            return;
        }
        for item in &self.tree.modules[module].items {
            match item {
                Item::Module(name, visibility, child, false) if is_public(visibility) => self.child(*child, name, path),
                Item::Module(..) => {}
                Item::Other(item) => match item.as_ref() {
                    syn::Item::Use(item) if is_public(&item.vis) => {
                        for leaf in scope::leaves(item) {
                            self.leaf(module, &leaf, path);
                        }
                    }
                    // The items that the macro generates are not known, so list the macro call.
                    syn::Item::Macro(syn::ItemMacro { ident: None, mac, .. }) => {
                        let name = mac.path.segments.iter().map(|segment| scope::plain(&segment.ident));
                        let name = name.collect::<Vec<_>>().join("::");
                        self.generated.insert(path.to_vec(), name);
                    }
                    item => {
                        if let Some((name, visibility)) = scope::definition(item)
                            && is_public(visibility)
                        {
                            self.add((module, name.clone(), line::kind(item)), with(path, &name));
                        }
                    }
                },
            }
        }
    }

    fn child(&mut self, child: usize, name: &str, path: &[String]) {
        let key = (child, String::new(), "mod");
        // Visit a module only once: a module that re-exports its parent has infinitely many paths.
        if !self.paths.contains_key(&key) {
            self.open.push_back((child, with(path, name)));
        }
        self.add(key, with(path, name));
    }

    fn leaf(&mut self, module: usize, leaf: &scope::Leaf, path: &[String]) {
        for found in self.scopes.resolve(module, &leaf.path) {
            match (found.target, &leaf.name) {
                (Target::External(foreign), name) => {
                    let foreign = foreign.join("::").trim_start_matches("::").to_owned();
                    match name {
                        Some(name) => self.foreign.insert(with(path, name), foreign),
                        None if leaf.glob => self.foreign.insert(with(path, "*"), format!("{foreign}::*")),
                        None => None,
                    };
                }
                (Target::Module(behind), _) if leaf.glob => self.open.push_front((behind, path.to_vec())),
                (Target::Module(child), Some(name)) => self.child(child, name, path),
                (Target::Item(defining, item), Some(name)) => {
                    for kind in self.kinds(defining, &item) {
                        self.add((defining, item.clone(), kind), with(path, name));
                    }
                }
                _ => {}
            }
        }
    }

    /// Returns the kinds of the items with this name. A function and a type can have the same name.
    fn kinds(&self, module: usize, name: &str) -> Vec<&'static str> {
        let items = self.tree.modules[module].items.iter();
        let named = items.filter_map(|item| match item {
            Item::Other(item) => Some(item.as_ref()).filter(|item| {
                scope::definition(item).is_some_and(|(found, visibility)| found == name && is_public(visibility))
            }),
            Item::Module(..) => None,
        });
        let kinds = named.map(line::kind).collect::<Vec<_>>();
        // If a macro generates the item, its kind is not known.
        let is_macro = self.scopes.textual_macro(name).is_some();
        if kinds.is_empty() && !is_macro { vec!["item"] } else { kinds }
    }

    fn add(&mut self, definition: Definition, path: Vec<String>) {
        let known = self.paths.entry(definition).or_insert_with(|| path.clone());
        if (path.len(), &path) < (known.len(), known) {
            *known = path;
        }
    }

    /// Adds macros with `#[macro_export]`, which are public in any module.
    fn exported_macros(&mut self) {
        for (index, module) in self.tree.modules.iter().enumerate() {
            for item in &module.items {
                let Item::Other(item) = item else { continue };
                let syn::Item::Macro(syn::ItemMacro { attrs, ident: Some(name), .. }) = item.as_ref() else { continue };
                if attrs.iter().any(|attribute| attribute.path().is_ident("macro_export")) {
                    let definition = (index, name.to_string(), "macro");
                    self.paths.insert(definition, vec![CRATE.to_owned(), name.to_string()]);
                }
            }
        }
    }

    fn lines(self) -> Public {
        let mut lines = BTreeSet::new();
        for (path, foreign) in &self.foreign {
            lines.insert((path.clone(), format!("pub use {} = {foreign}", path.join("::"))));
        }
        for (path, macro_name) in &self.generated {
            lines.insert((path.clone(), format!("pub items of {macro_name}! in {}", path.join("::"))));
        }
        for ((module, name, kind), path) in &self.paths {
            let item = self.item(*module, name, kind);
            let line = item.map_or_else(|| format!("pub {kind} {}", path.join("::")), |item| line::item(item, path));
            lines.insert((path.clone(), line));
        }
        let listed = lines.len();
        let modules = self.paths.keys().filter(|(.., kind)| *kind == "mod").count();
        let items = self.paths.len() - modules;
        for ((module, name, kind), path) in &self.paths {
            for (member, line) in
                self.item(*module, name, kind).map(|item| line::members(item, path)).unwrap_or_default()
            {
                lines.insert((with(path, &member), line));
            }
        }
        self.methods(&mut lines);
        let members = lines.len() - listed;
        Public { lines: lines.into_iter().map(|(_, line)| line).collect(), modules, items, members }
    }

    fn item(&self, module: usize, name: &str, kind: &str) -> Option<&syn::Item> {
        self.tree.modules[module].items.iter().find_map(|item| match item {
            Item::Other(item) if line::kind(item) == kind => {
                let found = scope::definition(item).is_some_and(|(found, _)| found == name);
                found.then_some(item.as_ref())
            }
            _ => None,
        })
    }

    /// Adds the public functions and constants of `impl` blocks in all modules.
    fn methods(&self, lines: &mut BTreeSet<(Vec<String>, String)>) {
        for (index, module) in self.tree.modules.iter().enumerate() {
            for item in &module.items {
                let Item::Other(item) = item else { continue };
                let syn::Item::Impl(block) = item.as_ref() else { continue };
                let (None, syn::Type::Path(own)) = (&block.trait_, block.self_ty.as_ref()) else { continue };
                let path = own.path.segments.iter().map(|segment| scope::plain(&segment.ident)).collect::<Vec<_>>();
                for found in self.scopes.resolve(index, &path) {
                    let Target::Item(defining, name) = found.target else { continue };
                    let own = |((module, own, kind), _): &(&Definition, _)| {
                        *module == defining && *own == name && !matches!(*kind, "fn" | "const" | "static" | "macro")
                    };
                    let Some((_, path)) = self.paths.iter().find(own) else { continue };
                    for (member, line) in line::methods(block, path) {
                        lines.insert((with(path, &member), line));
                    }
                }
            }
        }
    }
}

fn with(path: &[String], name: &str) -> Vec<String> {
    [path, &[name.to_owned()]].concat()
}

fn is_public(visibility: &syn::Visibility) -> bool {
    matches!(visibility, syn::Visibility::Public(_))
}
