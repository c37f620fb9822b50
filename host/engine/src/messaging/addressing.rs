//! Recognizes whether a message is a command for a bot: by the bot's prefix or name, or in a direct message.

use crate::adapter::Incoming;

/// The prefix and the name that address a bot, as in `!deploy`, `marvin deploy`, `marvin: deploy` and
/// `@marvin, deploy`. A command in a direct message needs neither prefix nor name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addressing {
    /// The text directly before a command, such as `!`; empty if the bot has no prefix.
    pub prefix: String,
    /// The name by which people address the bot, without `@`. Case is ignored.
    pub name: String,
}

impl Addressing {
    /// Returns the text of a message without the prefix or name that addresses the bot. Returns `None` if the message
    /// does not address the bot or has no further text.
    pub(crate) fn command(&self, message: &Incoming) -> Option<String> {
        let text = message.text.trim();
        // A mention inside a sentence ("could you, @marvin, help") is not an address. `strip_name` handles a mention at
        // the start.
        let addressed = self.strip_prefix(text).or_else(|| self.strip_name(text));
        let command = addressed.or(message.direct.then_some(text))?;
        (!command.is_empty()).then(|| command.to_owned())
    }

    /// Returns the text after the prefix: `deploy` for `!deploy`. Returns `None` if no letter or digit directly follows
    /// the prefix, as in `!`, `!!!` and `! well`.
    fn strip_prefix<'t>(&self, text: &'t str) -> Option<&'t str> {
        let command = text.strip_prefix(&self.prefix).filter(|_| !self.prefix.is_empty())?;
        command.starts_with(|first: char| first.is_alphanumeric()).then_some(command)
    }

    fn strip_name<'t>(&self, text: &'t str) -> Option<&'t str> {
        let text = text.strip_prefix('@').unwrap_or(text);
        let (head, rest) = text.split_at_checked(self.name.len())?;
        if !head.eq_ignore_ascii_case(&self.name) {
            return None;
        }
        let rest = rest.strip_prefix([':', ',']).unwrap_or(rest);
        let command = rest.trim_start();
        (command.len() < rest.len() || rest.is_empty()).then_some(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Person;

    fn command(text: &str, direct: bool) -> Option<String> {
        let addressing = Addressing { prefix: "!".into(), name: "marvin".into() };
        let sender = Person::named_by_id("p");
        addressing.command(&Incoming { direct, ..Incoming::new("e", sender, text, jiff::Timestamp::UNIX_EPOCH) })
    }

    #[test]
    fn prefix_name_mention_and_direct_message_address_the_bot() {
        for text in ["!deploy cms", "marvin deploy cms", "Marvin: deploy cms", "@marvin, deploy cms", "  !deploy cms "]
        {
            assert_eq!(command(text, false).as_deref(), Some("deploy cms"), "{text}");
        }
        assert_eq!(command("deploy cms", true).as_deref(), Some("deploy cms"));
        assert_eq!(command("!deploy cms", true).as_deref(), Some("deploy cms"));
    }

    #[test]
    fn other_messages_do_not_address_the_bot() {
        for text in ["deploy cms", "!", "!!!", "! well", "marvinx deploy", "marvin", "marvin:", "hey marvin deploy", ""]
        {
            assert_eq!(command(text, false), None, "{text}");
        }
    }
}
