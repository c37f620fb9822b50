//! The bots of a host, with the environments that each may change.
//!
//! Invariant: through a bot that is no longer configured, nothing may be changed.
//! Not here: the bots' accounts (`messaging`).

/// The environments of one bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bot {
    /// Its name in the configuration.
    pub name: String,
    /// The environments that it may change, in their order.
    pub environments: Vec<String>,
}

/// The bots of a host, in the order of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bots(Vec<Bot>);

impl Bots {
    /// Creates the list, in the order of the configuration.
    pub(crate) fn new(bots: Vec<Bot>) -> Self {
        Self(bots)
    }

    /// All bots, in the order of the configuration.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bot> {
        self.0.iter()
    }

    /// The bot with this name. The empty name, in rows from before bots had names, is the first bot.
    pub(crate) fn get(&self, name: &str) -> Option<&Bot> {
        if name.is_empty() { self.0.first() } else { self.0.iter().find(|bot| bot.name == name) }
    }

    /// Whether a bot may change an environment.
    pub(crate) fn touches(&self, name: &str, environment: &str) -> bool {
        self.environments(name).iter().any(|known| known == environment)
    }

    /// The environments that a bot may change, in their order.
    pub(crate) fn environments(&self, name: &str) -> &[String] {
        self.get(name).map(|bot| bot.environments.as_slice()).unwrap_or_default()
    }

    /// The bots that may change an environment.
    pub(crate) fn touching<'a>(&'a self, environment: &'a str) -> impl Iterator<Item = &'a str> {
        let touches = move |bot: &&Bot| bot.environments.iter().any(|known| known == environment);
        self.0.iter().filter(touches).map(|bot| bot.name.as_str())
    }
}
