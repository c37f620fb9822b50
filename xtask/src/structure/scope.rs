//! Resolves paths to items.
//!
//! The resolution follows `use` with renames, nested groups and globs, `pub use` re-exports, `crate`, `self` and
//! `super`. It does not distinguish namespaces: a path that can be a type or a function resolves to both.

use std::collections::BTreeMap;

use super::tree::{Item, Tree};

/// Maximum length of a chain of imports. A longer chain is treated as a loop.
const MAX_DEPTH: usize = 24;

/// The names in every module of a [`Tree`].
pub(crate) struct Scopes<'tree> {
    tree: &'tree Tree,
    modules: Vec<Scope>,
    /// `macro_rules!` without `#[macro_export]`, which later files can call without a path.
    macros: BTreeMap<String, usize>,
}

#[derive(Default)]
struct Scope {
    names: BTreeMap<String, Vec<Name>>,
    globs: Vec<(Vec<String>, bool)>,
}

struct Name {
    means: Meaning,
    private: bool,
}

enum Meaning {
    Module(usize),
    /// An item that the module defines. `container` is true for a type or a trait, which can be followed by `::name`.
    Item {
        container: bool,
    },
    /// An import: a path relative to the module.
    Import(Vec<String>),
}

impl Meaning {
    fn is_container(&self) -> bool {
        matches!(self, Self::Module(_) | Self::Item { container: true })
    }
}

/// The module or item that a path resolves to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    Module(usize),
    /// The module that defines the item, and the item's name in it.
    Item(usize, String),
    /// An item of another crate, with the path as written.
    External(Vec<String>),
}

/// A resolved path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    pub(crate) target: Target,
    /// The modules in the path, up to the first re-export outside of `lib.rs`.
    pub(crate) through: Vec<usize>,
}

/// One imported path of a `use` item.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    pub(crate) path: Vec<String>,
    /// The name in the importing module; `None` for `as _` and for a glob.
    pub(crate) name: Option<String>,
    pub(crate) glob: bool,
    pub(crate) line: usize,
}

impl<'tree> Scopes<'tree> {
    pub(crate) fn of(tree: &'tree Tree) -> Self {
        let modules = tree.modules.iter().map(|_| Scope::default()).collect();
        let mut scopes = Self { tree, modules, macros: BTreeMap::new() };
        for (index, module) in tree.modules.iter().enumerate() {
            for item in &module.items {
                scopes.add(index, item);
            }
        }
        scopes
    }

    fn add(&mut self, module: usize, item: &Item) {
        let item = match item {
            Item::Module(name, visibility, child, _) => {
                return self.name(module, name, Meaning::Module(*child), visibility);
            }
            Item::Other(item) => item.as_ref(),
        };
        match item {
            syn::Item::Use(item) => {
                for leaf in leaves(item) {
                    let private = is_private(&item.vis);
                    if leaf.glob {
                        self.modules[module].globs.push((leaf.path, private));
                    } else if let Some(name) = leaf.name {
                        self.name(module, &name, Meaning::Import(leaf.path), &item.vis);
                    }
                }
            }
            syn::Item::ExternCrate(item) if item.ident == "self" => {
                if let Some((_, name)) = &item.rename {
                    self.name(module, &name.to_string(), Meaning::Import(vec!["crate".into()]), &item.vis);
                }
            }
            syn::Item::Macro(item) => {
                let Some(name) = &item.ident else { return };
                if item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export")) && module != 0 {
                    // An exported macro is in the crate root. Import it there from the module that defines it.
                    let path =
                        std::iter::once("crate".to_owned()).chain(self.tree.modules[module].path.iter().cloned());
                    let path = path.chain([name.to_string()]).collect();
                    self.name(0, &name.to_string(), Meaning::Import(path), &public());
                } else {
                    self.macros.insert(name.to_string(), module);
                }
                self.name(module, &name.to_string(), Meaning::Item { container: false }, &public());
            }
            other => {
                if let Some((name, visibility)) = definition(other) {
                    let container = !matches!(other, syn::Item::Fn(_) | syn::Item::Const(_) | syn::Item::Static(_));
                    self.name(module, &name, Meaning::Item { container }, visibility);
                }
            }
        }
    }

    fn name(&mut self, module: usize, name: &str, means: Meaning, visibility: &syn::Visibility) {
        let name = name.trim_start_matches("r#").to_owned();
        let private = is_private(visibility);
        self.modules[module].names.entry(name).or_default().push(Name { means, private });
    }

    /// Resolves a path in the code of a module.
    pub(crate) fn resolve(&self, module: usize, path: &[String]) -> Vec<Found> {
        let mut found = Walk { scopes: self, active: Vec::new() }.follow(module, path);
        found.sort();
        found.dedup();
        found
    }

    /// Returns the module that defines a `macro_rules!` macro without `#[macro_export]`.
    pub(crate) fn textual_macro(&self, name: &str) -> Option<usize> {
        self.macros.get(name).copied()
    }

    /// Returns true if code in `from` can use a private name of `at`.
    fn is_inside(&self, from: usize, at: usize) -> bool {
        let mut module = Some(from);
        while let Some(index) = module {
            if index == at {
                return true;
            }
            module = self.tree.modules[index].parent;
        }
        false
    }

    fn is_in_root_file(&self, module: usize) -> bool {
        self.tree.modules[module].file == 0
    }
}

