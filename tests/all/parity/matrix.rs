//! A Matrix room without encryption on a real homeserver. The people's client does not use the bot's library.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use serde_json::{Value, json};
use wardroom_tests::{
    matrix_user::{MatrixUser, fresh, register_bot},
    synapse::Synapse,
};

use super::{
    room::{BotAction, HostChange, Part, Room, Shown, config, parts},
    served::{SECRET, ServedHost},
};

pub(super) struct Matrix {
    people: BTreeMap<&'static str, MatrixUser>,
    bot: String,
    room: String,
    /// The direct rooms with the bot, by person.
    direct: BTreeMap<String, String>,
    /// The event ids of reactions, by person, message and emoji.
    put: BTreeMap<(String, String, String), String>,
    host: ServedHost,
}

pub(super) async fn open() -> Result<Matrix> {
    let synapse = Synapse::shared().await?;
    let mut people = BTreeMap::new();
    for name in ["alice", "bob", "dave"] {
        let user = MatrixUser::new(&synapse.url(), &fresh(name)).await?;
        user.set_display_name(display_name(name)?).await?;
        people.insert(name, user);
    }
    let (bot, password) = named_bot(&synapse.url()).await?;
    let alice = &people["alice"];
    let (room, alias) = alice.create_public_room().await?;
    for name in ["bob", "dave"] {
        people[name].join(&room).await?;
    }
    let table = format!(
        "[bot.marvin.matrix]\nhomeserver = \"{}\"\nuser = \"{bot}\"\npassword = {{ env = \"{SECRET}\" }}\n\
         rooms = [\"{alias}\"]",
        synapse.url()
    );
    let host =
        ServedHost::new(&config(&table, ["alice", "bob", "dave"].map(|name| people[name].id.as_str())), password)?;
    let (direct, put) = (BTreeMap::new(), BTreeMap::new());
    let mut matrix = Matrix { bot, room, direct, put, host, people };
    matrix.host(HostChange::Start).await?;
    matrix.people["alice"].wait_for_member(&matrix.room, &matrix.bot).await.with_context(|| matrix.log())?;
    Ok(matrix)
}

impl Matrix {
    fn person(&self, name: &str) -> Result<&MatrixUser> {
        self.people.get(name).with_context(|| format!("the story has no person `{name}`"))
    }

    fn written(&self, words: &str) -> Result<Value> {
        written(words, |name| match name {
            "marvin" => Ok(self.bot.clone()),
            name => Ok(self.person(name)?.id.clone()),
        })
    }

    /// Returns the room of a person and the bot. Creates it at the first call.
    async fn direct(&mut self, name: &str) -> Result<String> {
        if let Some(room) = self.direct.get(name) {
            return Ok(room.clone());
        }
        let person = self.person(name)?;
        let room = person.create_room(&[&self.bot], json!([])).await?;
        person.wait_for_member(&room, &self.bot).await?;
        self.direct.insert(name.to_owned(), room.clone());
        Ok(room)
    }
}

#[async_trait]
impl Room for Matrix {
    async fn say(&mut self, person: &str, words: &str) -> Result<String> {
        self.person(person)?.send(&self.room, "m.room.message", self.written(words)?).await
    }

    async fn say_directly(&mut self, person: &str, words: &str) -> Result<String> {
        let room = self.direct(person).await?;
        self.person(person)?.say(&room, words).await
    }

    async fn say_in_thread(&mut self, person: &str, root: &str, words: &str) -> Result<String> {
        self.person(person)?.send(&self.room, "m.room.message", in_thread(root, words)).await
    }

    async fn edit(&mut self, person: &str, message: &str, words: &str) -> Result<()> {
        self.person(person)?.send(&self.room, "m.room.message", edited(message, words)).await.map(drop)
    }

    async fn react(&mut self, person: &str, message: &str, emoji: &str) -> Result<()> {
        let reaction = self.person(person)?.react(&self.room, message, emoji).await?;
        self.put.insert((person.to_owned(), message.to_owned(), emoji.to_owned()), reaction);
        Ok(())
    }

    async fn unreact(&mut self, person: &str, message: &str, emoji: &str) -> Result<()> {
        let put = self.put.remove(&(person.to_owned(), message.to_owned(), emoji.to_owned()));
        self.person(person)?.redact(&self.room, &put.context("the reaction to remove was not added before")?).await
    }

    async fn actions(&mut self) -> Result<Vec<BotAction>> {
        let mut actions = Vec::new();
        let rooms = self.direct.iter().map(|(person, room)| (person.as_str(), room.as_str()));
        for (person, room) in [("alice", self.room.as_str())].into_iter().chain(rooms) {
            let events = self.person(person)?.events(room).await?;
            actions.extend(events.iter().filter(|event| event["sender"] == self.bot).filter_map(shown));
        }
        Ok(actions)
    }

