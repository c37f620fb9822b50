//! A line of input as the engine's types.

use wardroom::{
    Timestamp,
    message::{Incoming, Person},
};

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// Nothing was typed.
    Nothing,
    /// `/as ID`: speak as somebody else.
    As(String),
    /// `/quit`: the end of the input.
    Quit,
    /// A message; `wait` unless it ends in ` &`.
    Say {
        /// The words.
        text: String,
        /// Whether the next line waits for it.
        wait: bool,
    },
    /// A slash command that does not exist.
    Unknown(String),
}

/// Reads a line.
pub(crate) fn input(line: &str) -> Input {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Input::Nothing;
    }
    if let Some(command) = line.strip_prefix('/') {
        return match command.split_once(' ') {
            Some(("as", id)) if is_person(id.trim()) => Input::As(id.trim().to_owned()),
            None if command == "quit" || command == "exit" => Input::Quit,
            _ => Input::Unknown(line.to_owned()),
        };
    }
    match line.strip_suffix(" &") {
        Some(text) => Input::Say { text: text.trim_end().to_owned(), wait: false },
        None => Input::Say { text: line.to_owned(), wait: true },
    }
}

/// Whether a word can be a person's id.
pub(crate) fn is_person(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= 255
        && id != "everyone"
        && !id.contains(|letter: char| letter.is_whitespace() || letter.is_control())
}

/// A message as the engine takes it.
pub(crate) fn incoming(event: String, speaker: Person, text: String, at: Timestamp) -> Incoming {
    Incoming {
        event,
        thread: None,
        sender: speaker,
        text,
        at,
        direct: true,
        late: false,
        machine: false,
        once: None,
        unproven: None,
        reaction: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(input("  "), Input::Nothing);
        assert_eq!(input("# a comment"), Input::Nothing);
        assert_eq!(input("/as @bob:example.org"), Input::As("@bob:example.org".into()));
        assert_eq!(input("/as everyone"), Input::Unknown("/as everyone".into()));
        assert_eq!(input("/quit"), Input::Quit);
        assert_eq!(input("/nonsense"), Input::Unknown("/nonsense".into()));
        assert_eq!(input("help"), Input::Say { text: "help".into(), wait: true });
        assert_eq!(
            input("deploy cms staging 1.0.0 &"),
            Input::Say { text: "deploy cms staging 1.0.0".into(), wait: false }
        );
    }
}
