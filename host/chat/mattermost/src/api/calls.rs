//! The calls that we make, one function each.

use reqwest::{
    Method,
    multipart::{Form, Part},
};
use serde_json::{Value, json};

use super::{Api, Channel, Page, Post, Reaction, UPLOAD, User};
use crate::trouble::Trouble;

/// The most that a server lists at once.
const PER_PAGE: &str = "200";
const FULL: usize = 200;
/// Above this many the answer to "since when" is any part of them.
const SINCE_CAP: usize = 1000;

/// A post to be made.
#[derive(Debug)]
pub(crate) struct NewPost<'a> {
    pub(crate) channel: &'a str,
    pub(crate) message: &'a str,
    pub(crate) root: Option<&'a str>,
    pub(crate) props: &'a Value,
    /// The server makes one post of this name within half a minute.
    pub(crate) pending: &'a str,
    pub(crate) file: Option<&'a str>,
}

impl Api {
    /// Who we are.
    pub(crate) async fn me(&self) -> Result<User, Trouble> {
        let answer = self.get(&["users", "me"], &[]).await?;
        User::read(&answer).ok_or_else(|| Trouble::later("the server does not say who we are"))
    }

    /// Every channel that we are in, once each, and whether these are all of them.
    pub(crate) async fn channels(&self) -> Result<(Vec<Channel>, bool), Trouble> {
        let teams = self.get(&["users", "me", "teams"], &[]).await?;
        let mut channels: Vec<Channel> = Vec::new();
        let mut add = |list: &Value, team: &str| {
            for channel in list.as_array().into_iter().flatten().filter_map(|channel| Channel::read(channel, team)) {
                if !channel.archived && !channels.iter().any(|known| known.id == channel.id) {
                    channels.push(channel);
                }
            }
        };
        let mut whole = true;
        let teams: Vec<&Value> = teams.as_array().into_iter().flatten().collect();
        for team in &teams {
            let Some(id) = team["id"].as_str() else { continue };
            match self.get(&["users", "me", "teams", id, "channels"], &[]).await {
                Ok(list) => add(&list, team["name"].as_str().unwrap_or_default()),
                // Out of the team meanwhile, or kept out of it: the other teams still count.
                Err(Trouble::Refused { reason, .. }) => {
                    tracing::warn!(team = id, "the channels of a team cannot be listed: {reason}");
                    whole = false;
                }
                Err(trouble) => return Err(trouble),
            }
        }
        if teams.is_empty() || !whole {
            // Direct messages need no team. Servers before 6.1 do not have this call.
            match self.get(&["users", "me", "channels"], &[]).await {
                Ok(list) => add(&list, ""),
                Err(over @ Trouble::LoggedOut { .. }) => return Err(over),
                Err(trouble) => tracing::debug!("channels without a team cannot be listed: {trouble}"),
            }
        }
        Ok((channels, whole))
    }

    /// What was made, changed or removed in a channel since a moment, and whether that is all of it.
    pub(crate) async fn posts_since(&self, channel: &str, since: i64) -> Result<(Page, bool), Trouble> {
        let since = since.to_string();
        let page = Page::read(&self.get(&["channels", channel, "posts"], &[("since", since.as_str())]).await?);
        let all = page.listed < SINCE_CAP;
        Ok((page, all))
    }

    /// The posts before one, or the newest, and whether there may be older ones.
    pub(crate) async fn posts_before(&self, channel: &str, before: Option<&str>) -> Result<(Page, bool), Trouble> {
        let mut query = vec![("per_page", PER_PAGE)];
        query.push(before.map_or(("page", "0"), |before| ("before", before)));
        let page = Page::read(&self.get(&["channels", channel, "posts"], &query).await?);
        // A server may be set to list fewer at once; an empty page is the only sure end there is.
        let more = page.listed > 0;
        Ok((page, more))
    }

    /// The reactions on a post.
    pub(crate) async fn reactions(&self, post: &str) -> Result<Vec<Reaction>, Trouble> {
        Ok(Reaction::read_all(&self.get(&["posts", post, "reactions"], &[]).await?))
    }

    /// Makes a post and gives its id.
    pub(crate) async fn post(&self, new: &NewPost<'_>) -> Result<String, Trouble> {
        let mut body = json!({
            "channel_id": new.channel, "message": new.message, "props": new.props, "pending_post_id": new.pending,
        });
        if let Some(root) = new.root {
            body["root_id"] = root.into();
        }
        if let Some(file) = new.file {
            body["file_ids"] = json!([file]);
        }
        let made = self.send(Method::POST, &["posts"], &body).await?;
        let made = Post::read(&made).ok_or_else(|| Trouble::later("the server does not name the post that it made"))?;
        Ok(made.id)
    }

