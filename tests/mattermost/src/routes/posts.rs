//! Posts, reactions and files.

use axum::{
    Json,
    extract::{ConnectInfo, Multipart, Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use super::{Answer, ApiError, App, CurrentUser, created};
use wardroom_fake_server::ConnectionCut;

use crate::{Shared, data::Known, faults::Faults};

/// Maximum size of a file, in bytes.
const LARGEST: usize = 100 * 1024 * 1024;

pub(super) async fn create(
    State(shared): App,
    ConnectInfo(cut): ConnectInfo<ConnectionCut>,
    me: CurrentUser,
    Json(body): Json<Value>,
) -> Result<Response, ApiError> {
    let (slow, lost) = {
        let mut faults = shared.faults();
        if Faults::use_up(&mut faults.broken_posts) {
            return Err(ApiError::internal("app.post.save.app_error"));
        }
        (faults.slow_posts, Faults::use_up(&mut faults.lost_answers))
    };
    let name = body["pending_post_id"].as_str().unwrap_or_default().to_owned();
    if !name.is_empty() {
        match shared.data().pend(&name) {
            Known::New => {}
            Known::UnderWay => return Err(ApiError::internal("api.post.deduplicate_create_post.pending")),
            Known::Made(id) => {
                let data = shared.data();
                let post = data.post(&id).ok_or(ApiError::MISSING)?;
                return Ok((StatusCode::CREATED, Json(post.json(data.version, ""))).into_response());
            }
        }
    }
    // A separate task creates the post, even if the client disconnects.
    let making = tokio::spawn({
        let (shared, name) = (shared.clone(), name.clone());
        async move {
            tokio::time::sleep(slow).await;
            let made = check(&shared, &me.0, &body).map(|()| {
                let channel = body["channel_id"].as_str().unwrap_or_default();
                shared.change(|data| data.post_with(channel, &me.0, &body))
            });
            if !name.is_empty() {
                shared.data().settle(&name, made.as_ref().ok().map(String::as_str));
            }
            made
        }
    });
    let id = making.await.map_err(|_| ApiError::internal("app.post.save.app_error"))??;
    if lost {
        cut.0.cancel();
        std::future::pending::<()>().await;
    }
    let post = {
        let data = shared.data();
        data.post(&id).ok_or(ApiError::MISSING)?.json(data.version, &name)
    };
    Ok(created(&shared, post))
}

/// Checks that the user may create the post.
fn check(shared: &Shared, me: &str, body: &Value) -> Result<(), ApiError> {
    let (longest, refuses_files, rejected) = {
        let faults = shared.faults();
        (faults.longest(), faults.refuses_posts_with_files, faults.rejected.clone())
    };
    let data = shared.data();
    let word = |key: &str| body[key].as_str().unwrap_or_default();
    if !data.is_member(word("channel_id"), me) || !data.may_post(word("channel_id")) {
        return Err(ApiError::FORBIDDEN);
    }
    if data.is_archived(word("channel_id")) {
        return Err(ApiError::bad("api.post.create_post.can_not_post_to_deleted.error"));
    }
    let has_files = body["file_ids"].as_array().is_some_and(|files| !files.is_empty());
    if has_files && refuses_files {
        return Err(ApiError::FORBIDDEN);
    }
    if !rejected.is_empty() && word("message").contains(&rejected) {
        return Err(ApiError::bad("Post rejected by plugin. Nein."));
    }
    let root = word("root_id");
    if !root.is_empty() {
        let stands = data.post(root).is_some_and(|root| root.delete_at == 0 && root.root.is_empty());
        if !stands {
            return Err(ApiError::bad("api.post.create_post.root_id.app_error"));
        }
    }
    if word("type").starts_with("system_") {
        return Err(ApiError::bad("api.context.invalid_param.app_error"));
    }
    if word("message").chars().count() > longest {
        return Err(ApiError::bad("model.post.is_valid.message_length.app_error"));
    }
    Ok(())
}

pub(super) async fn one(State(shared): App, _me: CurrentUser, Path(id): Path<String>) -> Answer {
    let data = shared.data();
    let post = data.post(&id).filter(|post| post.delete_at == 0).ok_or(ApiError::MISSING)?;
    Ok(Json(post.json(data.version, "")))
}

pub(super) async fn patch(
    State(shared): App,
    me: CurrentUser,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Answer {
    let longest = shared.faults().longest();
    let message = body["message"].as_str();
    if message.is_some_and(|message| message.chars().count() > longest) {
        return Err(ApiError::bad("model.post.is_valid.message_length.app_error"));
    }
    let channel = shared.data().post(&id).map(|post| post.channel.clone()).unwrap_or_default();
    if !shared.data().may_post(&channel) {
        return Err(ApiError::FORBIDDEN);
    }
    match shared.data().post(&id) {
        Some(post) if post.delete_at > 0 => return Err(ApiError::MISSING),
        Some(post) if post.user != me.0 => return Err(ApiError::FORBIDDEN),
        Some(_) if shared.faults().refuses_edits => {
            return Err(ApiError::bad("api.post.update_post.permissions_time_limit.app_error"));
        }
        Some(_) => {}
        None => return Err(ApiError::MISSING),
    }
    let props = body["props"].as_object().cloned();
    shared.change(|data| data.edit(&id, message, props)).map(Json).ok_or(ApiError::MISSING)
}

pub(super) async fn remove(State(shared): App, me: CurrentUser, Path(id): Path<String>) -> Answer {
    shared.change(|data| data.delete(&id, Some(&me.0)));
    Ok(Json(json!({ "status": "OK" })))
}

pub(super) async fn reactions(State(shared): App, _me: CurrentUser, Path(id): Path<String>) -> Answer {
    let data = shared.data();
    let post = data.post(&id).ok_or(ApiError::MISSING)?;
    Ok(Json(if post.reactions.is_empty() { Value::Null } else { post.reactions_json() }))
}

pub(super) async fn react(State(shared): App, me: CurrentUser, Json(body): Json<Value>) -> Result<Response, ApiError> {
    let word = |key: &str| body[key].as_str().unwrap_or_default();
    let emoji = word("emoji_name");
    let named = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'+');
    if word("user_id") != me.0 {
        return Err(ApiError::FORBIDDEN);
    }
    if emoji.is_empty() || !emoji.bytes().all(named) {
        return Err(ApiError::bad("api.context.invalid_body_param.app_error"));
    }
    let reaction = shared.change(|data| data.react(&me.0, word("post_id"), emoji)).ok_or(ApiError::MISSING)?;
    // The documentation says 201, but a real server answers 200.
    Ok(Json(reaction).into_response())
}

pub(super) async fn unreact(
    State(shared): App,
    me: CurrentUser,
    Path((_user, post, emoji)): Path<(String, String, String)>,
) -> Answer {
    shared.change(|data| data.unreact(&me.0, &post, &emoji));
    Ok(Json(json!({ "status": "OK" })))
}

pub(super) async fn upload(State(shared): App, me: CurrentUser, mut form: Multipart) -> Result<Response, ApiError> {
    let bad = || ApiError::bad("api.file.upload_file.read_request.app_error");
    let (mut channel, mut name, mut text) = (String::new(), String::new(), None);
    while let Some(field) = form.next_field().await.map_err(|_| bad())? {
        match field.name() {
            Some("channel_id") => channel = field.text().await.map_err(|_| bad())?,
            Some("files") => {
                name = field.file_name().unwrap_or_default().to_owned();
                text = Some(field.text().await.map_err(|_| bad())?);
            }
            _ => {}
        }
    }
    let text = text.filter(|text| text.len() <= LARGEST).ok_or_else(bad)?;
    match shared.faults().refuses_files {
        0 => {}
        403 => return Err(ApiError::FORBIDDEN),
        413 => return Err(ApiError::of(413, "api.file.upload_file.too_large_detailed.app_error")),
        501 => return Err(ApiError::of(501, "api.file.attachments.disabled.app_error")),
        status => return Err(ApiError::of(status, "app.file.upload.app_error")),
    }
    if !shared.data().is_member(&channel, &me.0) {
        return Err(ApiError::FORBIDDEN);
    }
    let size = text.len();
    let id = shared.change(|data| data.add_file(text));
    let info = json!({ "id": id, "user_id": me.0, "channel_id": channel, "name": name, "size": size });
    Ok(created(&shared, json!({ "file_infos": [info], "client_ids": [] })))
}
