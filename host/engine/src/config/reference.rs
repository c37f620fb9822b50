//! Lists every key that `plugins.toml` can have with the adapters of a build, and generates the reference page.
//!
//! Not here: the definitions of the keys, which are constants in the files that read the tables.

use std::fmt::Write as _;

use super::{
    bots,
    read::{FILE_KEYS, Registry},
    rules,
};
use crate::base::{Key, KeyKind, Presence, TableKeys, find_key};

/// One table of `plugins.toml` on the reference page.
#[derive(Debug, Clone)]
struct Section {
    /// The path of the table, for example `bot.NAME.matrix`; empty for the top-level keys of the file.
    path: &'static str,
    /// The heading of the section, for example `[bot.NAME.matrix]` in backquotes.
    heading: String,
    about: &'static str,
    keys: Vec<Key>,
    /// The kind of pipeline system to which the table and its subtables belong.
    kind: Option<&'static str>,
}

/// The keys of the reference page that depend on the adapters and host calls of the build.
struct Added<'r> {
    registry: &'r Registry,
    /// The keys that grants and approval rules can have, one for each attribute of the host calls, such as `app`.
    attributes: Vec<Key>,
}

/// Every key of `plugins.toml`. Returned by [`EngineBuilder::reference`](crate::EngineBuilder::reference).
#[derive(Debug, Clone)]
pub struct Reference {
    sections: Vec<Section>,
}

impl Reference {
    /// Collects the keys of the engine and of the registered adapters and capabilities.
    ///
    /// # Errors
    /// Same as [`Registry::calls`].
    pub(crate) fn new(registry: &Registry) -> Result<Self, String> {
        let attributes = rules::attribute_keys(registry.calls()?.table());
        let mut reference = Self { sections: Vec::new() };
        reference.add("The file".to_owned(), &FILE_KEYS, None, &Added { registry, attributes });
        Ok(reference)
    }

    /// Finds a key by the path of its table and its name, for example `bot.NAME` and `prefix`.
    pub fn find(&self, path: &str, name: &str) -> Option<Key> {
        // The keys of a deployment are in several sections with the same path, one for each kind of pipeline system.
        let sections = self.sections.iter().filter(|section| section.path == path);
        find_key(sections.flat_map(|section| &section.keys), name)
    }

    /// Adds the section of a table and the sections of its subtables, except for sections that the page already has.
    fn add(&mut self, heading: String, table: &TableKeys, kind: Option<&'static str>, added: &Added<'_>) {
        if self.sections.iter().any(|section| section.heading == heading) {
            return;
        }
        let registry = added.registry;
        let mut keys = table.keys.to_vec();
        match table.path {
            "" => {
                keys.extend(registry.capabilities.iter().flat_map(|capability| capability.keys()));
                keys.extend(registry.secrets.iter().flat_map(|secrets| secrets.keys()));
                keys.extend(registry.identities.iter().flat_map(|identities| identities.keys()));
            }
            "bot.NAME" => keys.extend(bots::network_keys(registry)),
            "approval" | "plugin.NAME.allow" => keys.extend(&added.attributes),
            _ => {}
        }
        self.sections.push(Section { path: table.path, heading, about: table.about, keys: keys.clone(), kind });
        self.add_below(&keys, kind, added);
        for factory in &registry.pipelines {
            let own = match table.path {
                "app.NAME.deploy.ENVIRONMENT" => factory.keys(),
                "pipelines.NAME" => factory.system_keys(),
                _ => continue,
            };
            if !own.keys.is_empty() {
                // The keys of a pipeline kind have their own section, because they are valid only for pipelines of this
                // kind.
                let kind = Some(factory.kind());
                let heading = of_kind(format!("`[{}]`", table.path), kind);
                let keys = own.keys.to_vec();
                self.sections.push(Section { path: table.path, heading, about: own.about, keys, kind });
                self.add_below(own.keys, kind, added);
            }
        }
    }

    fn add_below(&mut self, keys: &[Key], kind: Option<&'static str>, added: &Added<'_>) {
        for key in keys {
            if let Some(below) = key.kind.below() {
                self.add(of_kind(heading_of(key.kind, below), kind), below, kind, added);
            }
        }
    }

