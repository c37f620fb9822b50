//! Formats the tokens of types and signatures on one line, with spaces as rustfmt sets them.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;

pub(super) fn text(tokens: &impl ToTokens) -> String {
    let mut text = String::new();
    write(tokens.to_token_stream(), &mut text);
    // Remove the trailing comma of a list that is written on several lines.
    let text = text.trim().trim_end_matches(',');
    text.replace(",)", ")").replace(",>", ">")
}

fn write(tokens: TokenStream, text: &mut String) {
    // True if the next token follows without a space.
    let mut tight = true;
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => ("{ ", " }"),
                    Delimiter::None => ("", ""),
                };
                let called = group.delimiter() == Delimiter::Parenthesis && text.ends_with(char::is_alphanumeric);
                if !tight && !called {
                    text.push(' ');
                }
                text.push_str(open);
                write(group.stream(), text);
                text.push_str(close);
                tight = false;
            }
            TokenTree::Punct(punct) => {
                let before = !matches!(punct.as_char(), ',' | ';' | ':' | '>' | '<' | '.');
                let arrow = punct.as_char() == '>' && (text.ends_with('-') || text.ends_with('='));
                if before && !tight {
                    text.push(' ');
                }
                text.push(punct.as_char());
                tight = match punct.as_char() {
                    '<' | '&' | '\'' | '.' | '?' | '!' | '*' | '#' => true,
                    ':' => text.ends_with("::"),
                    '>' => !arrow,
                    _ => false,
                } || punct.spacing() == Spacing::Joint;
                // In `Vec<u8> + Send` and `Fn() -> Vec<u8>`, a word after `>` has a space before it.
                if punct.as_char() == '>' {
                    tight = false;
                }
            }
            TokenTree::Ident(_) | TokenTree::Literal(_) => {
                if !tight {
                    text.push(' ');
                }
                text.push_str(&token.to_string());
                tight = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_read_as_they_are_written() {
        let types = [
            "&'a mut [u8]",
            "&str",
            "Vec<Option<(u8, u16)>>",
            "Box<dyn Fn(u8, &str) -> Result<(), Error> + Send + 'static>",
            "impl Iterator<Item = (&'a str, u8)> + use<'a>",
            "[u8; 32]",
            "std::collections::BTreeMap<String, Vec<u8>>",
            "<T as Iterator>::Item",
            "Pin<Box<dyn Future<Output = ()> + Send + '_>>",
            "fn(u8) -> u8",
            "*const u8",
            "()",
            "!",
            "&dyn Chat",
        ];
        for written in types {
            assert_eq!(text(&syn::parse_str::<syn::Type>(written).unwrap()), written);
        }
    }

    #[test]
    fn generics_keep_their_bounds() {
        let item: syn::ItemStruct = syn::parse_str("struct S<'a, T: ?Sized + Clone, const N: usize,>;").unwrap();
        assert_eq!(text(&item.generics), "<'a, T: ?Sized + Clone, const N: usize>");
    }
}
