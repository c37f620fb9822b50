//! The bot in an encrypted room, with people whose clients encrypt.
//!
//! Invariant: as in the stories beside this file. What the homeserver sees of a room is looked at by a second login, which has
//! no keys.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use wardroom_tests::{
    encrypted_user::EncryptedUser,
    matrix_user::{MatrixUser, fresh},
    synapse::Synapse,
    wire::{Held, Wire},
};

use super::{
    DEPLOY, DEPLOYED,
    scene::{Scene, body, is_reaction, replaces, thread_of},
};

const ENCRYPTED: &str = "m.room.encrypted";

/// A scene with an encrypted room besides.
pub(crate) struct Sealed {
    pub(crate) scene: Scene,
    /// Alice's verified device.
    pub(crate) alice: EncryptedUser,
    /// The encrypted room, with Alice, the bot and Carol.
    pub(crate) room: String,
    pub(crate) carol: EncryptedUser,
}

impl Sealed {
    pub(crate) async fn open() -> Result<Self> {
        let url = Synapse::shared().await?.url();
        Self::open_at(&url).await
    }

    /// The same, where Alice's client finds the homeserver at another place.
    async fn open_at(alices: &str) -> Result<Self> {
        let synapse = Synapse::shared().await?;
        let scene = Scene::open(synapse).await?;
        scene.fence().await?;
        let alice = EncryptedUser::login(alices, &scene.alice.id, password(&scene.alice.id), true).await?;
        let name = fresh("carol");
        let carol = MatrixUser::new(&synapse.url(), &name).await?;
        let carol = EncryptedUser::login(&synapse.url(), &carol.id, &name, true).await?;
        let room = new_room(&scene, &[&scene.bot, &carol.id]).await?;
        scene.alice.wait_for_member(&room, &carol.id).await?;
        alice.room(&room).await?;
        Ok(Self { scene, alice, room, carol })
    }

    /// Waits for the bot's answer in a command's thread, as Alice reads it.
    pub(crate) async fn answer(&self, command: &str, words: &str) -> Result<Value> {
        let bot = &self.scene.bot;
        let fits = |event: &Value| {
            event["sender"] == bot.as_str() && thread_of(event) == Some(command) && body(event).contains(words)
        };
        let answer = self.alice.wait(&self.room, &format!("answer with `{words}`"), fits).await;
        answer.with_context(|| self.scene.host.log())
    }

    /// How many answers to a command hold these words.
    pub(crate) async fn answers(&self, command: &str, words: &str) -> Result<usize> {
        let events = self.alice.events(&self.room).await?;
        let fits = |event: &&Value| {
            event["sender"] == self.scene.bot.as_str()
                && thread_of(event) == Some(command)
                && body(event).contains(words)
        };
        Ok(events.iter().filter(fits).count())
    }

    /// Says something, and says it again where the bot asks for that: Alice's client may not know its new device yet.
    pub(crate) async fn insist(&self, words: &str, answer: &str) -> Result<()> {
        for _ in 0..5 {
            let command = self.alice.say(&self.room, words).await?;
            let said = self.answer(&command, "").await?;
            if !body(&said).contains("decrypt") && !body(&said).contains("Send it again") {
                return self.answer(&command, answer).await.map(drop);
            }
        }
        anyhow::bail!("the bot cannot decrypt what it is sent; the log:\n{}", self.scene.host.log())
    }

    /// Asks something and waits for the answer.
    pub(crate) async fn fence(&self) -> Result<()> {
        let question = self.alice.say(&self.room, "!whoami").await?;
        self.answer(&question, "").await.map(drop)
    }
}

/// A new encrypted room of Alice's with these people.
pub(crate) async fn new_room(scene: &Scene, people: &[&str]) -> Result<String> {
    let encryption =
        json!([{ "type": "m.room.encryption", "state_key": "", "content": { "algorithm": "m.megolm.v1.aes-sha2" } }]);
    let room = scene.alice.create_room(people, encryption).await?;
    scene.alice.wait_for_member(&room, &scene.bot).await?;
    Ok(room)
}

