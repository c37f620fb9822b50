//! `check --connect`: logs in beside the running host and looks around.
//!
//! Architecture Invariant: it changes nothing. A login by password is followed by its logout, and nothing is
//! written to the state folder.

use matrix_sdk::{
    Client,
    ruma::{
        OwnedRoomId, OwnedRoomOrAliasId, OwnedUserId, RoomId, UserId,
        api::client::{keys::get_keys, membership::joined_rooms, profile::get_profile, state::get_state_event_for_key},
        events::StateEventType,
    },
};

use crate::{
    Config, Login, rooms,
    session::{build, builder, password_login, secret, token_session},
    trouble::Trouble,
};

/// What was found, or what is wrong, one line each.
pub(crate) async fn probe(config: &Config, people: &[String]) -> Result<Vec<String>, Vec<String>> {
    let client =
        login(config).await.map_err(|trouble| vec![format!("{} at {}: {trouble}", config.user, config.homeserver)])?;
    let mut found = vec![format!("{} is logged in at {}", config.user, config.homeserver)];
    let mut wrong = Vec::new();
    match client.send(joined_rooms::v3::Request::new()).await {
        Ok(joined) => {
            for room in &config.rooms {
                match look(&client, room, &joined.joined_rooms).await {
                    Ok(line) => found.push(line),
                    Err(line) => wrong.push(line),
                }
            }
        }
        Err(error) => wrong.push(format!("the rooms of {} cannot be listed: {}", config.user, Trouble::from(&error))),
    }
    match has_keys(&client, &config.user).await {
        Ok(true) => found.push(format!("{} has keys for encryption", config.user)),
        Ok(false) => found.push(format!("{} has no keys for encryption yet: makes them at the start", config.user)),
        Err(trouble) => wrong.push(format!("the keys of {} cannot be looked up: {trouble}", config.user)),
    }
    let people: Vec<OwnedUserId> = people.iter().filter_map(|id| UserId::parse(id.as_str()).ok()).collect();
    for person in &people {
        if let Err(line) = known(&client, person).await {
            wrong.push(line);
        }
    }
    if !people.is_empty() {
        found.push(format!("{} people of the configuration were looked up", people.len()));
    }
    if matches!(config.login, Login::Password(_))
        && let Err(error) = client.logout().await
    {
        wrong.push(format!("{} cannot log out again: {}", config.user, Trouble::from(error)));
    }
    if wrong.is_empty() { Ok(found) } else { Err(wrong) }
}

async fn login(config: &Config) -> Result<Client, Trouble> {
    let secret = secret(config)?;
    let client = build(builder(config)?).await?;
    match &config.login {
        Login::Password(_) => password_login(config, &client, &secret, None).await?,
        Login::Token { token, .. } => client.restore_session(token_session(config, &secret, token).await?).await?,
    }
    Ok(client)
}

/// A person's profile is all that a homeserver tells of them, and it has one for everybody it knows.
async fn known(client: &Client, person: &OwnedUserId) -> Result<(), String> {
    match client.send(get_profile::v3::Request::new(person.clone())).await {
        Ok(_) => Ok(()),
        Err(error) => match Trouble::from(&error) {
            Trouble::Refused { reason } => Err(format!("the homeserver does not know {person}: {reason}")),
            trouble => Err(format!("{person} cannot be looked up: {trouble}")),
        },
    }
}

async fn look(client: &Client, room: &OwnedRoomOrAliasId, joined: &[OwnedRoomId]) -> Result<String, String> {
    match rooms::find(client, room).await {
        Ok(Some(id)) if joined.contains(&id) => match is_encrypted(client, &id).await {
            Ok(true) => Ok(format!("in the room {room}, which is encrypted")),
            Ok(false) => Ok(format!("in the room {room}")),
            Err(trouble) => Err(format!("whether the room {room} is encrypted cannot be looked up: {trouble}")),
        },
        Ok(Some(_)) => Ok(format!("not in the room {room} yet: joins at the start")),
        Ok(None) => Err(format!("the homeserver knows no room {room}")),
        Err(trouble) => Err(format!("the room {room} cannot be looked up: {trouble}")),
    }
}

async fn is_encrypted(client: &Client, room: &RoomId) -> Result<bool, Trouble> {
    let key = String::new();
    let request = get_state_event_for_key::v3::Request::new(room.to_owned(), StateEventType::RoomEncryption, key);
    match client.send(request).await.map_err(Trouble::from) {
        Ok(_) => Ok(true),
        // A room that never was has no such state.
        Err(Trouble::Refused { .. }) => Ok(false),
        Err(trouble) => Err(trouble),
    }
}

/// Whether an account has a master key, which signs its devices.
async fn has_keys(client: &Client, user: &UserId) -> Result<bool, Trouble> {
    let mut request = get_keys::v3::Request::new();
    request.device_keys.insert(user.to_owned(), Vec::new());
    Ok(client.send(request).await?.master_keys.contains_key(user))
}
