//! Whether a message was meant for the bot: a prefix, its name, a mention, or a room with nobody else.

use crate::adapter::Incoming;

/// How the bot is addressed: `!deploy`, `marvin deploy`, `marvin: deploy`, `@marvin, deploy`; in a direct
/// message nothing is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressing {
    /// What stands right before a command.
    pub prefix: String,
    /// The bot's names, without `@`.
    pub names: Vec<String>,
}

impl Addressing {
    /// The command in a message, without what addressed it; `None` where it was not meant for the bot.
    pub fn command(&self, message: &Incoming) -> Option<String> {
        let text = message.text.trim();
        let command = match self.strip_prefix(text).or_else(|| self.strip_name(text)) {
            Some(command) => command,
            None if message.direct => text,
            // A mention may stand anywhere ("could you, @marvin, help"): only one before the words is an address,
            // and that was stripped above.
            None => return None,
        };
        (!command.is_empty()).then(|| command.to_owned())
    }

    /// `!deploy`, but neither `!` nor `!!!` nor `! well`.
    fn strip_prefix<'t>(&self, text: &'t str) -> Option<&'t str> {
        let command = text.strip_prefix(&self.prefix).filter(|_| !self.prefix.is_empty())?;
        command.starts_with(|first: char| first.is_alphanumeric()).then_some(command)
    }

    fn strip_name<'t>(&self, text: &'t str) -> Option<&'t str> {
        let text = text.strip_prefix('@').unwrap_or(text);
        self.names.iter().find_map(|name| {
            let (head, rest) = text.split_at_checked(name.len())?;
            if !head.eq_ignore_ascii_case(name) {
                return None;
            }
            let rest = rest.strip_prefix([':', ',']).unwrap_or(rest);
            let command = rest.trim_start();
            (command.len() < rest.len() || rest.is_empty()).then_some(command)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Person;

    fn heard(text: &str, direct: bool) -> Option<String> {
        let addressing = Addressing { prefix: "!".into(), names: vec!["marvin".into()] };
        addressing.command(&Incoming {
            reaction: None,
            event: "e".into(),
            thread: None,
            sender: Person::named_by_id("p"),
            text: text.into(),
            at: jiff::Timestamp::UNIX_EPOCH,
            direct,
            late: false,
            machine: false,
            once: None,
            unproven: None,
        })
    }

    #[test]
    fn every_way_to_address_the_bot() {
        for text in ["!deploy cms", "marvin deploy cms", "Marvin: deploy cms", "@marvin, deploy cms", "  !deploy cms "]
        {
            assert_eq!(heard(text, false).as_deref(), Some("deploy cms"), "{text}");
        }
        assert_eq!(heard("deploy cms", true).as_deref(), Some("deploy cms"));
        assert_eq!(heard("!deploy cms", true).as_deref(), Some("deploy cms"));
    }

    #[test]
    fn what_is_not_meant_for_it() {
        for text in ["deploy cms", "!", "!!!", "! well", "marvinx deploy", "marvin", "marvin:", "hey marvin deploy", ""]
        {
            assert_eq!(heard(text, false), None, "{text}");
        }
    }
}
