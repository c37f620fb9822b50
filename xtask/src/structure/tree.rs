//! Parses a crate without its tests: files, modules and items.
//!
//! Invariant: items, inline modules and module files under `#[cfg(test)]` are left out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use syn::spanned::Spanned as _;

/// A parsed crate.
pub(crate) struct Tree {
    /// The files in the order of their `mod` declarations; the first is `lib.rs`.
    pub(crate) files: Vec<File>,
    /// The modules; the first is the crate root.
    pub(crate) modules: Vec<Module>,
    /// Names of the top-level modules under `#[cfg(test)]`.
    pub(crate) test_modules: BTreeSet<String>,
}

pub(crate) struct File {
    /// The path relative to the folder of `lib.rs`.
    pub(crate) path: PathBuf,
    /// Number of lines that are not under `#[cfg(test)]`.
    pub(crate) product_lines: usize,
}

/// A module, inline or in a separate file.
pub(crate) struct Module {
    /// The path from the crate root, without `crate`.
    pub(crate) path: Vec<String>,
    pub(crate) parent: Option<usize>,
    pub(crate) file: usize,
    pub(crate) items: Vec<Item>,
}

pub(crate) enum Item {
    /// A child module: its name, its visibility, its index in [`Tree::modules`], and whether it has `#[doc(hidden)]`.
    Module(String, syn::Visibility, usize, bool),
    Other(Box<syn::Item>),
}

impl Tree {
    /// Parses the crate whose `lib.rs` is in `source`.
    pub(crate) fn read(source: &Path) -> Result<Self> {
        let mut tree = Self { files: Vec::new(), modules: Vec::new(), test_modules: BTreeSet::new() };
        tree.file(source, PathBuf::from("lib.rs"), source, Vec::new(), None)?;
        Ok(tree)
    }

    /// Returns the first part of a file's path, for example `job` for `job/card.rs` and `job.rs`; `None` for `lib.rs`.
    pub(crate) fn folder(&self, file: usize) -> Option<&str> {
        let path = &self.files[file].path;
        let first = Path::new(path.components().next()?.as_os_str());
        Some(first.file_stem()?.to_str()?).filter(|_| path != Path::new("lib.rs"))
    }

    /// Adds a file and its modules. `children` is the folder of the files that `mod name;` declares.
    fn file(
        &mut self,
        source: &Path,
        path: PathBuf,
        children: &Path,
        module: Vec<String>,
        parent: Option<usize>,
    ) -> Result<usize> {
        let absolute = source.join(&path);
        let text = fs::read_to_string(&absolute).with_context(|| format!("cannot read {}", absolute.display()))?;
        let parsed = syn::parse_file(&text).with_context(|| format!("cannot parse {}", absolute.display()))?;
        let file = self.files.len();
        self.files.push(File { path, product_lines: text.lines().count() });
        self.module(source, file, children, module, parent, parsed.items)
    }

    fn module(
        &mut self,
        source: &Path,
        file: usize,
        children: &Path,
        path: Vec<String>,
        parent: Option<usize>,
        items: Vec<syn::Item>,
    ) -> Result<usize> {
        let index = self.modules.len();
        self.modules.push(Module { path: path.clone(), parent, file, items: Vec::new() });
        for item in items {
            if is_test(attributes(&item)) {
                let (first, last) = (item.span().start().line, item.span().end().line);
                self.files[file].product_lines -= last + 1 - first;
                if let (syn::Item::Mod(module), None) = (&item, parent) {
                    self.test_modules.insert(module.ident.to_string());
                }
                continue;
            }
            let item = match item {
                syn::Item::Mod(item) => {
                    let name = item.ident.to_string().trim_start_matches("r#").to_owned();
                    let mut path = path.clone();
                    path.push(name.clone());
                    let child = match item.content {
                        Some((_, items)) => {
                            self.module(source, file, &children.join(&name), path, Some(index), items)?
                        }
                        None => {
                            let (found, children) = self.declared(source, file, children, &name, &item.attrs)?;
                            self.file(source, found, &children, path, Some(index))?
                        }
                    };
                    let hidden = item.attrs.iter().any(|attribute| match &attribute.meta {
                        syn::Meta::List(list) => list.path.is_ident("doc") && list.tokens.to_string() == "hidden",
                        _ => false,
                    });
                    Item::Module(name, item.vis, child, hidden)
                }
                other => Item::Other(Box::new(other)),
            };
            self.modules[index].items.push(item);
        }
        Ok(index)
    }

    /// Returns the file of `mod name;` relative to `source`, and the folder of its children.
    fn declared(
        &self,
        source: &Path,
        file: usize,
        children: &Path,
        name: &str,
        attributes: &[syn::Attribute],
    ) -> Result<(PathBuf, PathBuf)> {
        let declaring = source.join(&self.files[file].path);
        let candidates = match attributes.iter().find_map(path_attribute) {
            Some(path) => vec![declaring.with_file_name(path)],
            None => vec![children.join(format!("{name}.rs")), children.join(name).join("mod.rs")],
        };
        let Some(found) = candidates.iter().find(|candidate| candidate.is_file()) else {
            bail!("{}: the file of `mod {name};` is missing", declaring.display());
        };
        let children = match found.file_name().is_some_and(|file| file == "mod.rs") {
            true => found.with_file_name(""),
            false => found.with_extension(""),
        };
        Ok((found.strip_prefix(source).unwrap_or(found).to_owned(), children))
    }
}

/// Returns true if an item with these attributes is compiled only for tests: `#[test]`, `#[cfg(test)]`,
/// `#[cfg(all(test, ...))]`.
pub(crate) fn is_test(attributes: &[syn::Attribute]) -> bool {
    fn needs_test(meta: &syn::Meta) -> bool {
        match meta {
            syn::Meta::Path(path) => path.is_ident("test"),
            syn::Meta::List(list) if list.path.is_ident("all") => nested(list).iter().any(needs_test),
            _ => false,
        }
    }
    fn nested(list: &syn::MetaList) -> Vec<syn::Meta> {
        let parser = syn::punctuated::Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated;
        list.parse_args_with(parser).map(|metas| metas.into_iter().collect()).unwrap_or_default()
    }
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => nested(list).iter().any(needs_test),
        meta => needs_test(meta),
    })
}

fn path_attribute(attribute: &syn::Attribute) -> Option<String> {
    let syn::Meta::NameValue(pair) = &attribute.meta else { return None };
    let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &pair.value else { return None };
    pair.path.is_ident("path").then(|| text.value())
}

pub(crate) fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::ExternCrate(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::ForeignMod(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::TraitAlias(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Union(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
