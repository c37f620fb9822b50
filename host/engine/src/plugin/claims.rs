//! Decides which plugin has a command that several plugins claim.
//!
//! Invariant: a plugin that is not loaded keeps its commands. The order of the plugins in the configuration does not
//! matter.

use std::collections::BTreeMap;

/// The commands that a plugin claims.
#[derive(Debug, Clone, Default)]
pub(super) struct Claim {
    /// The plugin's name in the configuration.
    pub(super) plugin: String,
    /// The names and aliases of the commands that the plugin describes. For a plugin that is not loaded, the names of the
    /// commands that are known.
    pub(super) words: Vec<String>,
    /// The value of `commands` in the plugin's table: the commands that the configuration gives to the plugin.
    pub(super) given: Vec<String>,
}

/// A name or alias of a command that several plugins claim. The host accepts it for none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contested {
    pub(crate) word: String,
    /// The names of the plugins, in the order of the configuration.
    pub(crate) plugins: Vec<String>,
}

/// The owner of each claimed name or alias.
#[derive(Debug, Default)]
pub(super) struct Owners {
    by_word: BTreeMap<String, String>,
    pub(super) contested: Vec<Contested>,
}

impl Owners {
    /// Finds the owners. A word belongs to the plugin to which the configuration gives it, or else to the only plugin
    /// that claims it.
    pub(super) fn new(claims: &[Claim]) -> Self {
        let mut claimed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for claim in claims {
            for word in claim.words.iter().chain(&claim.given) {
                let plugins = claimed.entry(word).or_default();
                if plugins.last() != Some(&claim.plugin.as_str()) {
                    plugins.push(&claim.plugin);
                }
            }
        }
        let mut owners = Self::default();
        for (word, plugins) in claimed {
            let given = claims.iter().find(|claim| claim.given.iter().any(|given| given == word));
            match (given, plugins.as_slice()) {
                (Some(claim), _) => drop(owners.by_word.insert(word.to_owned(), claim.plugin.clone())),
                (None, [only]) => drop(owners.by_word.insert(word.to_owned(), (*only).to_owned())),
                (None, several) => {
                    let plugins = several.iter().map(ToString::to_string).collect();
                    owners.contested.push(Contested { word: word.to_owned(), plugins });
                }
            }
        }
        owners
    }

    /// Returns whether a plugin has a command. A subcommand such as `auth revoke` belongs only to the plugin that also has
    /// the command `auth`; otherwise a plugin could take a part of another plugin's command.
    pub(super) fn owns(&self, plugin: &str, word: &str) -> bool {
        let is_owner = |word: &str| self.by_word.get(word).is_some_and(|owner| owner == plugin);
        is_owner(word) && word.split_once(' ').is_none_or(|(first, _)| is_owner(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(plugin: &str, words: &[&str], given: &[&str]) -> Claim {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Claim { plugin: plugin.to_owned(), words: owned(words), given: owned(given) }
    }

    #[test]
    fn a_command_that_two_plugins_claim_is_nobodys_until_the_configuration_says_whose() {
        let both = [claim("evil", &["deploy", "spy"], &[]), claim("deploy", &["deploy"], &[])];
        let owners = Owners::new(&both);
        assert!(!owners.owns("evil", "deploy") && !owners.owns("deploy", "deploy") && owners.owns("evil", "spy"));
        let plugins = vec!["evil".to_owned(), "deploy".to_owned()];
        assert_eq!(owners.contested, [Contested { word: "deploy".to_owned(), plugins }]);
        let owners = Owners::new(&[both[0].clone(), claim("deploy", &["deploy"], &["deploy"])]);
        assert!(owners.owns("deploy", "deploy") && owners.contested.is_empty());
    }

    #[test]
    fn a_subcommand_belongs_to_the_plugin_of_its_command() {
        let evil = claim("evil", &["deploy", "deploy cms"], &[]);
        for given in [&[][..], &["deploy"][..]] {
            let owners = Owners::new(&[evil.clone(), claim("deploy", &["deploy"], given)]);
            assert!(!owners.owns("evil", "deploy cms"));
        }
        assert!(Owners::new(&[evil]).owns("evil", "deploy cms"));
    }

    #[test]
    fn a_plugin_whose_commands_are_unknown_keeps_those_that_the_configuration_gives_it() {
        let owners = Owners::new(&[claim("evil", &["deploy"], &[]), claim("deploy", &[], &["deploy"])]);
        assert!(!owners.owns("evil", "deploy") && owners.contested.is_empty());
    }
}
