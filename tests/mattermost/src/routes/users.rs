//! Accounts, their teams and channels, and the client configuration.

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::{Value, json};

use super::{Answer, App, Me, Wrong};
use crate::{post::Age, world::World};

/// The user of a path.
fn whom<'p>(path: &'p str, me: &'p Me) -> &'p str {
    if path == "me" { &me.0 } else { path }
}

pub(super) async fn one(State(shared): App, me: Me, Path(user): Path<String>) -> Answer {
    shared.world().user_json(whom(&user, &me)).map(Json).ok_or(Wrong::MISSING)
}

pub(super) async fn named(State(shared): App, _me: Me, Path(name): Path<String>) -> Answer {
    shared.world().user_named(&name).map(Json).ok_or(Wrong::MISSING)
}

pub(super) async fn by_ids(State(shared): App, _me: Me, Json(ids): Json<Vec<String>>) -> Answer {
    if shared.faults().users_away {
        return Err(Wrong::internal("app.user.get_profiles.app_error"));
    }
    let slow = shared.faults().slow_users;
    tokio::time::sleep(slow).await;
    let world = shared.world();
    Ok(Json(ids.iter().filter_map(|id| world.user_json(id)).collect()))
}

pub(super) async fn teams(State(shared): App, _me: Me, Path(_user): Path<String>) -> Answer {
    let world = shared.world();
    let team = |(name, id): (&String, &String)| json!({ "id": id, "name": name, "display_name": name, "delete_at": 0 });
    Ok(Json(world.teams.iter().map(team).collect()))
}

/// The channels of a user in a team, with direct ones.
fn of_team(world: &World, user: &str, team: &str) -> Value {
    let theirs = |id: &&String| {
        let channel = &world.channels[*id];
        channel.members.contains(user) && (channel.team == team || channel.team.is_empty())
    };
    world.channels.keys().filter(theirs).filter_map(|id| world.channel_json(id)).collect()
}

pub(super) async fn channels_of_team(State(shared): App, me: Me, Path((user, team)): Path<(String, String)>) -> Answer {
    let world = shared.world();
    let name = world.teams.iter().find(|(_, id)| **id == team).map(|(name, _)| name.clone()).ok_or(Wrong::MISSING)?;
    Ok(Json(of_team(&world, whom(&user, &me), &name)))
}

pub(super) async fn channels(State(shared): App, me: Me, Path(user): Path<String>) -> Answer {
    let world = shared.world();
    if world.age == Age::Old {
        return Err(Wrong::MISSING);
    }
    let user = whom(&user, &me);
    let theirs = |id: &&String| world.channels[*id].members.contains(user);
    Ok(Json(world.channels.keys().filter(theirs).filter_map(|id| world.channel_json(id)).collect()))
}

pub(super) async fn typing(State(shared): App, _me: Me, Path(_user): Path<String>, Json(body): Json<Value>) -> Answer {
    shared.faults().typed.extend(body["channel_id"].as_str().map(str::to_owned));
    Ok(Json(json!({ "status": "OK" })))
}

pub(super) async fn config(State(shared): App, _me: Me) -> Answer {
    let old = shared.world().age == Age::Old;
    let faults = shared.faults();
    let mut config = json!({ "BuildNumber": "1", "EnableBotAccountCreation": "true" });
    if !old && !faults.hides_longest {
        config["MaxPostSize"] = faults.longest().to_string().into();
    }
    Ok(Json(config))
}
