//! Room names in the configuration: `#ops:example.org`, or with a network, `matrix:#ops:example.org`.
//!
//! Not here: the check that the room exists on the chat network (`Chat::room` in `adapter/chat.rs`).

use crate::base::{Located, Table, nearest};

/// The name of a room in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomName {
    /// The chat network of the room, for example `matrix`; `None` for the default network.
    pub network: Option<String>,
    /// The id or name of the room on the network, for example `#ops:example.org`.
    pub name: String,
}

impl RoomName {
    /// Parses the name of a room, with or without a chat network. In `matrix:#ops:example.org`, the network is `matrix`
    /// if `networks` contains `matrix`. Otherwise the whole text is the name of the room.
    pub fn parse(text: &str, networks: &[&str]) -> Self {
        match text.split_once(':') {
            Some((network, name)) if networks.contains(&network) && !name.is_empty() => {
                Self { network: Some(network.to_owned()), name: name.to_owned() }
            }
            _ => Self { network: None, name: text.to_owned() },
        }
    }

    /// Reads the room name of `key`. Returns `None` if the key is missing. For an empty name or a value that is not a
    /// string, adds a configuration problem and returns `None`.
    pub(crate) fn read(table: &mut Table, key: &str, networks: &[&str]) -> Option<Self> {
        let text = table.string(key)?;
        if text.value.trim().is_empty() {
            table.problem(&text.at, format!("`{key}` is empty"), format!("{key} = \"#ops:example.org\""));
            return None;
        }
        Self::checked(table, &text, networks)
    }

    /// Parses the name of a room. If the text names a chat network that is not in `networks`, adds a configuration
    /// problem and returns `None`.
    pub(crate) fn checked(table: &Table, text: &Located<String>, networks: &[&str]) -> Option<Self> {
        let parsed = Self::parse(&text.value, networks);
        let network = parsed.name.split_once(':').filter(|(network, room)| {
            !network.is_empty() && network.chars().all(char::is_alphanumeric) && room.starts_with(['#', '!', '~'])
        });
        if let Some((network, room)) = network.filter(|_| parsed.network.is_none()) {
            let fix = nearest(network, networks.iter().copied()).map(|meant| format!("\"{meant}:{room}\""));
            table.problem(&text.at, format!("there is no chat network `{network}`"), fix);
            return None;
        }
        Some(parsed)
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
    fn a_known_network_before_the_colon_is_split_off() {
        let parse = |text| RoomName::parse(text, &["matrix", "console"]);
        assert_eq!(parse("#ops:example.org"), RoomName { network: None, name: "#ops:example.org".into() });
        assert_eq!(
            parse("matrix:#ops:example.org"),
            RoomName { network: Some("matrix".into()), name: "#ops:example.org".into() }
        );
        assert_eq!(parse("console:"), RoomName { network: None, name: "console:".into() });
    }
}