    async fn host(&mut self, running: HostChange) -> Result<()> {
        self.host.set(running)
    }

    async fn silence(&mut self, silenced: bool) -> Result<()> {
        silence(self.person("alice")?, &self.room, silenced).await
    }

    fn log(&self) -> String {
        self.host.log()
    }
}

/// The display names of the people and of the bot, with the characters that clients escape.
pub(super) const DISPLAY_NAMES: [(&str, &str); 4] = [
    ("alice", "Alice A."),
    ("bob", "Bob [ops] (Berlin)"),
    ("dave", "Dave <d> & Co"),
    ("marvin", "Marvin [bot] the 1st"),
];

/// Registers the bot and gives it its display name. Returns its id and its password.
pub(super) async fn named_bot(url: &str) -> Result<(String, String)> {
    let password = fresh("marvin");
    let bot = register_bot(url, &password).await?;
    let login = MatrixUser::login(url, &bot, &password).await?;
    login.set_display_name(display_name("marvin")?).await?;
    login.logout().await?;
    Ok((bot, password))
}

pub(super) fn display_name(name: &str) -> Result<&'static str> {
    let known = DISPLAY_NAMES.iter().find(|(known, _)| *known == name);
    known.map(|(_, display)| *display).with_context(|| format!("`{name}` has no display name"))
}

/// Returns the content of a message with mentions: as a link in the HTML (Element Web), or as a Markdown link in the text
/// (Element X). `id` returns the id of a person or bot.
pub(super) fn written(words: &str, id: impl Fn(&str) -> Result<String>) -> Result<Value> {
    let (mut body, mut html, mut mentioned, mut has_html) = (String::new(), String::new(), Vec::new(), false);
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    for part in parts(words) {
        match part {
            Part::Text(text) => {
                body.push_str(text);
                html.push_str(&escaped(text));
            }
            Part::Mention { name, other_form } => {
                let (id, display) = (id(name)?, display_name(name)?);
                let link = format!("<a href=\"https://matrix.to/#/{id}\">{}</a>", escaped(display));
                match other_form {
                    true => body.push_str(&format!("[{display}](https://matrix.to/#/{id})")),
                    false => body.push_str(display),
                }
                has_html |= !other_form;
                html.push_str(&link);
                mentioned.push(id);
            }
        }
    }
    let mut content = json!({ "msgtype": "m.text", "body": body });
    if !mentioned.is_empty() {
        content["m.mentions"] = json!({ "user_ids": mentioned });
    }
    if has_html {
        content["format"] = "org.matrix.custom.html".into();
        content["formatted_body"] = html.into();
    }
    Ok(content)
}

/// Sets the power level that messages need, so that only Alice, who created the room, may write.
pub(super) async fn silence(alice: &MatrixUser, room: &str, silenced: bool) -> Result<()> {
    let needed = if silenced { 50 } else { 0 };
    let levels = json!({
        "events_default": needed,
        // People may write, and the bot may react.
        "events": { "m.reaction": 0 },
        "users_default": 0,
        // In rooms of this version, the creator has every right and may not be listed.
        "users": {},
    });
    alice.set_state(room, "m.room.power_levels", levels).await
}

/// Returns the content of a message in a thread.
pub(super) fn in_thread(root: &str, words: &str) -> Value {
    let relation = json!({ "rel_type": "m.thread", "event_id": root });
    json!({ "msgtype": "m.text", "body": words, "m.relates_to": relation })
}

/// Returns the content of an edit.
pub(super) fn edited(message: &str, words: &str) -> Value {
    json!({
        "msgtype": "m.text", "body": format!("* {words}"),
        "m.new_content": { "msgtype": "m.text", "body": words },
        "m.relates_to": { "rel_type": "m.replace", "event_id": message },
    })
}

/// Returns the action that people see of an event; `None` for an invisible event.
pub(super) fn shown(event: &Value) -> Option<BotAction> {
    let (id, content) = (event["event_id"].as_str()?.to_owned(), &event["content"]);
    let relation = &content["m.relates_to"];
    let words = |content: &Value| content["body"].as_str().unwrap_or_default().to_owned();
    let shown = match (event["type"].as_str()?, relation["rel_type"].as_str()) {
        ("m.reaction", _) => Shown::Reaction {
            on: relation["event_id"].as_str()?.to_owned(),
            emoji: relation["key"].as_str()?.to_owned(),
        },
        ("m.room.message", Some("m.replace")) => Shown::Edit { words: words(&content["m.new_content"]) },
        ("m.room.message", thread) => Shown::Message {
            thread: thread.and_then(|_| relation["event_id"].as_str()).map(str::to_owned),
            words: words(content),
        },
        _ => return None,
    };
    Some(BotAction { id, shown })
}
