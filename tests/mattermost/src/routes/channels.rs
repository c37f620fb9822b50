//! Channels, their members and posts.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde_json::{Value, json};

use super::{Answer, ApiError, App, CurrentUser};
use crate::{Shared, post::Post};

/// Maximum number of posts on a page.
const MOST: usize = 200;
/// Maximum number of posts that `since` returns. With more changes, it returns an arbitrary selection.
const SINCE_MOST: usize = 1000;

pub(super) async fn named(State(shared): App, me: CurrentUser, Path((team, name)): Path<(String, String)>) -> Answer {
    let data = shared.data();
    let found = data.channels.iter().find(|(_, channel)| channel.team == team && channel.name == name);
    let id = found.filter(|(_, channel)| channel.members.contains(&me.0)).map(|(id, _)| id).ok_or(ApiError::MISSING)?;
    data.channel_json(id).map(Json).ok_or(ApiError::MISSING)
}

pub(super) async fn direct(State(shared): App, _me: CurrentUser, Json(both): Json<Vec<String>>) -> Answer {
    let [one, other] = both.as_slice() else { return Err(ApiError::bad("api.context.invalid_body_param.app_error")) };
    let id = shared.change(|data| data.direct(one, other));
    shared.data().channel_json(&id).map(Json).ok_or(ApiError::MISSING)
}

fn readable(shared: &Shared, channel: &str, user: &str) -> Result<(), ApiError> {
    let forbidden = shared.faults().forbidden.contains(channel);
    if forbidden || !shared.data().is_member(channel, user) { Err(ApiError::FORBIDDEN) } else { Ok(()) }
}

pub(super) async fn one(State(shared): App, me: CurrentUser, Path(channel): Path<String>) -> Answer {
    readable(&shared, &channel, &me.0)?;
    shared.data().channel_json(&channel).map(Json).ok_or(ApiError::MISSING)
}

pub(super) async fn members(
    State(shared): App,
    me: CurrentUser,
    Path(channel): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Answer {
    readable(&shared, &channel, &me.0)?;
    let data = shared.data();
    let (page, per_page) = paging(&query);
    let known = data.channels.get(&channel).ok_or(ApiError::MISSING)?;
    let member = |user: &String| json!({ "channel_id": channel, "user_id": user, "roles": known.member_role() });
    Ok(Json(known.members.iter().skip(page * per_page).take(per_page).map(member).collect()))
}

pub(super) async fn member(
    State(shared): App,
    me: CurrentUser,
    Path((channel, user)): Path<(String, String)>,
) -> Answer {
    if shared.faults().members_away {
        return Err(ApiError::internal("app.channel.get_member.app_error"));
    }
    readable(&shared, &channel, &me.0)?;
    if !shared.data().is_member(&channel, &user) {
        return Err(ApiError::MISSING);
    }
    Ok(Json(json!({ "channel_id": channel, "user_id": user, "roles": shared.data().member_role(&channel) })))
}

fn paging(query: &BTreeMap<String, String>) -> (usize, usize) {
    let number = |key: &str| query.get(key).and_then(|text| text.parse::<usize>().ok());
    (number("page").unwrap_or(0), number("per_page").unwrap_or(60).clamp(1, MOST))
}

pub(super) async fn posts(
    State(shared): App,
    me: CurrentUser,
    Path(channel): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Answer {
    readable(&shared, &channel, &me.0)?;
    let data = shared.data();
    let (page, per_page) = paging(&query);
    let since = query.get("since").and_then(|text| text.parse::<i64>().ok()).filter(|since| *since > 0);
    let mut all = data.all_of(&channel);
    let listed: Vec<&Post> = if let Some(since) = since {
        // The posts are ordered by id, so the limit selects arbitrary ones.
        all.retain(|post| post.update_at > since);
        all.truncate(SINCE_MOST);
        newest_first(all)
    } else {
        all.retain(|post| post.delete_at == 0);
        let all = newest_first(all);
        let at =
            |key: &str| query.get(key).filter(|id| !id.is_empty()).map(|id| data.post(id).map(|post| post.create_at));
        match (at("before"), at("after")) {
            (Some(None), _) | (_, Some(None)) => return Err(ApiError::bad("api.context.invalid_url_param.app_error")),
            (Some(Some(before)), _) => {
                all.into_iter().filter(|post| post.create_at < before).skip(page * per_page).take(per_page).collect()
            }
            (_, Some(Some(after))) => {
                let behind: Vec<&Post> = all.into_iter().rev().filter(|post| post.create_at > after).collect();
                newest_first(behind.into_iter().skip(page * per_page).take(per_page).collect())
            }
            _ => all.into_iter().skip(page * per_page).take(per_page).collect(),
        }
    };
    let order: Vec<&str> = listed.iter().map(|post| post.id.as_str()).collect();
    let roots = listed.iter().filter_map(|post| data.post(&post.root));
    let posts: BTreeMap<&str, Value> =
        listed.iter().copied().chain(roots).map(|post| (post.id.as_str(), post.json(data.version, ""))).collect();
    Ok(Json(json!({ "order": order, "posts": posts, "next_post_id": "", "prev_post_id": "" })))
}

fn newest_first(mut posts: Vec<&Post>) -> Vec<&Post> {
    posts.sort_by(|one, other| (other.create_at, &other.id).cmp(&(one.create_at, &one.id)));
    posts
}
