//! `check --connect`: asks the server who we are, where we are, and who the people of the configuration are.
//!
//! Architecture Invariant: it changes nothing, and opens no WebSocket.

use crate::{
    api::Api,
    config::{Config, is_id},
    places::Channels,
};

/// What was found, or what is wrong, one line each.
pub(crate) async fn probe(config: &Config, people: &[String]) -> Result<Vec<String>, Vec<String>> {
    let at = |what: &dyn std::fmt::Display| vec![format!("Mattermost at {}: {what}", config.url)];
    let token = config.token.resolve().map_err(|error| at(&error))?;
    let api = Api::new(config, token).map_err(|trouble| at(&trouble))?;
    let me = match api.me().await {
        Ok(me) => me,
        Err(crate::trouble::Trouble::LoggedOut { reason }) => {
            return Err(at(&format!("the server does not know the token in {}: {reason}", config.token)));
        }
        Err(trouble) => return Err(at(&trouble)),
    };
    let mut found = vec![format!("@{} ({}) is logged in at {}", me.name, me.id, config.url)];
    let mut wrong = Vec::new();
    if !me.bot {
        found.push(format!("@{} is a person's account; a bot account is safer: its token does nothing else", me.name));
    }
    found.push(config.direct.described().to_owned());
    match api.channels().await {
        Ok((channels, _)) => {
            let channels = Channels::new(channels);
            for room in &config.rooms {
                match channels.named(room) {
                    Some(_) => found.push(format!("in the channel {room}")),
                    None => wrong.push(format!(
                        "not in the channel {room}, or there is none of that name: type `/invite @{}` there",
                        me.name
                    )),
                }
            }
        }
        Err(trouble) => wrong.push(format!("the channels of @{} cannot be listed: {trouble}", me.name)),
    }
    for person in people {
        match look(&api, person).await {
            Ok(line) => found.extend(line),
            Err(line) => wrong.push(line),
        }
    }
    if wrong.is_empty() { Ok(found) } else { Err(wrong) }
}

/// Somebody of the configuration; nothing where they cannot be of this network.
async fn look(api: &Api, person: &str) -> Result<Option<String>, String> {
    let failed = |trouble| format!("{person} cannot be looked up: {trouble}");
    if is_id(person) {
        return match api.user(person).await.map_err(failed)? {
            Some(user) if user.gone => Err(format!("{person} is @{}, whose account is deactivated", user.name)),
            Some(user) => Ok(Some(format!("{person} is @{}", user.name))),
            None => Err(format!("the server knows nobody with the id {person}")),
        };
    }
    // `@name:server` is a Matrix id, and a plain word may be somebody at the console.
    let (name, meant) = match person.strip_prefix('@') {
        Some(name) if !name.contains(':') => (name, true),
        Some(_) => return Ok(None),
        None => (person, false),
    };
    let named = |name: &str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        !name.is_empty() && name.bytes().all(letter)
    };
    if !named(name) {
        return Ok(None);
    }
    match api.user_named(&name.to_lowercase()).await.map_err(failed)? {
        Some(user) if meant => Err(format!(
            "{person} is a name, which its owner can change: write the id instead: \"{}\"  # @{}",
            user.id, user.name
        )),
        Some(user) => {
            Ok(Some(format!("if `{person}` is to be @{} of Mattermost, write the id: \"{}\"", user.name, user.id)))
        }
        None if meant => Err(format!("the server knows nobody called {person}")),
        None => Ok(None),
    }
}
