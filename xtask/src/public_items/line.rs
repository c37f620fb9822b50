//! Formats one line per item or member.

use syn::{ImplItem, Item, TraitItem};

use super::signature::text;
use crate::structure::scope::plain;
use crate::structure::tree::is_test;

/// A member's name and line.
type Member = (String, String);

/// Returns the keyword of an item, for example `struct`.
pub(super) fn kind(item: &Item) -> &'static str {
    match item {
        Item::Const(_) => "const",
        Item::Enum(_) => "enum",
        Item::Fn(_) => "fn",
        Item::Macro(_) => "macro",
        Item::Mod(_) => "mod",
        Item::Static(_) => "static",
        Item::Struct(_) => "struct",
        Item::Trait(_) | Item::TraitAlias(_) => "trait",
        Item::Type(_) => "type",
        Item::Union(_) => "union",
        _ => "item",
    }
}

/// Formats an item: `pub struct wardroom::Engine`, with its generics, bounds and types.
pub(super) fn item(item: &Item, path: &[String]) -> String {
    let path = path.join("::");
    let generics = |generics: &syn::Generics| format!("{}{}", text(generics), spaced(&generics.where_clause));
    let (attributes, line) = match item {
        Item::Const(item) => (&item.attrs, format!("const {path}: {}", text(&item.ty))),
        Item::Enum(item) => (&item.attrs, format!("enum {path}{}", generics(&item.generics))),
        Item::Fn(item) => (&item.attrs, function(&item.sig, &path)),
        Item::Static(item) => (&item.attrs, format!("static {path}: {}", text(&item.ty))),
        Item::Struct(item) => (&item.attrs, format!("struct {path}{}", generics(&item.generics))),
        Item::Trait(item) => {
            let bounds = text(&item.supertraits);
            let bounds = if bounds.is_empty() { bounds } else { format!(": {bounds}") };
            let line = format!("trait {path}{}{bounds}{}", text(&item.generics), spaced(&item.generics.where_clause));
            (&item.attrs, line)
        }
        Item::Type(item) => (&item.attrs, format!("type {path}{} = {}", generics(&item.generics), text(&item.ty))),
        Item::Union(item) => (&item.attrs, format!("union {path}{}", generics(&item.generics))),
        _ => return format!("pub {} {path}", kind(item)),
    };
    format!("{}pub {line}", non_exhaustive(attributes))
}

/// Returns the public fields, the variants, or the items of a trait.
pub(super) fn members(item: &Item, path: &[String]) -> Vec<Member> {
    let path = path.join("::");
    match item {
        Item::Struct(item) => fields(&item.fields, &path),
        Item::Union(item) => fields(&syn::Fields::Named(item.fields.clone()), &path),
        Item::Enum(item) => {
            let variants = item.variants.iter().filter(|variant| !is_test(&variant.attrs));
            variants.map(|variant| self::variant(variant, &path)).collect()
        }
        Item::Trait(item) => item.items.iter().filter_map(|item| of_trait(item, &path)).collect(),
        _ => Vec::new(),
    }
}

/// Returns the public functions and constants of an `impl` block.
pub(super) fn methods(block: &syn::ItemImpl, path: &[String]) -> Vec<Member> {
    let path = path.join("::");
    let public = |visibility: &syn::Visibility| matches!(visibility, syn::Visibility::Public(_));
    let member = |item: &ImplItem| match item {
        ImplItem::Fn(item) if public(&item.vis) && !is_test(&item.attrs) => {
            let name = plain(&item.sig.ident);
            let line = format!("pub {}", function(&item.sig, &format!("{path}::{name}")));
            Some((name, line))
        }
        ImplItem::Const(item) if public(&item.vis) && !is_test(&item.attrs) => {
            let name = plain(&item.ident);
            let line = format!("pub const {path}::{name}: {}", text(&item.ty));
            Some((name, line))
        }
        _ => None,
    };
    block.items.iter().filter_map(member).collect()
}

fn of_trait(item: &TraitItem, path: &str) -> Option<Member> {
    let provided = |provided: bool| if provided { " { .. }" } else { "" };
    match item {
        TraitItem::Fn(item) if !is_test(&item.attrs) => {
            let name = plain(&item.sig.ident);
            let line = function(&item.sig, &format!("{path}::{name}"));
            Some((name, line + provided(item.default.is_some())))
        }
        TraitItem::Const(item) => {
            let name = plain(&item.ident);
            let line = format!("const {path}::{name}: {}", text(&item.ty));
            Some((name, line + provided(item.default.is_some())))
        }
        TraitItem::Type(item) => {
            let name = plain(&item.ident);
            let bounds = text(&item.bounds);
            let bounds = if bounds.is_empty() { bounds } else { format!(": {bounds}") };
            Some((name.clone(), format!("type {path}::{name}{}{bounds}", text(&item.generics))))
        }
        _ => None,
    }
}

fn fields(fields: &syn::Fields, path: &str) -> Vec<Member> {
    let field = |(index, field): (usize, &syn::Field)| {
        let name = field.ident.as_ref().map_or_else(|| index.to_string(), plain);
        let public = matches!(field.vis, syn::Visibility::Public(_)) && !is_test(&field.attrs);
        public.then(|| (name.clone(), format!("pub {path}::{name}: {}", text(&field.ty))))
    };
    fields.iter().enumerate().filter_map(field).collect()
}

fn variant(variant: &syn::Variant, path: &str) -> Member {
    let name = plain(&variant.ident);
    let payload = match &variant.fields {
        syn::Fields::Unit => String::new(),
        syn::Fields::Unnamed(fields) => {
            let types = fields.unnamed.iter().map(|field| text(&field.ty)).collect::<Vec<_>>();
            format!("({})", types.join(", "))
        }
        syn::Fields::Named(fields) => {
            let named = |field: &syn::Field| {
                format!("{}: {}", field.ident.as_ref().map(plain).unwrap_or_default(), text(&field.ty))
            };
            format!(" {{ {} }}", fields.named.iter().map(named).collect::<Vec<_>>().join(", "))
        }
    };
    let line = format!("{}{path}::{name}{payload}", non_exhaustive(&variant.attrs));
    (name, line)
}

/// Formats a signature with `path` as its name, and without attributes.
fn function(signature: &syn::Signature, path: &str) -> String {
    let mut signature = signature.clone();
    for input in &mut signature.inputs {
        match input {
            syn::FnArg::Receiver(receiver) => receiver.attrs.clear(),
            syn::FnArg::Typed(argument) => {
                argument.attrs.clear();
                // `mut` of a parameter is not part of the interface.
                if let syn::Pat::Ident(name) = argument.pat.as_mut() {
                    name.mutability = None;
                }
            }
        }
    }
    let syn::Signature { constness, asyncness, unsafety, abi, generics, inputs, output, .. } = &signature;
    let mut line = String::new();
    for word in [text(constness), text(asyncness), text(unsafety), text(abi)] {
        if !word.is_empty() {
            line.push_str(&format!("{word} "));
        }
    }
    let inputs = inputs.iter().map(text).collect::<Vec<_>>().join(", ");
    line.push_str(&format!("fn {path}{}({inputs}){}", text(generics), spaced(output)));
    line + &spaced(&generics.where_clause)
}

fn non_exhaustive(attributes: &[syn::Attribute]) -> &'static str {
    let found = attributes.iter().any(|attribute| attribute.path().is_ident("non_exhaustive"));
    if found { "#[non_exhaustive] " } else { "" }
}

fn spaced(tokens: &impl quote::ToTokens) -> String {
    if tokens.to_token_stream().is_empty() { String::new() } else { format!(" {}", text(tokens)) }
}
