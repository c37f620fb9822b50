//! The calls of Mattermost's REST API that the bot uses, with one function per call.
//!
//! Not here: the calls that read the posts of a channel (`posts`).

use std::collections::{BTreeSet, HashSet};

use reqwest::{
    Method,
    multipart::{Form, Part},
};
use serde_json::{Value, json};

use super::{
    ApiClient, Channel, ChannelKind, Post, Reaction, UPLOAD_TIMEOUT, User,
    json::{Object, list},
};
use crate::{config::RoomName, error::MattermostError, responses::Request};

/// Number of entries per page that the bot requests: the maximum that the server allows.
const PER_PAGE: &str = "200";
const FULL_PAGE: usize = 200;
/// Maximum number of members of a channel that are listed. For a larger channel the list fails, because an incomplete
/// list could resolve a name to the wrong person.
const MAX_MEMBERS: usize = 50_000;
/// Maximum number of channels of all teams that are listed. Further channels are not served.
const MAX_CHANNELS: usize = 50_000;

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
        User::read(&self.get(&["users", "me"], &[]).await?)
            .ok_or_else(|| MattermostError::unavailable("the server's response does not contain the bot's account"))
    }

    /// Returns the channels that the bot is in, without archived ones, and whether the list is complete. The list is
    /// incomplete if the server rejects the request for a team's channels, or if there are more than [`MAX_CHANNELS`].
    /// The channels of teams come first.
    pub(crate) async fn channels(&self) -> Result<(Vec<Channel>, bool), MattermostError> {
        self.channels_up_to(MAX_CHANNELS).await
    }

    async fn channels_up_to(&self, max: usize) -> Result<(Vec<Channel>, bool), MattermostError> {
        let teams = self.get(&["users", "me", "teams"], &[]).await?;
        let teams: Vec<Object<'_>> = list(&teams).unwrap_or_default().into_iter().map(Object::read).collect();
        let mut joined = ChannelList { of_teams: Vec::new(), others: Vec::new(), ids: HashSet::new(), max };
        let mut is_complete = true;
        for team in &teams {
            let Some(id) = team.non_empty("id") else { continue };
            match self.get(&["users", "me", "teams", &id, "channels"], &[]).await {
                Ok(listed) => is_complete &= joined.add(&listed, &team.text("name")),
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
                Ok(listed) => is_complete &= joined.add(&listed, ""),
                Err(end @ MattermostError::TokenRejected { .. }) => return Err(end),
                Err(error) => {
                    tracing::debug!(%error, "cannot list the channels that belong to no team, such as direct messages")
                }
            }
        }
        let ChannelList { mut of_teams, others, .. } = joined;
        of_teams.extend(others);
        Ok((of_teams, is_complete))
    }

    /// Returns those of the channels with these names that the account `me` is in. Unlike [`Self::channels`], needs one
    /// small response per channel.
    pub(crate) async fn channels_named(&self, names: &[RoomName], me: &str) -> Result<Vec<Channel>, MattermostError> {
        let mut channels = Vec::new();
        for name in names {
            let (found, team) = match name {
                RoomName::Id(id) => (self.get(&["channels", id], &[]).await, ""),
                RoomName::Path { team, channel } => {
                    let path = ["teams", "name", team, "channels", "name", channel];
                    (self.get(&path, &[]).await, &**team)
                }
            };
            let channel = match found {
                Ok(found) => Channel::read(&found, team).filter(|channel| !channel.is_archived),
                // The channel does not exist, or the bot may not see it.
                Err(MattermostError::Rejected { .. }) => None,
                Err(error) => return Err(error),
            };
            // The server also shows public channels that the bot is not in.
            if let Some(channel) = channel
                && self.is_member(&channel.id, me).await?
            {
                channels.push(channel);
            }
        }
        Ok(channels)
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
        let created = self.send(Request::Post, Method::POST, &["posts"], &body).await?;
        let created = Post::read(&created)
            .ok_or_else(|| MattermostError::unavailable("the server's response does not contain the created post"))?;
        Ok(created.id)
    }

    /// Replaces the text and all properties of a post.
    pub(crate) async fn edit_post(&self, post: &str, message: &str, props: &Value) -> Result<(), MattermostError> {
        let body = json!({ "message": message, "props": props });
        self.send(Request::Edit, Method::PUT, &["posts", post, "patch"], &body).await.map(drop)
    }

    pub(crate) async fn add_reaction(&self, me: &str, post: &str, emoji: &str) -> Result<(), MattermostError> {
        let body = json!({ "user_id": me, "post_id": post, "emoji_name": emoji });
        self.send(Request::Other, Method::POST, &["reactions"], &body).await.map(drop)
    }

    /// Uploads a text as a file for one post of a channel. Returns the file's id.
    pub(crate) async fn upload(&self, channel: &str, name: &str, text: String) -> Result<String, MattermostError> {
        let part = Part::text(text).file_name(name.to_owned()).mime_str("text/plain; charset=utf-8")?;
        let form = Form::new().text("channel_id", channel.to_owned()).part("files", part);
        let request = self.request(Method::POST, &["files"]).timeout(UPLOAD_TIMEOUT).multipart(form);
        let answer = self.call(Request::Upload, request).await?;
        let answer = Object::read(&answer);
        let first = list(answer.json("file_infos")).unwrap_or_default().first().copied().unwrap_or_default();
        let id = Object::read(first).non_empty("id");
        id.ok_or_else(|| {
            MattermostError::unavailable("the server's response does not contain the id of the uploaded file")
        })
    }

    /// Returns the accounts with these ids. Ids without an account are left out.
    pub(crate) async fn users(&self, ids: &[String]) -> Result<Vec<User>, MattermostError> {
        let mut users = Vec::new();
        for chunk in ids.chunks(FULL_PAGE) {
            let answer = self.send(Request::Other, Method::POST, &["users", "ids"], &json!(chunk)).await?;
            // The response must be a list, because an id that is not in it counts as an account that does not exist.
            let listed = list(&answer)
                .ok_or_else(|| MattermostError::unavailable("the server's response is not a list of accounts"))?;
            users.extend(listed.into_iter().filter_map(User::read));
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
            let members = list(&answer).unwrap_or_default();
            let before = ids.len();
            ids.extend(members.iter().filter_map(|member| Object::read(member).non_empty("user_id")));
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
            Ok(member) if Object::read(&member).text("user_id") == user => Ok(true),
            Ok(_) => Err(MattermostError::unavailable("the server's response does not contain the requested member")),
            Err(MattermostError::Rejected { not_found: true, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns the maximum length of a message on this server, in characters; `None` if the server does not report it.
    pub(crate) async fn max_message_length(&self) -> Result<Option<usize>, MattermostError> {
        let answer = self.get(&["config", "client"], &[("format", "old")]).await?;
        let config = Object::read(&answer);
        let number = || config.integer("MaxPostSize").and_then(|length| length.try_into().ok());
        Ok(config.text("MaxPostSize").parse().ok().or_else(number))
    }
}

/// The channels that were listed so far.
struct ChannelList {
    of_teams: Vec<Channel>,
    /// Direct messages, which each team's list repeats.
    others: Vec<Channel>,
    ids: HashSet<String>,
    max: usize,
}

impl ChannelList {
    /// Adds the channels of a response, without archived ones. `team` is the team's name. Returns `false` if the list
    /// is full and channels were left out. The channels of teams take precedence over direct messages.
    fn add(&mut self, json: &str, team: &str) -> bool {
        let listed = list(json).unwrap_or_default().into_iter().filter_map(|channel| Channel::read(channel, team));
        for channel in listed.filter(|channel| !channel.is_archived) {
            if self.ids.insert(channel.id.clone()) {
                let is_of_team = channel.kind == ChannelKind::Team;
                if is_of_team { &mut self.of_teams } else { &mut self.others }.push(channel);
            }
        }
        let excess = self.ids.len().saturating_sub(self.max);
        if excess == 0 {
            return true;
        }
        self.others.truncate(self.others.len().saturating_sub(excess));
        self.of_teams.truncate(self.max);
        self.ids = self.of_teams.iter().chain(&self.others).map(|channel| channel.id.clone()).collect();
        tracing::warn!(
            max = self.max,
            "the bot is in more channels than it serves; messages in the other channels are not handled; hint: remove the bot from channels that do not need it"
        );
        false
    }
}

fn existing(answer: Result<String, MattermostError>) -> Result<Option<User>, MattermostError> {
    match answer {
        Ok(user) => Ok(User::read(&user)),
        Err(MattermostError::Rejected { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
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
    async fn the_channels_of_all_teams_are_listed_up_to_a_maximum() {
        let server = Server::start().await.expect("a server");
        let client = client_of(&server);
        let bot = server.person_of(&client.me().await.expect("an account").id);
        for number in 0..3 {
            server.direct(&bot, &server.person(&format!("p{number}")));
            server.put(&server.channel(&format!("team{number}"), "ops"), &bot);
        }
        let listed = async |max| {
            let (channels, is_complete) = client.channels_up_to(max).await.expect("the channels");
            (channels.iter().filter(|channel| !channel.team.is_empty()).count(), channels.len(), is_complete)
        };
        assert_eq!(listed(6).await, (3, 6, true));
        assert_eq!(listed(4).await, (3, 4, false), "direct messages are left out first");
        assert_eq!(listed(2).await, (2, 2, false));
    }
}
