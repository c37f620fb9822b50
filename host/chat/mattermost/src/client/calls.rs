//! The calls of Mattermost's REST API that the bot uses, with one function per call.

use std::collections::{BTreeSet, HashSet};

use reqwest::{
    Method,
    multipart::{Form, Part},
};
use serde_json::{Value, json};

use super::{ApiClient, Channel, Page, Post, Reaction, UPLOAD_TIMEOUT, User};
use crate::error::MattermostError;

/// Number of entries per page that the bot requests: the maximum that the server allows.
const PER_PAGE: &str = "200";
const FULL_PAGE: usize = 200;
/// Maximum number of posts that the server returns for a `since` request. A response of this size may be incomplete.
const SINCE_LIMIT: usize = 1000;
/// Maximum number of members of a channel that are listed. For a larger channel the list fails, because an incomplete
/// list could resolve a name to the wrong person.
const MAX_MEMBERS: usize = 50_000;

#[derive(Debug)]
pub(crate) struct NewPost<'a> {
    pub(crate) channel: &'a str,
    pub(crate) message: &'a str,
    pub(crate) root: Option<&'a str>,
    pub(crate) props: &'a Value,
    /// The idempotency key (`pending_post_id`). The server creates only one post per key within half a minute.
    pub(crate) pending_id: &'a str,
    pub(crate) file: Option<&'a str>,
}

impl ApiClient {
    /// Returns the account to which the token belongs.
    pub(crate) async fn me(&self) -> Result<User, MattermostError> {
        let answer = self.get(&["users", "me"], &[]).await?;
        User::read(&answer)
            .ok_or_else(|| MattermostError::unavailable("the server's response does not contain the bot's account"))
    }

    /// Returns the channels that the bot is in, without archived ones, and whether the list is complete. The list is
    /// incomplete if the server rejects the request for a team's channels.
    pub(crate) async fn channels(&self) -> Result<(Vec<Channel>, bool), MattermostError> {
        let teams = self.get(&["users", "me", "teams"], &[]).await?;
        let mut channels: Vec<Channel> = Vec::new();
        let mut ids = HashSet::new();
        let mut add = |list: &Value, team: &str| {
            let listed = list.as_array().into_iter().flatten().filter_map(|channel| Channel::read(channel, team));
            channels.extend(listed.filter(|channel| !channel.is_archived && ids.insert(channel.id.clone())));
        };
        let mut is_complete = true;
        let teams: Vec<&Value> = teams.as_array().into_iter().flatten().collect();
        for team in &teams {
            let Some(id) = team["id"].as_str() else { continue };
            match self.get(&["users", "me", "teams", id, "channels"], &[]).await {
                Ok(list) => add(&list, team["name"].as_str().unwrap_or_default()),
                // The bot left the team, or may not list its channels. Continue with the other teams.
                Err(MattermostError::Rejected { reason, .. }) => {
                    tracing::warn!(
                        team = id,
                        error = reason,
                        "cannot list the channels of a team; the bot may miss messages in these channels; hint: check that the bot is a member of the team"
                    );
                    is_complete = false;
                }
                Err(error) => return Err(error),
            }
        }
        if teams.is_empty() || !is_complete {
            // Direct messages belong to no team. Servers before 6.1 do not have this call.
            match self.get(&["users", "me", "channels"], &[]).await {
                Ok(list) => add(&list, ""),
                Err(end @ MattermostError::TokenRejected { .. }) => return Err(end),
                Err(error) => {
                    tracing::debug!(%error, "cannot list the channels that belong to no team, such as direct messages")
                }
            }
        }
        Ok((channels, is_complete))
    }

    /// Returns the posts of a channel that were created, changed or deleted since a time, and whether the list is
    /// complete. `since` is in milliseconds since the Unix epoch (server clock). If the response is too large, returns
    /// an empty and incomplete list.
    pub(crate) async fn posts_since(&self, channel: &str, since: i64) -> Result<(Page, bool), MattermostError> {
        let since = since.to_string();
        let answer = match self.get(&["channels", channel, "posts"], &[("since", since.as_str())]).await {
            Ok(answer) => answer,
            Err(MattermostError::Unavailable { is_too_large: true, .. }) => return Ok((Page::default(), false)),
            Err(error) => return Err(error),
        };
        let page = Page::read(&answer);
        let is_complete = page.listed < SINCE_LIMIT;
        Ok((page, is_complete))
    }

