//! `wardroom can`: whether a person may run a command, and which rule decides it.
//!
//! Not here: the members of a room, which only its network lists. A right that depends on them counts as missing.

use std::path::Path;

use serde_json::json;
use wardroom::{
    command::{Asker, Vocabulary},
    engine::{Explainer, find_person},
    model::RoomName,
};

use crate::{Exit, arguments::Format, report, wiring};

pub(crate) async fn can(
    path: &Path,
    user: &str,
    command: &[String],
    room: Option<&str>,
    format: Format,
) -> anyhow::Result<Exit> {
    let Some(wired) = wiring::wire_or_report(path) else { return Ok(Exit::Wrong) };
    let plugins = wired.plugins(wired.lock.as_ref()).await?;
    wired.grants().await?;
    let (access, catalog) = (&*wired.config.access, &*wired.config.catalog);
    // An id that no rule names has the rights of `everyone`.
    let who = match find_person(access, &[], user) {
        Ok(id) => id,
        Err(_) if user.starts_with('@') && user.contains(':') => user.to_owned(),
        Err(error) => {
            report::error(&error.to_string());
            return Ok(Exit::Wrong);
        }
    };
    let networks: Vec<&str> = wired.config.bots.iter().flat_map(|bot| &bot.chats).map(|chat| chat.network()).collect();
    let room = room.map(|room| RoomName::parse(room, &networks));
    let asker = Asker { room: room.as_ref().map(|room| access.room_of(room)), ..Asker::from(&who) };
    let line = match command {
        // One argument is a whole line. With several, the shell has removed the quotes, so they are added again.
        [line] => line.clone(),
        words => words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
    };
    let explainer = Explainer { access, catalog, plugins: &plugins, approvals: &wired.config.approvals };
    let explained = match explainer.line(asker, &line, &Vocabulary::all_with_roles(catalog, access)) {
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
