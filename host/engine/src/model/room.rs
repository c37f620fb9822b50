//! What the configuration calls a room: `#ops:example.org`, or with its network before it, `matrix:#ops:example.org`.
//!
//! Not here: whether there is such a room, which only its network knows.

use crate::base::Table;

/// A room by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomName {
    /// The network, where the name says it; otherwise the bot's first.
    pub network: Option<String>,
    /// Its id or name there.
    pub name: String,
}

impl RoomName {
    /// Reads a name. `networks` are those that exist.
    pub fn parse(text: &str, networks: &[&str]) -> Self {
        match text.split_once(':') {
            Some((network, name)) if networks.contains(&network) && !name.is_empty() => {
                Self { network: Some(network.to_owned()), name: name.to_owned() }
            }
            _ => Self { network: None, name: text.to_owned() },
        }
    }

    /// Reads a key that names a room.
    pub(crate) fn read(table: &mut Table, key: &str, networks: &[&str]) -> Option<Self> {
        let text = table.string(key)?;
        if text.value.trim().is_empty() {
            table.problem(&text.at, format!("`{key}` names no room"), format!("{key} = \"#ops:example.org\""));
            return None;
        }
        Some(Self::parse(&text.value, networks))
    }
}

impl std::fmt::Display for RoomName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.network {
            Some(network) => write!(f, "{network}:{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_stands_before_the_name_or_not_at_all() {
        let parse = |text| RoomName::parse(text, &["matrix", "console"]);
        assert_eq!(parse("#ops:example.org"), RoomName { network: None, name: "#ops:example.org".into() });
        assert_eq!(
            parse("matrix:#ops:example.org"),
            RoomName { network: Some("matrix".into()), name: "#ops:example.org".into() }
        );
        assert_eq!(parse("console:"), RoomName { network: None, name: "console:".into() });
    }
}
