//! Accounts, their teams and channels, and the client configuration.

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::{Value, json};

use super::{Answer, ApiError, App, CurrentUser};
use crate::{
    data::{Channel, MODERATED_ROLE, ServerData},
    post::ServerVersion,
};

/// Returns the user id of a path; `me` stands for the authenticated user.
fn whom<'p>(path: &'p str, me: &'p CurrentUser) -> &'p str {
    if path == "me" { &me.0 } else { path }
}

pub(super) async fn one(State(shared): App, me: CurrentUser, Path(user): Path<String>) -> Answer {
    shared.data().user_json(whom(&user, &me)).map(Json).ok_or(ApiError::MISSING)
}

pub(super) async fn named(State(shared): App, _me: CurrentUser, Path(name): Path<String>) -> Answer {
    if shared.faults().users_away {
        return Err(ApiError::internal("app.user.get_by_username.app_error"));
    }
    shared.data().user_named(&name).map(Json).ok_or(ApiError::MISSING)
}

pub(super) async fn by_ids(State(shared): App, _me: CurrentUser, Json(ids): Json<Vec<String>>) -> Answer {
    if shared.faults().users_away {
        return Err(ApiError::internal("app.user.get_profiles.app_error"));
    }
    let slow = shared.faults().slow_users;
    tokio::time::sleep(slow).await;
    let data = shared.data();
    Ok(Json(ids.iter().filter_map(|id| data.user_json(id)).collect()))
}

pub(super) async fn teams(State(shared): App, _me: CurrentUser, Path(_user): Path<String>) -> Answer {
    let data = shared.data();
    let team = |(name, id): (&String, &String)| json!({ "id": id, "name": name, "display_name": name, "delete_at": 0 });
    Ok(Json(data.teams.iter().map(team).collect()))
}

pub(super) async fn team_members(State(shared): App, me: CurrentUser, Path(user): Path<String>) -> Answer {
    let data = shared.data();
    let user = whom(&user, &me);
    let member = |team: &String| json!({ "team_id": team, "user_id": user, "roles": "team_user", "delete_at": 0 });
    Ok(Json(data.teams.values().map(member).collect()))
}

/// Returns the memberships of a user in the channels of a team, with the roles in each.
pub(super) async fn channel_members(
    State(shared): App,
    me: CurrentUser,
    Path((user, team)): Path<(String, String)>,
) -> Answer {
    let data = shared.data();
    let name = data.teams.iter().find(|(_, id)| **id == team).map(|(name, _)| name.clone()).ok_or(ApiError::MISSING)?;
    let user = whom(&user, &me);
    let theirs = data.channels.iter().filter(|(_, channel)| channel.members.contains(user) && channel.team == name);
    let member = |(id, channel): (&String, &Channel)| json!({ "channel_id": id, "user_id": user, "roles": channel.member_role() });
    Ok(Json(theirs.map(member).collect()))
}

/// Returns the roles with these names and their permissions.
pub(super) async fn roles(State(shared): App, _me: CurrentUser, Json(names): Json<Vec<String>>) -> Answer {
    if shared.faults().hides_roles {
        return Ok(Json(json!([])));
    }
    let permissions = |name: &str| match name {
        "channel_user" => json!(["read_channel", "create_post", "add_reaction", "upload_file"]),
        MODERATED_ROLE => json!(["read_channel"]),
        "team_user" => json!(["list_team_channels"]),
        _ => json!(["create_direct_channel"]),
    };
    Ok(Json(names.iter().map(|name| json!({ "name": name, "permissions": permissions(name) })).collect()))
}

/// Returns the channels of a user in a team, including direct channels.
fn of_team(data: &ServerData, user: &str, team: &str) -> Value {
    let theirs = |id: &&String| {
        let channel = &data.channels[*id];
        let is_member = channel.members.contains(user) && !channel.is_archived;
        is_member && (channel.team == team || channel.team.is_empty())
    };
    data.channels.keys().filter(theirs).filter_map(|id| data.channel_json(id)).collect()
}

pub(super) async fn channels_of_team(
    State(shared): App,
    me: CurrentUser,
    Path((user, team)): Path<(String, String)>,
) -> Answer {
    let data = shared.data();
    let name = data.teams.iter().find(|(_, id)| **id == team).map(|(name, _)| name.clone()).ok_or(ApiError::MISSING)?;
    Ok(Json(of_team(&data, whom(&user, &me), &name)))
}

pub(super) async fn channels(State(shared): App, me: CurrentUser, Path(user): Path<String>) -> Answer {
    let data = shared.data();
    if data.version == ServerVersion::Old {
        return Err(ApiError::MISSING);
    }
    let user = whom(&user, &me);
    let theirs = |id: &&String| data.channels[*id].members.contains(user) && !data.channels[*id].is_archived;
    Ok(Json(data.channels.keys().filter(theirs).filter_map(|id| data.channel_json(id)).collect()))
}

pub(super) async fn typing(
    State(shared): App,
    _me: CurrentUser,
    Path(_user): Path<String>,
    Json(body): Json<Value>,
) -> Answer {
    shared.faults().typed.extend(body["channel_id"].as_str().map(str::to_owned));
    Ok(Json(json!({ "status": "OK" })))
}

pub(super) async fn config(State(shared): App, _me: CurrentUser) -> Answer {
    let old = shared.data().version == ServerVersion::Old;
    let faults = shared.faults();
    let mut config = json!({ "BuildNumber": "1", "EnableBotAccountCreation": "true" });
    if !old && !faults.hides_longest {
        config["MaxPostSize"] = faults.longest().to_string().into();
    }
    Ok(Json(config))
}