/// One resolution in progress.
struct Walk<'scopes> {
    scopes: &'scopes Scopes<'scopes>,
    /// The unfinished lookups (module, name, length of the rest), to detect loops of imports and globs.
    active: Vec<(usize, String, usize)>,
}

impl Walk<'_> {
    fn follow(&mut self, module: usize, path: &[String]) -> Vec<Found> {
        let Some((first, rest)) = path.split_first() else { return Vec::new() };
        match first.as_str() {
            "crate" => self.walk(module, 0, rest, Vec::new()),
            "self" => self.walk(module, module, rest, Vec::new()),
            "super" => match self.scopes.tree.modules[module].parent {
                // `super::super` continues in the parent.
                Some(parent) if rest.first().is_some_and(|next| next == "super") => self.follow(parent, rest),
                Some(parent) => self.walk(module, parent, rest, Vec::new()),
                None => Vec::new(),
            },
            _ => {
                let found = self.enter(module, module, first, rest, Vec::new());
                let external = || Found { target: Target::External(path.to_vec()), through: Vec::new() };
                if found.is_empty() { vec![external()] } else { found }
            }
        }
    }

    /// Continues in `at` the resolution of a path in the code of `from`.
    fn walk(&mut self, from: usize, at: usize, path: &[String], mut through: Vec<usize>) -> Vec<Found> {
        through.push(at);
        let Some((first, rest)) = path.split_first() else {
            return vec![Found { target: Target::Module(at), through }];
        };
        let found = self.enter(from, at, first, rest, through.clone());
        if !found.is_empty() {
            return found;
        }
        // The name does not exist or is generated by a macro. The path then resolves to an item of the module.
        vec![Found { target: Target::Item(at, first.clone()), through }]
    }

    /// Looks up a name in `at` and continues with the rest of the path.
    fn enter(&mut self, from: usize, at: usize, name: &str, rest: &[String], through: Vec<usize>) -> Vec<Found> {
        let lookup = (at, name.to_owned(), rest.len());
        if self.active.len() == MAX_DEPTH || self.active.contains(&lookup) {
            return Vec::new();
        }
        self.active.push(lookup);
        let mut found = self.by_name(from, at, name, rest, &through);
        if found.is_empty() {
            found = self.by_glob(from, at, name, rest, &through);
        }
        self.active.pop();
        found
    }

    fn by_name(&mut self, from: usize, at: usize, name: &str, rest: &[String], through: &[usize]) -> Vec<Found> {
        let scopes = self.scopes;
        let mut found = Vec::new();
        let names = scopes.modules[at].names.get(name).map(Vec::as_slice).unwrap_or_default();
        let visible = |name: &&Name| !name.private || scopes.is_inside(from, at);
        // If the path continues, the name must be a container, so a function with the same name is ignored.
        let container = names.iter().filter(visible).find(|name| !rest.is_empty() && name.means.is_container());
        let meant = |name: &&Name| container.is_none_or(|container| std::ptr::eq(container, *name));
        for candidate in names.iter().filter(visible).filter(meant) {
            match &candidate.means {
                Meaning::Module(child) => found.extend(self.walk(from, *child, rest, through.to_vec())),
                Meaning::Item { .. } => {
                    found.push(Found { target: Target::Item(at, name.to_owned()), through: through.to_vec() });
                }
                Meaning::Import(path) => {
                    for further in self.follow(at, &[path, rest].concat()) {
                        // Modules behind an import belong to the importing module, except behind an import in `lib.rs`.
                        let behind = if scopes.is_in_root_file(at) { further.through } else { Vec::new() };
                        found.push(Found { target: further.target, through: [through, &behind].concat() });
                    }
                }
            }
        }
        found
    }

    fn by_glob(&mut self, from: usize, at: usize, name: &str, rest: &[String], through: &[usize]) -> Vec<Found> {
        let scopes = self.scopes;
        let mut found = Vec::new();
        for (glob, private) in &scopes.modules[at].globs {
            if *private && !scopes.is_inside(from, at) {
                continue;
            }
            for place in self.follow(at, glob) {
                let Target::Module(target) = place.target else { continue };
                for further in self.enter(from, target, name, rest, Vec::new()) {
                    // Treat the glob like an import, but always count a module that is named after the glob.
                    let mut behind = further.through;
                    if scopes.is_in_root_file(at) {
                        behind.splice(..0, place.through.iter().copied());
                    }
                    found.push(Found { target: further.target, through: [through, &behind].concat() });
                }
            }
        }
        found
    }
}

