//! Collects the paths in the code of a module, with their lines.
//!
//! The paths are those in `use` items, expressions, types, patterns, bounds, macro calls and the arguments of
//! attributes (also in string literals, as in `#[serde(with = "crate::time")]`).
//! Not here: paths in doc comments and in test code, which are ignored.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::scope::{self, Leaf, plain};
use super::tree::{self, Item, Module};

/// A path in the code of a module. Imports of an enclosing block are already replaced by the paths that they import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    /// True for the glob `use path::*`.
    pub(crate) glob: bool,
    /// True for a macro's name without a path, which needs no import.
    pub(crate) macro_name: bool,
}

/// Returns the paths of one module, without those of its child modules.
pub(crate) fn mentions(module: &Module) -> Vec<Mention> {
    let mut visitor = Visitor { found: Vec::new(), blocks: Vec::new() };
    for item in &module.items {
        if let Item::Other(item) = item {
            visitor.visit_item(item);
        }
    }
    visitor.found
}

struct Visitor {
    found: Vec<Mention>,
    /// The names in the enclosing blocks, innermost last: the path of an import, or `None` for an item.
    blocks: Vec<BTreeMap<String, Option<Vec<String>>>>,
}

impl Visitor {
    fn path(&mut self, path: Vec<String>, line: usize) {
        self.add(Mention { path, line, glob: false, macro_name: false });
    }

    fn add(&mut self, mut mention: Mention) {
        let first = mention.path.first();
        let named = first.and_then(|first| self.blocks.iter().rev().find_map(|names| names.get(first)));
        match named {
            Some(None) => return,
            Some(Some(import)) => mention.path = [import, &mention.path[1..]].concat(),
            None => {}
        }
        self.found.push(mention);
    }

    fn leaf(&mut self, leaf: Leaf) {
        self.add(Mention { path: leaf.path, line: leaf.line, glob: leaf.glob, macro_name: false });
    }

    /// Adds the paths in some tokens. Inside the braces of a `use`, `prefix` is the path before the braces.
    fn tokens(&mut self, tokens: TokenStream, prefix: &[String], literals: bool) {
        let tokens = tokens.into_iter().collect::<Vec<_>>();
        let punct = |at: usize, with: char| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == with);
        let colons = |at: usize| punct(at, ':') && punct(at + 1, ':');
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => {
                    // The paths in the braces of `use a::{b, c}` continue the path before the braces.
                    let before = if group.delimiter() == Delimiter::Brace { prefix } else { &[] };
                    self.tokens(group.stream(), before, literals);
                    at += 1;
                }
                TokenTree::Literal(literal) => {
                    if literals {
                        self.literal(literal);
                    }
                    at += 1;
                }
                TokenTree::Punct(_) => at += 1,
                TokenTree::Ident(ident) => {
                    let field = at > 0 && punct(at - 1, '.') && !(at > 1 && punct(at - 2, '.'));
                    let lifetime = at > 0 && punct(at - 1, '\'');
                    let foreign = at > 1 && colons(at - 2);
                    let line = ident.span().start().line;
                    let mut path = [prefix, &[plain(ident)]].concat();
                    at += 1;
                    while colons(at) {
                        let Some(TokenTree::Ident(next)) = tokens.get(at + 2) else { break };
                        path.push(plain(next));
                        at += 3;
                    }
                    if let (true, Some(TokenTree::Group(group))) = (colons(at), tokens.get(at + 2))
                        && group.delimiter() == Delimiter::Brace
                    {
                        self.tokens(group.stream(), &path, literals);
                        at += 3;
                        continue;
                    }
                    // A single lower-case word is ignored: it is usually a field, a local variable or a keyword.
                    let named = path.len() > 1 || path[0].starts_with(char::is_uppercase) || punct(at, '!');
                    if named && !field && !lifetime && !foreign {
                        let macro_name = path.len() == 1 && punct(at, '!');
                        self.add(Mention { path, line, glob: false, macro_name });
                    }
                }
            }
        }
    }

    /// Adds the path in a string literal if it begins with `crate`, `self` or `super`.
    fn literal(&mut self, literal: &proc_macro2::Literal) {
        let line = literal.span().start().line;
        let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) else { return };
        let Ok(path) = text.parse::<syn::Path>() else { return };
        let path = path.segments.iter().map(|segment| plain(&segment.ident)).collect::<Vec<_>>();
        if path.len() > 1 && matches!(path[0].as_str(), "crate" | "self" | "super") {
            self.path(path, line);
        }
    }
}

impl<'ast> Visit<'ast> for Visitor {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !tree::is_test(tree::attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let attributes = match item {
            syn::ImplItem::Const(item) => &item.attrs,
            syn::ImplItem::Fn(item) => &item.attrs,
            syn::ImplItem::Type(item) => &item.attrs,
            syn::ImplItem::Macro(item) => &item.attrs,
            _ => return,
        };
        if !tree::is_test(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !tree::is_test(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_field_value(&mut self, field: &'ast syn::FieldValue) {
        if !tree::is_test(&field.attrs) {
            visit::visit_field_value(self, field);
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        if !tree::is_test(&variant.attrs) {
            visit::visit_variant(self, variant);
        }
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if !tree::is_test(&arm.attrs) {
            visit::visit_arm(self, arm);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !tree::is_test(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_expr_block(&mut self, block: &'ast syn::ExprBlock) {
        if !tree::is_test(&block.attrs) {
            visit::visit_expr_block(self, block);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        scope::leaves(item).into_iter().for_each(|leaf| self.leaf(leaf));
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        let mut names = BTreeMap::new();
        for statement in &block.stmts {
            let syn::Stmt::Item(item) = statement else { continue };
            if let syn::Item::Use(item) = item {
                let leaves = scope::leaves(item).into_iter();
                // `use name;` does not change the meaning of `name`.
                let renaming = leaves.filter_map(|leaf| Some((leaf.name?, leaf.path)));
                let renaming = renaming.filter(|(name, path)| path.as_slice() != std::slice::from_ref(name));
                names.extend(renaming.map(|(name, path)| (name, Some(path))));
            } else if let Some((name, _)) = scope::definition(item) {
                names.insert(name, None);
            }
        }
        // The paths in a block's imports are resolved outside of the block.
        for statement in &block.stmts {
            if let syn::Stmt::Item(item @ syn::Item::Use(_)) = statement {
                self.visit_item(item);
            }
        }
        self.blocks.push(names);
        for statement in &block.stmts {
            if !matches!(statement, syn::Stmt::Item(syn::Item::Use(_))) {
                self.visit_stmt(statement);
            }
        }
        self.blocks.pop();
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none()
            && let Some(first) = path.segments.first()
        {
            let segments = path.segments.iter().map(|segment| plain(&segment.ident)).collect();
            self.path(segments, first.ident.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if call.path.leading_colon.is_none()
            && let Some(first) = call.path.segments.first()
        {
            let path = call.path.segments.iter().map(|segment| plain(&segment.ident)).collect::<Vec<_>>();
            let (line, macro_name) = (first.ident.span().start().line, path.len() == 1);
            self.add(Mention { path, line, glob: false, macro_name });
        }
        self.tokens(call.tokens.clone(), &[], false);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        let path = attribute.path();
        if path.is_ident("doc") {
            return;
        }
        if path.segments.len() > 1 {
            self.visit_path(path);
        }
        match &attribute.meta {
            syn::Meta::Path(_) => {}
            syn::Meta::List(list) => self.tokens(list.tokens.clone(), &[], true),
            syn::Meta::NameValue(pair) => self.tokens(quote::ToTokens::to_token_stream(&pair.value), &[], true),
        }
    }
}
