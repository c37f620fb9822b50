//! Turns a line of input into the engine's types.

use wardroom::{Timestamp, adapter::Incoming, model::Person};

/// A parsed line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// An empty line or a comment.
    Nothing,
    /// `/as ID`: the following messages are sent as this person.
    As(String),
    /// `/quit`: ends the input.
    Quit,
    /// A message.
    Say {
        text: String,
        /// Whether the next line waits for its jobs; a line that ends in ` &` does not wait.
        wait: bool,
    },
    /// A slash command that the console does not have.
    Unknown(String),
}

pub(crate) fn parse(line: &str) -> Input {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Input::Nothing;
    }
    if let Some(command) = line.strip_prefix('/') {
        return match command.split_once(' ') {
            Some(("as", id)) if is_person_id(id.trim()) => Input::As(id.trim().to_owned()),
            None if command == "quit" || command == "exit" => Input::Quit,
            _ => Input::Unknown(line.to_owned()),
        };
    }
    match line.strip_suffix(" &") {
        Some(text) => Input::Say { text: text.trim_end().to_owned(), wait: false },
        None => Input::Say { text: line.to_owned(), wait: true },
    }
}

/// Whether a text can be a person's id: up to 255 bytes, without blanks, and not the word `everyone`.
pub(crate) fn is_person_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= 255
        && id != "everyone"
        && !id.contains(|letter: char| letter.is_whitespace() || letter.is_control())
}

/// A message from the console. It is direct, because the bot is the only other member of the room.
pub(crate) fn incoming(event: String, sender: Person, text: String, at: Timestamp) -> Incoming {
    let mut message = Incoming::new(event, sender, text, at);
    message.direct = true;
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_parsed() {
        assert_eq!(parse("  "), Input::Nothing);
        assert_eq!(parse("# a comment"), Input::Nothing);
        assert_eq!(parse("/as @bob:example.org"), Input::As("@bob:example.org".into()));
        assert_eq!(parse("/as everyone"), Input::Unknown("/as everyone".into()));
        assert_eq!(parse("/quit"), Input::Quit);
        assert_eq!(parse("/nonsense"), Input::Unknown("/nonsense".into()));
        assert_eq!(parse("help"), Input::Say { text: "help".into(), wait: true });
        assert_eq!(
            parse("deploy cms staging 1.0.0 &"),
            Input::Say { text: "deploy cms staging 1.0.0".into(), wait: false }
        );
    }
}
