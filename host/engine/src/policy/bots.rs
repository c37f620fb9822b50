//! The identities of a host, and what may be touched through each.
//!
//! Invariant: through an identity that the configuration no longer has nothing may be touched.
//! Not here: their accounts, which the outbox knows.

/// One identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bot {
    /// Its name in the configuration.
    pub name: String,
    /// The environments that may be touched through it, in their order.
    pub environments: Vec<String>,
}

/// The identities of a host, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bots(Vec<Bot>);

impl Bots {
    /// In the order of the file.
    pub fn new(bots: Vec<Bot>) -> Self {
        Self(bots)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Bot> {
        self.0.iter()
    }

    /// The identity of a name; the first one for the empty name, which rows have of the time when a host had one only.
    pub fn get(&self, name: &str) -> Option<&Bot> {
        if name.is_empty() { self.0.first() } else { self.0.iter().find(|bot| bot.name == name) }
    }

    /// Whether an environment may be touched through an identity.
    pub fn touches(&self, name: &str, environment: &str) -> bool {
        self.environments(name).iter().any(|known| known == environment)
    }

    /// The environments that may be touched through an identity, in their order.
    pub fn environments(&self, name: &str) -> &[String] {
        self.get(name).map(|bot| bot.environments.as_slice()).unwrap_or_default()
    }

    /// The identities through which an environment may be touched.
    pub fn touching<'a>(&'a self, environment: &'a str) -> impl Iterator<Item = &'a str> {
        let touches = move |bot: &&Bot| bot.environments.iter().any(|known| known == environment);
        self.0.iter().filter(touches).map(|bot| bot.name.as_str())
    }
}