    /// Returns a page of a channel's posts, and whether there can be older posts than those on the page. The page holds
    /// the posts before the post with the id `before`, or the newest posts if `before` is `None`.
    pub(crate) async fn posts_before(
        &self,
        channel: &str,
        before: Option<&str>,
    ) -> Result<(Page, bool), MattermostError> {
        let mut query = vec![("per_page", PER_PAGE)];
        query.push(before.map_or(("page", "0"), |before| ("before", before)));
        let (answer, size) = self.get_with_size(&["channels", channel, "posts"], &query).await?;
        let page = Page { size, ..Page::read(&answer) };
        // The server's page size can be smaller, so only an empty page proves the end.
        let more = page.listed > 0;
        Ok((page, more))
    }

    pub(crate) async fn reactions(&self, post: &str) -> Result<Vec<Reaction>, MattermostError> {
        Ok(Reaction::read_all(&self.get(&["posts", post, "reactions"], &[]).await?))
    }

    pub(crate) async fn create_post(&self, new: &NewPost<'_>) -> Result<String, MattermostError> {
        let mut body = json!({
            "channel_id": new.channel, "message": new.message, "props": new.props, "pending_post_id": new.pending_id,
        });
        if let Some(root) = new.root {
            body["root_id"] = root.into();
        }
        if let Some(file) = new.file {
            body["file_ids"] = json!([file]);
        }
        let created = self.send(Method::POST, &["posts"], &body).await?;
        let created = Post::read(&created)
            .ok_or_else(|| MattermostError::unavailable("the server's response does not contain the created post"))?;
        Ok(created.id)
    }

    /// Replaces the text and all properties of a post.
    pub(crate) async fn edit_post(&self, post: &str, message: &str, props: &Value) -> Result<(), MattermostError> {
        let body = json!({ "message": message, "props": props });
        self.send(Method::PUT, &["posts", post, "patch"], &body).await.map(drop)
    }

    pub(crate) async fn add_reaction(&self, me: &str, post: &str, emoji: &str) -> Result<(), MattermostError> {
        let body = json!({ "user_id": me, "post_id": post, "emoji_name": emoji });
        self.send(Method::POST, &["reactions"], &body).await.map(drop)
    }

    /// Uploads a text as a file for one post of a channel. Returns the file's id.
    pub(crate) async fn upload(&self, channel: &str, name: &str, text: String) -> Result<String, MattermostError> {
        let part = Part::text(text).file_name(name.to_owned()).mime_str("text/plain; charset=utf-8")?;
        let form = Form::new().text("channel_id", channel.to_owned()).part("files", part);
        let answer = self.call(self.request(Method::POST, &["files"]).timeout(UPLOAD_TIMEOUT).multipart(form)).await?;
        let id = answer["file_infos"][0]["id"].as_str().map(str::to_owned);
        id.ok_or_else(|| {
            MattermostError::unavailable("the server's response does not contain the id of the uploaded file")
        })
    }

    /// Returns the accounts with these ids. Ids without an account are left out.
    pub(crate) async fn users(&self, ids: &[String]) -> Result<Vec<User>, MattermostError> {
        let mut users = Vec::new();
        for chunk in ids.chunks(FULL_PAGE) {
            let answer = self.send(Method::POST, &["users", "ids"], &json!(chunk)).await?;
            // The response must be a list, because an id that is not in it counts as an account that does not exist.
            let listed = answer
                .as_array()
                .ok_or_else(|| MattermostError::unavailable("the server's response is not a list of accounts"))?;
            users.extend(listed.iter().filter_map(User::read));
        }
        Ok(users)
    }

    /// Returns the account with this id; `None` if it does not exist.
    pub(crate) async fn user(&self, id: &str) -> Result<Option<User>, MattermostError> {
        existing(self.get(&["users", id], &[]).await)
    }

