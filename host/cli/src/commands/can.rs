//! `wardroom can`: whether a person may run a command, and which rule decides it.
//!
//! Not here: the members of a room, which only its network lists. A right that depends on them counts as missing.

use crate::{Exit, arguments::Format, report, wiring::Wiring};
use serde_json::json;

pub(crate) async fn can(
    wiring: &Wiring<'_>,
    user: &str,
    command: &[String],
    room: Option<&str>,
    format: Format,
) -> anyhow::Result<Exit> {
    let Some(wired) = wiring.read_or_report() else { return Ok(Exit::Wrong) };
    let (review, _) = wired.review_with_grants().await?;
    let line = match command {
        // One argument is a whole line. With several, the shell has removed the quotes, so they are added again.
        [line] => line.clone(),
        words => words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
    };
    let (who, explained) = match review.can(user, &line, room) {
        Ok(explained) => explained,
        Err(reason) => {
            report::error(&reason);
            return Ok(Exit::Wrong);
        }
    };
    let json = || {
        json!({
            "who": who, "command": line, "yes": explained.yes, "because": explained.because, "notes": explained.notes,
        })
    };
    report::print(format, json, || explained.to_string())?;
    Ok(if explained.yes { Exit::Done } else { Exit::Failed })
}

/// Quotes a word where a command line needs it. Ids such as `@bob:example.org` stay readable.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "@:._-/=+%,#!".contains(letter);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}