/// Returns the imported paths of a `use` item. A path that begins with `::` has an empty first name.
pub(crate) fn leaves(item: &syn::ItemUse) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    let prefix = if item.leading_colon.is_some() { vec![String::new()] } else { Vec::new() };
    flatten(&item.tree, prefix, &mut leaves);
    leaves
}

fn flatten(tree: &syn::UseTree, prefix: Vec<String>, leaves: &mut Vec<Leaf>) {
    let with = |ident: &syn::Ident| [prefix.as_slice(), &[plain(ident)]].concat();
    match tree {
        syn::UseTree::Path(path) => flatten(&path.tree, with(&path.ident), leaves),
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, prefix.clone(), leaves)),
        syn::UseTree::Glob(glob) => {
            let line = glob.star_token.spans[0].start().line;
            leaves.push(Leaf { path: prefix, name: None, glob: true, line });
        }
        syn::UseTree::Name(name) => {
            let line = name.ident.span().start().line;
            // `use a::{self}` imports `a`.
            let path = if name.ident == "self" && !prefix.is_empty() { prefix.clone() } else { with(&name.ident) };
            let name = path.last().cloned();
            leaves.push(Leaf { path, name, glob: false, line });
        }
        syn::UseTree::Rename(rename) => {
            let line = rename.ident.span().start().line;
            let path = if rename.ident == "self" && !prefix.is_empty() { prefix.clone() } else { with(&rename.ident) };
            let name = Some(plain(&rename.rename)).filter(|name| name != "_");
            leaves.push(Leaf { path, name, glob: false, line });
        }
    }
}

/// Returns an identifier without `r#`.
pub(crate) fn plain(ident: &proc_macro2::Ident) -> String {
    ident.to_string().trim_start_matches("r#").to_owned()
}

/// Returns the name that an item defines, and its visibility.
pub(crate) fn definition(item: &syn::Item) -> Option<(String, &syn::Visibility)> {
    let (ident, visibility) = match item {
        syn::Item::Const(item) => (&item.ident, &item.vis),
        syn::Item::Enum(item) => (&item.ident, &item.vis),
        syn::Item::Fn(item) => (&item.sig.ident, &item.vis),
        syn::Item::Static(item) => (&item.ident, &item.vis),
        syn::Item::Struct(item) => (&item.ident, &item.vis),
        syn::Item::Trait(item) => (&item.ident, &item.vis),
        syn::Item::TraitAlias(item) => (&item.ident, &item.vis),
        syn::Item::Type(item) => (&item.ident, &item.vis),
        syn::Item::Union(item) => (&item.ident, &item.vis),
        _ => return None,
    };
    Some((plain(ident), visibility))
}

fn is_private(visibility: &syn::Visibility) -> bool {
    matches!(visibility, syn::Visibility::Inherited)
}

fn public() -> syn::Visibility {
    syn::Visibility::Public(syn::token::Pub::default())
}