    /// Returns the reference page as Markdown: a section per table of `plugins.toml`, with the keys in a Markdown
    /// table.
    pub fn markdown(&self) -> String {
        let mut page = String::new();
        for section in &self.sections {
            let _ = write!(page, "## {}\n\n{}\n", section.heading, section.about);
            if section.keys.is_empty() {
                page.push_str("\nThe table has no keys.\n\n");
                continue;
            }
            page.push_str("\n| key | type | default | meaning |\n|---|---|---|---|\n");
            for key in &section.keys {
                let _ = writeln!(
                    page,
                    "| {} | {} | {} | {} |",
                    name(key),
                    kind(key, section.kind),
                    default(key),
                    key.about
                );
            }
            page.push('\n');
        }
        page
    }
}

/// Returns the heading of a table that only pipeline systems of one kind have.
fn of_kind(heading: String, kind: Option<&str>) -> String {
    match kind {
        Some(kind) => format!("{heading} of the kind `{kind}`"),
        None => heading,
    }
}

fn heading_of(kind: KeyKind, below: &TableKeys) -> String {
    match kind {
        KeyKind::Array(_) => format!("`[[{}]]`", below.path),
        _ => format!("`[{}]`", below.path),
    }
}

fn name(key: &Key) -> String {
    if key.any_name { format!("*{}* (any name)", key.name) } else { format!("`{}`", key.name) }
}

/// Returns the type of a key as Markdown, with a link to the section of its subtable. `kind` is the kind of pipeline system
/// that has the key.
fn kind(key: &Key, kind: Option<&str>) -> String {
    let described = key.kind.describe();
    let Some(below) = key.kind.below() else { return described };
    // mdBook creates the anchor of a heading in the same way.
    let anchor: String = of_kind(below.path.to_owned(), kind)
        .chars()
        .filter(|letter| letter.is_alphanumeric() || matches!(letter, '_' | ' '))
        .map(|letter| if letter == ' ' { '-' } else { letter })
        .collect();
    format!("[{described}](#{})", anchor.to_lowercase())
}

fn default(key: &Key) -> String {
    match (key.presence, key.default) {
        (Presence::Required, _) => "required".to_owned(),
        (Presence::RequiredUnless(exception), _) => format!("required, except {exception}"),
        (Presence::Optional, None) => String::new(),
        (Presence::Optional, Some(value)) => match key.kind {
            KeyKind::Boolean | KeyKind::Integer { .. } => format!("`{value}`"),
            _ => format!("`\"{value}\"`"),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::hostcall::{CallRow, Capability};

    struct WithKeys(&'static [Key]);

    impl Capability for WithKeys {
        fn calls(&self) -> Vec<CallRow> {
            Vec::new()
        }
        fn keys(&self) -> &'static [Key] {
            self.0
        }
    }

    #[test]
    fn a_top_level_key_of_two_capabilities_or_of_the_engine_is_rejected() {
        const TRACKER: [Key; 1] = [Key::string("tracker", "The URL of the tracker.")];
        const STORE: [Key; 1] = [Key::string("store", "A key of the engine.")];
        for (keys, name) in [([&TRACKER, &TRACKER], "tracker"), ([&TRACKER, &STORE], "store")] {
            let capabilities = keys.map(|keys| Arc::new(WithKeys(keys)) as Arc<dyn Capability>).to_vec();
            let registry = Registry { capabilities, ..Registry::default() };
            let error = Reference::new(&registry).unwrap_err();
            assert_eq!(error, format!("a capability adds the top-level key `{name}`, which exists already"));
        }
    }

    #[test]
    fn every_key_has_a_meaning_and_every_default_fits() {
        let registry = Registry::default();
        for section in Reference::new(&registry).unwrap().sections {
            assert!(!section.about.is_empty(), "{}", section.heading);
            for key in &section.keys {
                assert!(!key.about.is_empty(), "{} {}", section.heading, key.name);
                let fits = match (key.kind, key.default) {
                    (_, None) => true,
                    (KeyKind::Integer { least, most }, Some(text)) => {
                        text.parse().is_ok_and(|value: i64| (least..=most).contains(&value))
                    }
                    (KeyKind::Duration { least, most }, Some(text)) => {
                        crate::base::parse_duration(text).is_some_and(|value| (least..=most).contains(&value))
                    }
                    (KeyKind::Choice(words), Some(text)) => words.contains(&text),
                    (KeyKind::Boolean, Some(text)) => text.parse::<bool>().is_ok(),
                    (_, Some(_)) => true,
                };
                assert!(fits, "{} {}: {:?}", section.heading, key.name, key.default);
            }
        }
    }
}