/// The password of somebody whom a scene made: their name.
pub(crate) fn password(id: &str) -> &str {
    id.trim_start_matches('@').split(':').next().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_in_an_encrypted_room_is_done_and_told_over_a_restart() -> Result<()> {
    let mut sealed = Sealed::open().await?;
    let bot = sealed.scene.bot.clone();
    assert_eq!(sealed.alice.verified_devices(&bot).await?.len(), 1, "{}", sealed.scene.host.log());
    let command = sealed.alice.say(&sealed.room, DEPLOY).await?;
    sealed.answer(&command, DEPLOYED).await?;
    let card = sealed.answer(&command, "] deploy cms staging 1.0.2: ").await?;
    let card = card["event_id"].as_str().unwrap_or_default();
    let edited = |event: &Value| replaces(event, card) && body(event).contains("succeeded");
    sealed.alice.wait(&sealed.room, "edit of the card", edited).await?;
    // Others who are in the room and verified read it as well.
    let told = |event: &Value| event["sender"] == bot.as_str() && body(event).contains(DEPLOYED);
    sealed.carol.wait(&sealed.room, "closing line", told).await?;

    sealed.scene.host.kill();
    let question = sealed.alice.say(&sealed.room, "!where cms").await?;
    sealed.scene.host.start()?;
    sealed.answer(&question, "1.0.2").await?;
    sealed.fence().await?;
    assert_eq!(sealed.answers(&question, "").await?, 1);
    assert_eq!(sealed.answers(&command, DEPLOYED).await?, 1);
    assert_eq!(sealed.scene.host.runs(), ["1.0.2"]);
    assert_eq!(sealed.alice.verified_devices(&bot).await?.len(), 1, "the same device");

    // Of all that, the homeserver saw no word.
    let events = sealed.scene.alice.events(&sealed.room).await?;
    let words: Vec<&Value> =
        events.iter().filter(|event| event["sender"] == bot.as_str() && event["type"] != "m.room.member").collect();
    assert!(words.iter().any(|event| is_reaction(event, &command, "✅")), "{words:?}");
    for event in words {
        assert!(event["type"] == ENCRYPTED || event["type"] == "m.reaction", "{event}");
        assert!(event["type"] != ENCRYPTED || event["content"]["com.wardroom.key"].is_null(), "{event}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_by_reaction_counts_in_an_encrypted_room() -> Result<()> {
    let mut sealed = Sealed::open().await?;
    sealed.scene.host.kill();
    sealed.scene.host.use_approval("within = \"10m\"", &[&sealed.carol.id])?;
    sealed.scene.host.start()?;
    let command = sealed.alice.say(&sealed.room, DEPLOY).await?;
    let asks = |event: &Value| thread_of(event).is_none() && body(event).contains("It is going to:");
    let asked = sealed.carol.wait(&sealed.room, "message that asks", asks).await?;
    let asked = asked["event_id"].as_str().unwrap_or_default();
    let plain =
        MatrixUser::login(&Synapse::shared().await?.url(), &sealed.carol.id, password(&sealed.carol.id)).await?;
    plain.react(&sealed.room, asked, "👍").await?;
    sealed.answer(&command, DEPLOYED).await?;
    let changed = |event: &Value| replaces(event, asked) && body(event).contains("was approved");
    sealed.carol.wait(&sealed.room, "change of what asks", changed).await?;
    assert_eq!(sealed.scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_key_comes_late_is_asked_about_and_done_when_it_is_there() -> Result<()> {
    let wire = Wire::new(Synapse::shared().await?.port()).await?;
    let sealed = Sealed::open_at(&wire.url()).await?;
    sealed.fence().await?;
    sealed.alice.change_key(&sealed.room).await?;
    wire.hold(Held::Keys);
    let command = sealed.alice.say(&sealed.room, DEPLOY).await?;
    sealed.answer(&command, "could not decrypt that").await?;
    assert!(sealed.scene.host.runs().is_empty());
    // The room is not held up meanwhile.
    let bob = sealed.carol.say(&sealed.room, "!whoami").await?;
    sealed.answer(&bob, "").await?;
    wire.hold(Held::Nothing);
    assert!(wire.deliver_keys().await? > 0);
    sealed.answer(&command, DEPLOYED).await?;
    assert_eq!(sealed.answers(&command, "could not decrypt that").await?, 1);
    assert_eq!(sealed.scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_again_is_done_once_however_late_the_key_comes() -> Result<()> {
    let wire = Wire::new(Synapse::shared().await?.port()).await?;
    let mut sealed = Sealed::open_at(&wire.url()).await?;
    sealed.fence().await?;
    sealed.alice.change_key(&sealed.room).await?;
    wire.hold(Held::Keys);
    let first = sealed.alice.say(&sealed.room, DEPLOY).await?;
    sealed.answer(&first, "could not decrypt that").await?;
    // What was not read outlives the process.
    sealed.scene.host.kill();
    sealed.scene.host.start()?;
    sealed.alice.change_key(&sealed.room).await?;
    wire.hold(Held::Nothing);
    let again = sealed.alice.say(&sealed.room, DEPLOY).await?;
    sealed.answer(&again, DEPLOYED).await?;
    assert!(wire.deliver_keys().await? > 0);
    sealed.scene.host.wait_for_log("its sender has sent it again").await?;
    sealed.fence().await?;
    assert_eq!(sealed.answers(&first, "").await?, 1, "the question to send it again and nothing else");
    assert_eq!(sealed.scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unverified_device_asks_and_does_not_act() -> Result<()> {
    let url = Synapse::shared().await?.url();
    let mut sealed = Sealed::open().await?;
    let other = EncryptedUser::login(&url, &sealed.alice.id, password(&sealed.alice.id), false).await?;
    let command = other.say(&sealed.room, DEPLOY).await?;
    sealed.answer(&command, "not verified").await?;
    sealed.scene.alice.wait(&sealed.room, "⛔", |event| is_reaction(event, &command, "⛔")).await?;
    let question = other.say(&sealed.room, "!where cms").await?;
    sealed.answer(&question, "").await?;
    // Nor does what anybody with a hand on the homeserver could have put there.
    let clear = sealed.scene.alice.say(&sealed.room, DEPLOY).await?;
    sealed.answer(&clear, "unencrypted").await?;
    assert!(sealed.scene.host.runs().is_empty());
    // What the bot says is for verified devices, as the other one is told by its own client.
    let readable = other.events(&sealed.room).await?;
    assert!(
        !readable.iter().any(|event| event["sender"] == sealed.scene.bot.as_str() && event["type"] == "m.room.message")
    );

    sealed.scene.host.kill();
    sealed.scene.host.add_to_account("devices = \"any\"")?;
    sealed.scene.host.start()?;
    let command = other.say(&sealed.room, DEPLOY).await?;
    let told = |event: &Value| thread_of(event) == Some(&command) && body(event).contains(DEPLOYED);
    other.wait(&sealed.room, "closing line", told).await?;
    assert_eq!(sealed.scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_in_a_message_is_a_file() -> Result<()> {
    let sealed = Sealed::open().await?;
    // In an event each of these is eight bytes, and with encryption a third more.
    let long = "\"".repeat(7_500);
    sealed.scene.host.says(&long)?;
    let deploy = sealed.alice.say(&sealed.room, DEPLOY).await?;
    let card = sealed.answer(&deploy, "] deploy cms staging 1.0.2: ").await?;
    let job = body(&card).split(['[', ']']).nth(1).context("no id on the card")?;
    sealed.answer(&deploy, DEPLOYED).await?;
    let bot = sealed.scene.bot.clone();
    for room in [&sealed.room, &sealed.scene.room] {
        let command = sealed.alice.say(room, &format!("!logs {job}")).await?;
        let ours = |event: &Value| event["sender"] == bot.as_str() && thread_of(event) == Some(&command);
        let is_file = |event: &Value| ours(event) && event["content"]["msgtype"] == "m.file";
        let file = sealed.alice.wait(room, "file", is_file).await.with_context(|| sealed.scene.host.log())?;
        assert!(sealed.alice.file(&file).await?.contains(&long));
        assert_eq!(file["content"]["file"].is_object(), *room == sealed.room, "{file}");
        let excerpt = |event: &Value| ours(event) && body(event).contains("the whole is in the file");
        let excerpt = sealed.alice.wait(room, "excerpt", excerpt).await?;
        assert!(body(&excerpt).len() < 4_000, "{excerpt}");
        let events = sealed.alice.events(room).await?;
        assert_eq!(events.iter().filter(|event| is_file(event)).count(), 1);
    }
    Ok(())
}