    /// Returns the account with this name; `None` if it does not exist. The name has no `@`.
    pub(crate) async fn user_named(&self, name: &str) -> Result<Option<User>, MattermostError> {
        existing(self.get(&["users", "username", name], &[]).await)
    }

    /// Returns the ids of a channel's members.
    ///
    /// # Errors
    /// The request to the server fails, or the channel has more than [`MAX_MEMBERS`] members.
    pub(crate) async fn members(&self, channel: &str) -> Result<BTreeSet<String>, MattermostError> {
        self.members_up_to(channel, MAX_MEMBERS).await
    }

    async fn members_up_to(&self, channel: &str, max: usize) -> Result<BTreeSet<String>, MattermostError> {
        let mut ids = BTreeSet::new();
        for page in 0_u32.. {
            let query = [("page", &*page.to_string()), ("per_page", PER_PAGE)];
            let answer = self.get(&["channels", channel, "members"], &query).await?;
            let members = answer.as_array().map(Vec::as_slice).unwrap_or_default();
            let before = ids.len();
            ids.extend(members.iter().filter_map(|member| member["user_id"].as_str()).map(str::to_owned));
            if ids.len() > max {
                return Err(MattermostError::rejected(format!(
                    "the channel has more than {max} members, and the bot does not list more; hint: use a smaller channel, and write ids instead of names"
                )));
            }
            if members.len() < FULL_PAGE || ids.len() == before {
                break;
            }
        }
        Ok(ids)
    }

    /// Returns whether an account is a member of a channel.
    pub(crate) async fn is_member(&self, channel: &str, user: &str) -> Result<bool, MattermostError> {
        match self.get(&["channels", channel, "members", user], &[]).await {
            // Compare the id, because a proxy can answer every request with a page of its own.
            Ok(member) if member["user_id"] == user => Ok(true),
            Ok(_) => Err(MattermostError::unavailable("the server's response does not contain the requested member")),
            Err(MattermostError::Rejected { not_found: true, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns the maximum length of a message on this server, in characters; `None` if the server does not report it.
    pub(crate) async fn max_message_length(&self) -> Result<Option<usize>, MattermostError> {
        let answer = self.get(&["config", "client"], &[("format", "old")]).await?;
        let length = &answer["MaxPostSize"];
        Ok(length.as_str().and_then(|text| text.parse().ok()).or_else(|| length.as_u64()?.try_into().ok()))
    }
}

fn existing(answer: Result<Value, MattermostError>) -> Result<Option<User>, MattermostError> {
    match answer {
        Ok(user) => Ok(User::read(&user)),
        Err(MattermostError::Rejected { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wardroom_fake_mattermost::Server;

    use crate::client::tests::client_of;

    #[tokio::test]
    async fn the_members_of_a_channel_are_listed_up_to_a_maximum() {
        let server = Server::start().await.expect("a server");
        let client = client_of(&server);
        let channel = server.channel("eng", "ops");
        server.put(&channel, &server.person_of(&client.me().await.expect("an account").id));
        for number in 1..450 {
            server.put(&channel, &server.person(&format!("p{number}")));
        }
        assert_eq!(client.members_up_to(&channel, 450).await.expect("the members").len(), 450);
        let error = client.members_up_to(&channel, 449).await.expect_err("too many members");
        assert!(error.reason().contains("more than 449 members"), "{error}");
        assert_eq!(server.calls("GET", &format!("/channels/{channel}/members")), 6);
    }

    #[tokio::test]
    async fn a_list_of_changes_that_is_too_large_counts_as_incomplete() {
        let server = Server::start().await.expect("a server");
        let client = client_of(&server);
        let channel = server.channel("eng", "ops");
        let bot = server.person_of(&client.me().await.expect("an account").id);
        server.put(&channel, &bot);
        server.post_with(&channel, &bot, &json!({ "message": "x", "create_at": 1_000 }));
        let changes = async || client.posts_since(&channel, 1).await.expect("an answer");
        assert_eq!(changes().await.0.posts.len(), 1);
        server.faults(|faults| (faults.padded, faults.padding) = ("/channels".into(), 32 * 1024 * 1024));
        let (page, is_complete) = changes().await;
        assert!(page.posts.is_empty() && !is_complete, "{page:?}");
    }
}
