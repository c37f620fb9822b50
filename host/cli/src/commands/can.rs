//! `wardroom can`: prints whether a person may run a command, and the rule or grant that decides it.
//!
//! The answer ignores roles that a person has only as a member of a room. Only the chat network has the list of a
//! room's members, and this subcommand does not connect to a chat network.

use crate::{Exit, arguments::Format, report, wiring::Wiring};
use serde_json::json;

pub(crate) async fn can(
    wiring: &Wiring<'_>,
    user: &str,
    command: &[String],
    room: Option<&str>,
    format: Format,
) -> anyhow::Result<Exit> {
    let Some(wired) = wiring.read_or_report() else { return Ok(Exit::Invalid) };
    let review = wired.review_with_grants().await?;
    let line = match command {
        // One argument is the whole line. From several arguments the shell has removed the quotes, so add them again.
        [line] => line.clone(),
        words => words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
    };
    let (may, why) = match review.can(user, &line, room) {
        Ok(answer) => answer,
        Err(reason) => return Ok(report::invalid(&reason)),
    };
    report::print(format, || json!(why), || why.to_string())?;
    Ok(if may { Exit::Done } else { Exit::Failed })
}

/// Puts a word of a command in single quotes if it is empty or has a character that the command parser may treat
/// specially. Ids such as `@bob:example.org` are not quoted.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "@:._-/=+%,#!".contains(letter);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}
