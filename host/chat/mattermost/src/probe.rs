//! Implements `wardroom check --connect` for an account: looks up the account, its channels, and the people of the
//! configuration.
//!
//! Invariant: the check changes nothing and opens no WebSocket.

use wardroom_account::LimitRecord;

use crate::{
    client::ApiClient,
    config::{Config, RoomName, is_id},
    error::MattermostError,
    joined_channels::JoinedChannels,
};

/// Runs the check. `people` are the ids of people in the configuration; ids of other networks are ignored. `rooms` are
/// further rooms to which the host sends messages. Returns one line per finding. If there are problems, returns an
/// error with one line per problem instead.
pub(crate) async fn probe(config: &Config, people: &[String], rooms: &[String]) -> Result<Vec<String>, Vec<String>> {
    // Check the account.
    let at = |problem: &dyn std::fmt::Display| vec![format!("Mattermost at {}: {problem}", config.url)];
    let token = config.token.resolve().map_err(|error| at(&error))?;
    let client = ApiClient::new(config, token).map_err(|error| at(&error))?;
    let me = match client.me().await {
        Ok(me) => me,
        Err(MattermostError::TokenRejected { reason }) => {
            return Err(at(&format!(
                "the server rejected the access token in {token}: {reason}; create a new token for the bot account and put it in {token}",
                token = config.token
            )));
        }
        Err(error) => return Err(at(&error)),
    };
    let mut found = vec![format!("@{} ({}) is logged in at {}", me.name, me.id, config.url)];
    let mut problems = Vec::new();
    if !me.is_bot {
        found.push(format!(
            "@{} is a person's account; a bot account is safer, because a person's token gives access to everything that the person can access",
            me.name
        ));
    }
    found.push(config.direct.describe().to_owned());
    found.push(LimitRecord::describe(
        &config.folder,
        &format!("@{}", me.name),
        "a system admin raises `RateLimitSettings` of the server",
    ));
    // Check the channels.
    match client.channels().await {
        Ok((mut channels, _)) => {
            if let Err(error) = client.look_up_permissions(&mut channels).await {
                found.push(format!("the permissions of @{} in its channels cannot be looked up: {error}", me.name));
            }
            let channels = JoinedChannels::new(channels);
            let further = rooms.iter().filter_map(|room| match RoomName::parse(room) {
                None => {
                    problems.push(format!("`{room}` is neither `team/channel` nor the id of a Mattermost channel"));
                    None
                }
                name => name,
            });
            let further: Vec<RoomName> = further.collect();
            for room in config.rooms.iter().chain(&further) {
                match channels.named(room) {
                    Some(channel) if !channel.may_post => problems.push(format!(
                        "the bot may not post in the channel {room}, because no role of @{} has the permission `create_post` there; give it the permission, or turn the moderation of the channel off",
                        me.name
                    )),
                    Some(_) => found.push(format!("the bot is in the channel {room}")),
                    None => problems.push(format!(
                        "the bot is not in the channel {room}, or the channel does not exist; type `/invite @{}` in the channel",
                        me.name
                    )),
                }
            }
        }
        Err(error) => problems.push(format!("the channels of @{} cannot be listed: {error}", me.name)),
    }
    // Check the people.
    for person in people {
        match check_person(&client, person).await {
            Ok(line) => found.extend(line),
            Err(line) => problems.push(line),
        }
    }
    if problems.is_empty() { Ok(found) } else { Err(problems) }
}

/// Checks whether a person of the configuration is an account on the server. Returns a line for the report, or a
/// problem as the error; `None` if the person belongs to another network.
async fn check_person(client: &ApiClient, person: &str) -> Result<Option<String>, String> {
    let failed = |error| format!("`{person}` cannot be looked up: {error}");
    if is_id(person) {
        return match client.user(person).await.map_err(failed)? {
            Some(user) if user.is_deactivated => Err(format!(
                "`{person}` is @{}, whose account is deactivated; remove the id from the configuration",
                user.name
            )),
            Some(user) => Ok(Some(format!("{person} is @{}", user.name))),
            None => {
                Err(format!("the server has no account with the id `{person}`; correct the id in the configuration"))
            }
        };
    }
    // `@name:server` is a Matrix id, and a name without `@` can be a person at the console.
    let (name, is_of_mattermost) = match person.strip_prefix('@') {
        Some(name) if !name.contains(':') => (name, true),
        Some(_) => return Ok(None),
        None => (person, false),
    };
    let is_name = |name: &str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        !name.is_empty() && name.bytes().all(letter)
    };
    if !is_name(name) {
        return Ok(None);
    }
    match client.user_named(&name.to_lowercase()).await.map_err(failed)? {
        Some(user) if is_of_mattermost => Err(format!(
            "`{person}` is a name, which its owner can change; write the id instead: \"{}\"  # @{}",
            user.id, user.name
        )),
        Some(user) => Ok(Some(format!(
            "if `{person}` in the configuration is meant to be @{} on Mattermost, write the id: \"{}\"",
            user.name, user.id
        ))),
        None if is_of_mattermost => Err(format!(
            "the server has no account with the name `{person}`; write the person's id in the configuration"
        )),
        None => Ok(None),
    }
}
