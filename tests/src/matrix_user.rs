//! A person with a Matrix client: plain HTTP against the client-server API, independent of the bot's library.
//!
//! Invariant: the user keeps every event of every sync, so that waiting for one event never loses another.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::synapse::SERVER;

/// Timeout for an action of the bot, long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A person with one login.
#[derive(Debug)]
pub struct MatrixUser {
    http: reqwest::Client,
    url: String,
    token: String,
    /// The person's id, for example `@alice-1:wardroom.test`.
    pub id: String,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    since: Option<String>,
    /// Pairs of room and event, in the order of arrival.
    events: Vec<(String, Value)>,
}

/// Returns a name that no other test uses.
pub fn fresh(name: &str) -> String {
    format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Creates an account without a login. Its password is its name. Returns the account's id.
///
/// # Errors
/// The error of the homeserver.
async fn register(url: &str, name: &str, password: &str) -> Result<String> {
    let body =
        json!({ "username": name, "password": password, "auth": { "type": "m.login.dummy" }, "inhibit_login": true });
    let answer =
        call(&reqwest::Client::new(), Method::POST, &format!("{url}/_matrix/client/v3/register"), "", Some(body))
            .await?;
    text(&answer, "user_id")
}

/// Registers the account of a bot, and returns its id. The id does not contain the password, because the host redacts its
/// password in every text.
///
/// # Errors
/// The error of the homeserver.
pub async fn register_bot(url: &str, password: &str) -> Result<String> {
    let name: String = password.chars().rev().collect();
    register(url, &name, password).await
}

impl MatrixUser {
    /// Creates an account and logs in.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn new(url: &str, name: &str) -> Result<Self> {
        let id = register(url, name, name).await?;
        Self::login(url, &id, name).await
    }

    /// Logs in to an existing account.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn login(url: &str, id: &str, password: &str) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
        let body = json!({ "type": "m.login.password", "identifier": { "type": "m.id.user", "user": id }, "password": password });
        let answer = call(&http, Method::POST, &format!("{url}/_matrix/client/v3/login"), "", Some(body)).await?;
        let (id, token) = (text(&answer, "user_id")?, text(&answer, "access_token")?);
        Ok(Self { http, url: url.to_owned(), token, id, seen: Mutex::default() })
    }

    /// Returns the access token of the login.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Sets the account's display name.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn set_display_name(&self, name: &str) -> Result<()> {
        let path = format!("profile/{}/displayname", self.id);
        self.request(Method::PUT, &path, Some(json!({ "displayname": name }))).await.map(drop)
    }

    /// Ends this login.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn logout(&self) -> Result<()> {
        self.request(Method::POST, "logout", Some(json!({}))).await.map(drop)
    }

    /// Revokes the tokens of all logins of the account.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn logout_everywhere(&self) -> Result<()> {
        self.request(Method::POST, "logout/all", Some(json!({}))).await.map(drop)
    }

    /// Returns the sorted device ids of the account.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn devices(&self) -> Result<Vec<String>> {
        let answer = self.request(Method::GET, "devices", None).await?;
        let devices = answer["devices"].as_array().context("no devices")?;
        let mut ids = devices.iter().map(|device| text(device, "device_id")).collect::<Result<Vec<String>>>()?;
        ids.sort();
        Ok(ids)
    }

    /// Creates a room that every account of the homeserver may join. Returns its id and its alias.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn create_public_room(&self) -> Result<(String, String)> {
        let name = fresh("room");
        let body = json!({ "preset": "public_chat", "room_alias_name": name });
        let answer = self.request(Method::POST, "createRoom", Some(body)).await?;
        Ok((text(&answer, "room_id")?, format!("#{name}:{SERVER}")))
    }

    /// Creates an invite-only room with this initial state. Returns its id.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn create_room(&self, invite: &[&str], state: Value) -> Result<String> {
        let body = json!({ "preset": "private_chat", "invite": invite, "initial_state": state });
        text(&self.request(Method::POST, "createRoom", Some(body)).await?, "room_id")
    }

    /// Invites a person.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn invite(&self, room: &str, person: &str) -> Result<()> {
        self.request(Method::POST, &format!("rooms/{room}/invite"), Some(json!({ "user_id": person }))).await.map(drop)
    }

    /// Joins a room.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn join(&self, room: &str) -> Result<()> {
        self.request(Method::POST, &format!("rooms/{room}/join"), Some(json!({}))).await.map(drop)
    }

    /// Leaves a room.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn leave(&self, room: &str) -> Result<()> {
        self.request(Method::POST, &format!("rooms/{room}/leave"), Some(json!({}))).await.map(drop)
    }

    /// Kicks a person.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn kick(&self, room: &str, person: &str) -> Result<()> {
        self.request(Method::POST, &format!("rooms/{room}/kick"), Some(json!({ "user_id": person }))).await.map(drop)
    }

    /// Upgrades a room. Returns the id of the new room.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn upgrade(&self, room: &str) -> Result<String> {
        let answer =
            self.request(Method::POST, &format!("rooms/{room}/upgrade"), Some(json!({ "new_version": "12" }))).await?;
        text(&answer, "replacement_room")
    }

    /// Sets a state event of a room.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn set_state(&self, room: &str, kind: &str, content: Value) -> Result<()> {
        self.request(Method::PUT, &format!("rooms/{room}/state/{kind}"), Some(content)).await.map(drop)
    }

    /// Sends a text. Returns the event's id.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn say(&self, room: &str, body: &str) -> Result<String> {
        self.send(room, "m.room.message", json!({ "msgtype": "m.text", "body": body })).await
    }

    /// Sends an event. Returns its id.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn send(&self, room: &str, kind: &str, content: Value) -> Result<String> {
        let answer =
            self.request(Method::PUT, &format!("rooms/{room}/send/{kind}/{}", fresh("txn")), Some(content)).await?;
        text(&answer, "event_id")
    }

    /// Reacts to an event. Returns the reaction's id.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn react(&self, room: &str, event: &str, emoji: &str) -> Result<String> {
        let relation = json!({ "rel_type": "m.annotation", "event_id": event, "key": emoji });
        self.send(room, "m.reaction", json!({ "m.relates_to": relation })).await
    }

    /// Redacts an event of this person.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn redact(&self, room: &str, event: &str) -> Result<()> {
        let path = format!("rooms/{room}/redact/{event}/{}", fresh("txn"));
        self.request(Method::PUT, &path, Some(json!({}))).await.map(drop)
    }

    /// Returns the joined members of a room.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn members(&self, room: &str) -> Result<Vec<String>> {
        let answer = self.request(Method::GET, &format!("rooms/{room}/joined_members"), None).await?;
        let joined = answer["joined"].as_object().context("no members")?;
        Ok(joined.keys().cloned().collect())
    }

    /// Waits until a person has joined a room.
    ///
    /// # Errors
    /// Timeout.
    pub async fn wait_for_member(&self, room: &str, person: &str) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.members(room).await?.iter().any(|member| member == person) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("{person} is not in {room} after {PATIENCE:?}")
    }

    /// Waits for a past or future event that matches.
    ///
    /// # Errors
    /// Timeout; the error lists the other events.
    pub async fn wait(&self, room: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let begun = Instant::now();
        loop {
            if let Some(event) = self.seen(room).await.into_iter().find(&fits) {
                return Ok(event);
            }
            if begun.elapsed() > PATIENCE {
                let seen: Vec<String> = self.seen(room).await.iter().map(short).collect();
                bail!("`{what}` did not arrive within {PATIENCE:?}; the room has:\n{}", seen.join("\n"));
            }
            self.next_events(1000).await?;
        }
    }

    /// Returns all events of a room so far, oldest first.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn events(&self, room: &str) -> Result<Vec<Value>> {
        self.next_events(0).await?;
        Ok(self.seen(room).await)
    }

    async fn seen(&self, room: &str) -> Vec<Value> {
        let seen = self.seen.lock().await;
        seen.events.iter().filter(|(place, _)| place == room).map(|(_, event)| event.clone()).collect()
    }

    /// Syncs once, and returns the events of this sync as pairs of room and event. Without a new event the sync ends
    /// after `wait` milliseconds.
    ///
    /// # Errors
    /// The error of the homeserver.
    pub async fn next_events(&self, wait: u32) -> Result<Vec<(String, Value)>> {
        let mut seen = self.seen.lock().await;
        let before = seen.events.len();
        let since = seen.since.as_ref().map(|since| format!("&since={since}")).unwrap_or_default();
        let filter = "%7B%22room%22%3A%7B%22timeline%22%3A%7B%22limit%22%3A1000%7D%7D%7D";
        let answer = self.request(Method::GET, &format!("sync?timeout={wait}&filter={filter}{since}"), None).await?;
        seen.since = Some(text(&answer, "next_batch")?);
        for (room, update) in answer["rooms"]["join"].as_object().into_iter().flatten() {
            let events = update["timeline"]["events"].as_array().into_iter().flatten();
            seen.events.extend(events.map(|event| (room.clone(), event.clone())));
        }
        Ok(seen.events[before..].to_vec())
    }

    async fn request(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let path = path.replace('#', "%23");
        call(&self.http, method, &format!("{}/_matrix/client/v3/{path}", self.url), &self.token, body).await
    }
}

async fn call(http: &reqwest::Client, method: Method, url: &str, token: &str, body: Option<Value>) -> Result<Value> {
    let mut tries = 0;
    loop {
        let mut request = http.request(method.clone(), url);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = &body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.with_context(|| format!("{method} {url}"))?;
        let status = answer.status();
        let text = answer.text().await?;
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(value);
        }
        // In a test of the bot's rate limits, the person reaches a rate limit too and must wait.
        if status.as_u16() == 429 && tries < 20 {
            tries += 1;
            let wait = value["retry_after_ms"].as_u64().unwrap_or(500);
            tokio::time::sleep(Duration::from_millis(wait + 50)).await;
            continue;
        }
        bail!("{method} {url}: {status}: {text}");
    }
}

fn text(answer: &Value, field: &str) -> Result<String> {
    Ok(answer[field].as_str().with_context(|| format!("the response has no field `{field}`: {answer}"))?.to_owned())
}

/// Formats an event in one line for an error.
fn short(event: &Value) -> String {
    format!(
        "{} {} {}",
        event["type"].as_str().unwrap_or("?"),
        event["sender"].as_str().unwrap_or("?"),
        event["content"]
    )
}
