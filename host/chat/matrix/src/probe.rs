//! `check --connect`: logs in beside the running host and looks around.
//!
//! Architecture Invariant: it changes nothing. A login by password is followed by its logout, and nothing is
//! written to the state folder.

use matrix_sdk::{
    Client,
    ruma::{
        OwnedRoomOrAliasId, OwnedUserId, UserId,
        api::client::{membership::joined_rooms, profile::get_profile},
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

async fn look(
    client: &Client,
    room: &OwnedRoomOrAliasId,
    joined: &[matrix_sdk::ruma::OwnedRoomId],
) -> Result<String, String> {
    match rooms::find(client, room).await {
        Ok(Some(id)) if joined.contains(&id) => Ok(format!("in the room {room}")),
        Ok(Some(_)) => Ok(format!("not in the room {room} yet: joins at the start")),
        Ok(None) => Err(format!("the homeserver knows no room {room}")),
        Err(trouble) => Err(format!("the room {room} cannot be looked up: {trouble}")),
    }
}
