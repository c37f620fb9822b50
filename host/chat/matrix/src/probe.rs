//! Implements `wardroom check --connect` for an account: logs in separately from a running host, and checks the
//! configured rooms, the account's keys and the configured people.
//!
//! Invariant: the check leaves nothing behind. A login by password is followed by a logout, and nothing is
//! written to the state folder.

use matrix_sdk::{
    Client,
    ruma::{
        OwnedRoomId, OwnedRoomOrAliasId, OwnedUserId, RoomId, UserId,
        api::client::{keys::get_keys, membership::joined_rooms, profile::get_profile, state::get_state_event_for_key},
        events::StateEventType,
    },
};

use wardroom_account::LimitRecord;

use crate::{Config, Login, client, error::MatrixError, power_levels, rooms};

/// Runs the check. `people` are the ids of people in the configuration; ids of other networks are ignored. `further`
/// are further rooms to which the host sends messages. Returns one line per finding. If there are problems, returns an
/// error with one line per problem instead.
pub(crate) async fn probe(config: &Config, people: &[String], further: &[String]) -> Result<Vec<String>, Vec<String>> {
    let Config { user, homeserver, .. } = config;
    let client = log_in(config).await.map_err(|error| vec![format!("{user} at {homeserver}: {error}")])?;
    let mut found = vec![format!("{user} is logged in at {homeserver}")];
    found.push(LimitRecord::describe(
        &config.folder,
        user.as_str(),
        &format!(
            "an administrator of Synapse lifts the limit with the body {{\"messages_per_second\": 0, \"burst_count\": 0}} \
             in a POST to {}/_synapse/admin/v1/users/{user}/override_ratelimit",
            homeserver.as_str().trim_end_matches('/')
        ),
    ));
    let mut problems = Vec::new();
    // Check the rooms.
    match client.send(joined_rooms::v3::Request::new()).await.map_err(MatrixError::from) {
        Ok(joined) => {
            for room in &config.rooms {
                match check_room(&client, room, &joined.joined_rooms).await {
                    Ok(line) => found.push(line),
                    Err(line) => problems.push(line),
                }
            }
            for room in further {
                problems.extend(check_further_room(&client, room, &joined.joined_rooms).await.err());
            }
        }
        Err(error) => problems.push(format!("the rooms that `{user}` has joined cannot be listed: {error}")),
    }
    // Check the account's keys.
    match has_keys(&client, user).await {
        Ok(true) => found.push(format!("{user} has encryption keys")),
        Ok(false) => {
            found.push(format!("{user} has no encryption keys yet; the bot creates them when the host starts"));
        }
        Err(error) => problems.push(format!("the encryption keys of `{user}` cannot be looked up: {error}")),
    }
    // Check the people.
    let people: Vec<OwnedUserId> = people.iter().filter_map(|id| UserId::parse(id.as_str()).ok()).collect();
    for person in &people {
        if let Err(line) = check_person(&client, person).await {
            problems.push(line);
        }
    }
    if !people.is_empty() {
        found.push(format!("configured people that the homeserver knows: {}", people.len()));
    }
    if matches!(config.login, Login::Password(_))
        && let Err(error) = client.logout().await.map_err(MatrixError::from)
    {
        problems.push(format!(
            "`{user}` cannot log out after the check: {error}; remove the device of this check from the account's list of devices"
        ));
    }
    if problems.is_empty() { Ok(found) } else { Err(problems) }
}

async fn log_in(config: &Config) -> Result<Client, MatrixError> {
    let secret = client::secret(config)?;
    let client = client::anonymous(config).await?;
    match &config.login {
        Login::Password(_) => client::log_in_with_password(config, &client, &secret, None).await?,
        Login::Token { token, .. } => {
            client.restore_session(client::token_session(config, &secret, token).await?).await?;
        }
    }
    Ok(client)
}

/// Checks that a person has a profile on the homeserver.
async fn check_person(client: &Client, person: &OwnedUserId) -> Result<(), String> {
    match client.send(get_profile::v3::Request::new(person.clone())).await.map_err(MatrixError::from) {
        Ok(_) => Ok(()),
        Err(MatrixError::Rejected { reason }) => {
            Err(format!("the homeserver has no account `{person}`: {reason}; correct the id in the configuration"))
        }
        Err(error) => Err(format!("`{person}` cannot be looked up: {error}")),
    }
}

async fn check_room(client: &Client, room: &OwnedRoomOrAliasId, joined: &[OwnedRoomId]) -> Result<String, String> {
    match rooms::resolve(client, room).await {
        Ok(Some(id)) if joined.contains(&id) => match may_send(client, room.as_str(), &id).await? {
            true => Ok(format!("the bot is in the room {room}, which is encrypted")),
            false => Ok(format!("the bot is in the room {room}")),
        },
        Ok(Some(_)) => {
            Ok(format!("the bot is not in the room {room} yet; the bot joins the room when the host starts"))
        }
        Ok(None) => {
            Err(format!("the homeserver has no room `{room}`; correct the room in `rooms`, or create the room"))
        }
        Err(error) => Err(format!("the room `{room}` cannot be looked up: {error}")),
    }
}

/// Checks that the bot is in a room that its own table does not list.
async fn check_further_room(client: &Client, room: &str, joined: &[OwnedRoomId]) -> Result<(), String> {
    let Ok(name) = OwnedRoomOrAliasId::try_from(room) else {
        return Err(format!("`{room}` is neither the alias nor the id of a Matrix room"));
    };
    match rooms::resolve(client, &name).await {
        Ok(Some(id)) if joined.contains(&id) => Ok(()),
        Ok(Some(_)) => Err(format!(
            "the bot is not in the room `{room}`, to which the host sends messages; add the room to `rooms` of the account"
        )),
        Ok(None) => Err(format!("the homeserver has no room `{room}`; correct the room in the configuration")),
        Err(error) => Err(format!("the room `{room}` cannot be looked up: {error}")),
    }
}

/// Checks that the bot may send to a room. `name` is the room in the configuration. Returns whether the room is
/// encrypted.
async fn may_send(client: &Client, name: &str, room: &RoomId) -> Result<bool, String> {
    let is_encrypted = is_encrypted(client, room).await;
    let is_encrypted =
        is_encrypted.map_err(|error| format!("the encryption of the room `{name}` cannot be looked up: {error}"))?;
    match power_levels::request_refusal(client, room, is_encrypted).await {
        Ok(None) => Ok(is_encrypted),
        Ok(Some(reason)) => Err(format!(
            "the bot may not send to the room `{name}`: {reason}; give the bot a power level that may send messages"
        )),
        Err(error) => Err(format!("the power levels of the room `{name}` cannot be looked up: {error}")),
    }
}

async fn is_encrypted(client: &Client, room: &RoomId) -> Result<bool, MatrixError> {
    let key = String::new();
    let request = get_state_event_for_key::v3::Request::new(room.to_owned(), StateEventType::RoomEncryption, key);
    match client.send(request).await.map_err(MatrixError::from) {
        Ok(_) => Ok(true),
        // A room that is not encrypted does not have this state.
        Err(MatrixError::Rejected { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns whether an account has a master key, the cross-signing key that represents the account's identity.
async fn has_keys(client: &Client, user: &UserId) -> Result<bool, MatrixError> {
    let mut request = get_keys::v3::Request::new();
    request.device_keys.insert(user.to_owned(), Vec::new());
    Ok(client.send(request).await?.master_keys.contains_key(user))
}
