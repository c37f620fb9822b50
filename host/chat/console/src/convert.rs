//! Parses the console's input lines and converts them to the engine's messages.

use wardroom::{Timestamp, adapter::Incoming, model::Person};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// An empty line or a comment (`# …`).
    Empty,
    /// `/as ID`: the next messages are sent as the person with this id.
    As(String),
    /// `/quit` or `/exit`: ends the input.
    Quit,
    Message {
        text: String,
        /// Whether the console waits for the end of this message's jobs before it reads the next line. False for a line
        /// that ends in ` &`.
        wait: bool,
    },
    /// A line that begins with `/` and is none of `/as ID`, `/quit` and `/exit`.
    Unknown(String),
}

pub(crate) fn parse(line: &str) -> Input {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Input::Empty;
    }
    if let Some(command) = line.strip_prefix('/') {
        return match command.split_once(' ') {
            Some(("as", id)) if is_person_id(id.trim()) => Input::As(id.trim().to_owned()),
            None if command == "quit" || command == "exit" => Input::Quit,
            _ => Input::Unknown(line.to_owned()),
        };
    }
    match line.strip_suffix(" &") {
        Some(text) => Input::Message { text: text.trim_end().to_owned(), wait: false },
        None => Input::Message { text: line.to_owned(), wait: true },
    }
}

/// Returns whether a text is a valid id of a person: 1 to 255 bytes, without white space and control characters, and
/// not `everyone`.
pub(crate) fn is_person_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= 255
        && id != "everyone"
        && !id.contains(|letter: char| letter.is_whitespace() || letter.is_control())
}

/// Converts a line to a message for the engine. The message is marked as a direct message, because the bot is the only
/// other member of the room.
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
        assert_eq!(parse("  "), Input::Empty);
        assert_eq!(parse("# a comment"), Input::Empty);
        assert_eq!(parse("/as @bob:example.org"), Input::As("@bob:example.org".into()));
        assert_eq!(parse("/as everyone"), Input::Unknown("/as everyone".into()));
        assert_eq!(parse("/quit"), Input::Quit);
        assert_eq!(parse("/nonsense"), Input::Unknown("/nonsense".into()));
        assert_eq!(parse("help"), Input::Message { text: "help".into(), wait: true });
        assert_eq!(
            parse("deploy cms staging 1.0.0 &"),
            Input::Message { text: "deploy cms staging 1.0.0".into(), wait: false }
        );
    }
}