    /// Gives a post new words. The properties are all that it has from now on.
    pub(crate) async fn patch(&self, post: &str, message: &str, props: &Value) -> Result<(), Trouble> {
        let body = json!({ "message": message, "props": props });
        self.send(Method::PUT, &["posts", post, "patch"], &body).await.map(drop)
    }

    /// Puts an emoji on a post.
    pub(crate) async fn react(&self, me: &str, post: &str, emoji: &str) -> Result<(), Trouble> {
        let body = json!({ "user_id": me, "post_id": post, "emoji_name": emoji });
        self.send(Method::POST, &["reactions"], &body).await.map(drop)
    }

    /// Uploads a text as a file for one post of a channel, and gives its id.
    pub(crate) async fn upload(&self, channel: &str, name: &str, text: String) -> Result<String, Trouble> {
        let part = Part::text(text).file_name(name.to_owned()).mime_str("text/plain; charset=utf-8")?;
        let form = Form::new().text("channel_id", channel.to_owned()).part("files", part);
        let answer = self.call(self.request(Method::POST, &["files"]).timeout(UPLOAD).multipart(form)).await?;
        let id = answer["file_infos"][0]["id"].as_str().map(str::to_owned);
        id.ok_or_else(|| Trouble::later("the server does not name the file that it took"))
    }

    /// Accounts by their ids; those that are none are left out.
    pub(crate) async fn users(&self, ids: &[String]) -> Result<Vec<User>, Trouble> {
        let mut users = Vec::new();
        for some in ids.chunks(FULL) {
            let answer = self.send(Method::POST, &["users", "ids"], &json!(some)).await?;
            // Whoever is not in this list has no account, so it must be one.
            let listed = answer.as_array().ok_or_else(|| Trouble::later("the server lists no accounts"))?;
            users.extend(listed.iter().filter_map(User::read));
        }
        Ok(users)
    }

    /// An account by its id.
    pub(crate) async fn user(&self, id: &str) -> Result<Option<User>, Trouble> {
        found(self.get(&["users", id], &[]).await)
    }

    /// An account by its name, without `@`.
    pub(crate) async fn user_named(&self, name: &str) -> Result<Option<User>, Trouble> {
        found(self.get(&["users", "username", name], &[]).await)
    }

    /// The ids of who is in a channel.
    pub(crate) async fn members(&self, channel: &str) -> Result<Vec<String>, Trouble> {
        let mut ids: Vec<String> = Vec::new();
        for page in 0_u32.. {
            let query = [("page", &*page.to_string()), ("per_page", PER_PAGE)];
            let answer = self.get(&["channels", channel, "members"], &query).await?;
            let members = answer.as_array().map(Vec::as_slice).unwrap_or_default();
            let before = ids.len();
            for id in members.iter().filter_map(|member| member["user_id"].as_str()) {
                if !ids.iter().any(|known| known == id) {
                    ids.push(id.to_owned());
                }
            }
            if members.len() < FULL || ids.len() == before {
                break;
            }
        }
        Ok(ids)
    }

    /// Whether somebody is in a channel now.
    pub(crate) async fn is_member(&self, channel: &str, user: &str) -> Result<bool, Trouble> {
        match self.get(&["channels", channel, "members", user], &[]).await {
            // A proxy that has a page for everything is no yes.
            Ok(member) if member["user_id"] == user => Ok(true),
            Ok(_) => Err(Trouble::later("the server does not say who it means")),
            Err(Trouble::Refused { missing: true, .. }) => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }

    /// The longest message that the server takes, in characters; `None` where it does not say.
    pub(crate) async fn longest_message(&self) -> Result<Option<usize>, Trouble> {
        let answer = self.get(&["config", "client"], &[("format", "old")]).await?;
        let said = &answer["MaxPostSize"];
        Ok(said.as_str().and_then(|text| text.parse().ok()).or_else(|| said.as_u64()?.try_into().ok()))
    }
}

fn found(answer: Result<Value, Trouble>) -> Result<Option<User>, Trouble> {
    match answer {
        Ok(user) => Ok(User::read(&user)),
        Err(Trouble::Refused { .. }) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}
