//! An encrypted Matrix room on a real homeserver, with people whose clients encrypt on devices that they verified or
//! not.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use serde_json::json;
use wardroom_tests::{
    encrypted_user::EncryptedUser,
    matrix_user::{MatrixUser, fresh},
    synapse::Synapse,
};

use super::{
    matrix,
    room::{BotAction, HostChange, Room, config},
    served::{SECRET, ServedHost},
};

pub(super) struct Encrypted {
    people: BTreeMap<&'static str, EncryptedUser>,
    bot: String,
    room: String,
    /// The direct rooms with the bot, by person.
    direct: BTreeMap<String, String>,
    /// The event ids of reactions, by person, message and emoji.
    put: BTreeMap<(String, String, String), String>,
    host: ServedHost,
    /// Alice's second login without keys, which creates rooms.
    plain: MatrixUser,
}

pub(super) async fn open() -> Result<Encrypted> {
    let synapse = Synapse::shared().await?;
    let url = synapse.url();
    let (mut people, mut logins) = (BTreeMap::new(), Vec::new());
    for name in ["alice", "bob", "dave"] {
        let password = fresh(name);
        let login = MatrixUser::new(&url, &password).await?;
        login.set_display_name(matrix::display_name(name)?).await?;
        people.insert(name, EncryptedUser::login(&url, &login.id, &password, true).await?);
        logins.push(login);
    }
    let (bot, password) = matrix::named_bot(&url).await?;
    let plain = logins.swap_remove(0);
    let ids: Vec<&str> = ["bob", "dave"].iter().map(|name| people[name].id.as_str()).collect();
    let room = plain.create_room(&[&[bot.as_str()], ids.as_slice()].concat(), encryption()).await?;
    let table = format!(
        "[bot.marvin.matrix]\nhomeserver = \"{url}\"\nuser = \"{bot}\"\npassword = {{ env = \"{SECRET}\" }}\n\
         rooms = [\"{room}\"]"
    );
    let host =
        ServedHost::new(&config(&table, ["alice", "bob", "dave"].map(|name| people[name].id.as_str())), password)?;
    let (direct, put) = (BTreeMap::new(), BTreeMap::new());
    let mut encrypted = Encrypted { people, bot, room, direct, put, host, plain };
    encrypted.host(HostChange::Start).await?;
    let waited = encrypted.plain.wait_for_member(&encrypted.room, &encrypted.bot).await;
    waited.with_context(|| encrypted.log())?;
    for person in encrypted.people.values() {
        encrypted.plain.wait_for_member(&encrypted.room, &person.id).await?;
        person.room(&encrypted.room).await?;
    }
    encrypted.is_known().await?;
    Ok(encrypted)
}

fn encryption() -> serde_json::Value {
    json!([{ "type": "m.room.encryption", "state_key": "", "content": { "algorithm": "m.megolm.v1.aes-sha2" } }])
}

impl Encrypted {
    fn person(&self, name: &str) -> Result<&EncryptedUser> {
        self.people.get(name).with_context(|| format!("the story has no person `{name}`"))
    }

    /// Waits until the bot's device is verified and every client has received it. The bot cannot decrypt earlier
    /// messages.
    async fn is_known(&self) -> Result<()> {
        let begun = std::time::Instant::now();
        for person in self.people.values() {
            while person.verified_devices(&self.bot).await?.is_empty() {
                anyhow::ensure!(begun.elapsed() < super::PATIENCE, "the bot has no verified device; {}", self.log());
                tokio::time::sleep(super::LOOK).await;
            }
        }
        Ok(())
    }

    /// Returns the room of a person and the bot. Creates it at the first call.
    async fn direct(&mut self, name: &str) -> Result<String> {
        if let Some(room) = self.direct.get(name) {
            return Ok(room.clone());
        }
        let room = self.plain.create_room(&[&self.bot], encryption()).await?;
        self.plain.wait_for_member(&room, &self.bot).await?;
        self.person(name)?.room(&room).await?;
        self.direct.insert(name.to_owned(), room.clone());
        Ok(room)
    }

    async fn send(&self, person: &str, kind: &str, content: serde_json::Value) -> Result<String> {
        self.person(person)?.send(&self.room, kind, content).await
    }
}

#[async_trait]
impl Room for Encrypted {
    async fn say(&mut self, person: &str, words: &str) -> Result<String> {
        let content = matrix::written(words, |name| match name {
            "marvin" => Ok(self.bot.clone()),
            name => Ok(self.person(name)?.id.clone()),
        })?;
        self.send(person, "m.room.message", content).await
    }

    async fn say_directly(&mut self, person: &str, words: &str) -> Result<String> {
        let room = self.direct(person).await?;
        self.person(person)?.say(&room, words).await
    }

    async fn say_in_thread(&mut self, person: &str, root: &str, words: &str) -> Result<String> {
        self.send(person, "m.room.message", matrix::in_thread(root, words)).await
    }

    async fn edit(&mut self, person: &str, message: &str, words: &str) -> Result<()> {
        self.send(person, "m.room.message", matrix::edited(message, words)).await.map(drop)
    }

    async fn react(&mut self, person: &str, message: &str, emoji: &str) -> Result<()> {
        let relation = json!({ "rel_type": "m.annotation", "event_id": message, "key": emoji });
        let reaction = self.send(person, "m.reaction", json!({ "m.relates_to": relation })).await?;
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
            actions.extend(events.iter().filter(|event| event["sender"] == self.bot).filter_map(matrix::shown));
        }
        Ok(actions)
    }

    async fn host(&mut self, running: HostChange) -> Result<()> {
        self.host.set(running)
    }

    async fn silence(&mut self, silenced: bool) -> Result<()> {
        matrix::silence(&self.plain, &self.room, silenced).await
    }

    fn log(&self) -> String {
        self.host.log()
    }
}
