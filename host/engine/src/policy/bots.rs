//! The bots of a host, and the environments that each bot may change.
//!
//! Invariant: a bot that is no longer in the configuration may change nothing.
//! Not here: the bots' accounts (`messaging`).

/// A bot and the environments that it may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bot {
    pub name: String,
    /// The environments that the bot may change, in the order of the configuration.
    pub environments: Vec<String>,
}

/// The bots of a host, in the order of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bots(Vec<Bot>);

impl Bots {
    pub(crate) fn new(bots: Vec<Bot>) -> Self {
        Self(bots)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bot> {
        self.0.iter()
    }

    /// Returns the bot with this name. Data that was stored before bots had names contains an empty name. An empty name
    /// therefore means the first bot in the configuration.
    pub(crate) fn get(&self, name: &str) -> Option<&Bot> {
        if name.is_empty() { self.0.first() } else { self.0.iter().find(|bot| bot.name == name) }
    }

    pub(crate) fn may_change(&self, name: &str, environment: &str) -> bool {
        self.environments(name).iter().any(|known| known == environment)
    }

    /// Returns the environments that a bot may change. Empty if the configuration has no bot with this name.
    pub(crate) fn environments(&self, name: &str) -> &[String] {
        self.get(name).map(|bot| bot.environments.as_slice()).unwrap_or_default()
    }

    /// Returns the names of the bots that may change an environment.
    pub(crate) fn that_may_change<'a>(&'a self, environment: &'a str) -> impl Iterator<Item = &'a str> {
        let may_change = move |bot: &&Bot| bot.environments.iter().any(|known| known == environment);
        self.0.iter().filter(may_change).map(|bot| bot.name.as_str())
    }
}
