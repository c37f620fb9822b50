//! Tests the bot in an encrypted room with people whose clients encrypt.
//!
//! Invariant: the same as in `live_matrix`. A second login without keys reads the same data as the homeserver.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use wardroom_tests::{
    encrypted_user::EncryptedUser,
    matrix_user::{MatrixUser, fresh},
    proxy::{HttpProxy, Withheld},
    synapse::Synapse,
};

use super::{
    DEPLOY, DEPLOYED,
    scene::{Scene, body, is_reaction, replaces, thread_of},
};
use crate::journal::Journal;

const ENCRYPTED: &str = "m.room.encrypted";

/// A scene with an additional encrypted room.
pub(crate) struct EncryptedScene {
    pub(crate) scene: Scene,
    /// Alice's verified device.
    pub(crate) alice: EncryptedUser,
    /// The encrypted room, with Alice, the bot and Carol.
    pub(crate) room: String,
    pub(crate) carol: EncryptedUser,
}

impl EncryptedScene {
    pub(crate) async fn open() -> Result<Self> {
        let url = Synapse::shared().await?.url();
        Self::open_at(&url).await
    }

    /// Opens a scene in which Alice's client connects to the homeserver at another address.
    async fn open_at(alices: &str) -> Result<Self> {
        Self::of(Scene::open(Synapse::shared().await?).await?, alices).await
    }

    /// Adds an encrypted room to a scene. Alice's client connects to the homeserver at the address `alices`.
    pub(crate) async fn of(scene: Scene, alices: &str) -> Result<Self> {
        let synapse = Synapse::shared().await?;
        scene.barrier().await?;
        let alice = EncryptedUser::login(alices, &scene.alice.id, password(&scene.alice.id), true).await?;
        let name = fresh("carol");
        let carol = MatrixUser::new(&synapse.url(), &name).await?;
        let carol = EncryptedUser::login(&synapse.url(), &carol.id, &name, true).await?;
        let room = new_room(&scene, &[&scene.bot, &carol.id]).await?;
        scene.alice.wait_for_member(&room, &carol.id).await?;
        alice.room(&room).await?;
        Ok(Self { scene, alice, room, carol })
    }

    /// Waits for the bot's answer in a command's thread, decrypted by Alice.
    pub(crate) async fn answer(&self, command: &str, words: &str) -> Result<Value> {
        let bot = &self.scene.bot;
        let fits = |event: &Value| {
            // The closing line of a job that had a card is an edit of the card.
            let is_edit = !words.is_empty() && event["content"]["m.relates_to"]["rel_type"] == "m.replace";
            event["sender"] == bot.as_str()
                && (is_edit || thread_of(event) == Some(command))
                && body(event).contains(words)
        };
        let answer = self.alice.wait(&self.room, &format!("answer with `{words}`"), fits).await;
        answer.with_context(|| self.scene.host.log())
    }

    /// Returns the number of answers to a command that contain `words`.
    pub(crate) async fn answers(&self, command: &str, words: &str) -> Result<usize> {
        let events = self.alice.events(&self.room).await?;
        let fits = |event: &&Value| {
            event["sender"] == self.scene.bot.as_str()
                && thread_of(event) == Some(command)
                && body(event).contains(words)
        };
        Ok(events.iter().filter(fits).count())
    }

    /// Sends a message until it is answered. The bot may ask to send it again, because Alice's client may not have the
    /// bot's new device yet.
    pub(crate) async fn send_until_answered(&self, words: &str, answer: &str) -> Result<()> {
        for _ in 0..5 {
            let command = self.alice.say(&self.room, words).await?;
            let said = self.answer(&command, "").await?;
            if !body(&said).contains("decrypt") && !body(&said).contains("Send the message again") {
                return self.answer(&command, answer).await.map(drop);
            }
        }
        anyhow::bail!("the bot cannot decrypt a message; the log:\n{}", self.scene.host.log())
    }

    /// Sends a command and waits for the answer.
    pub(crate) async fn barrier(&self) -> Result<()> {
        let question = self.alice.say(&self.room, "!whoami").await?;
        self.answer(&question, "").await.map(drop)
    }
}

/// Creates an encrypted room with Alice and these people.
pub(crate) async fn new_room(scene: &Scene, people: &[&str]) -> Result<String> {
    let encryption =
        json!([{ "type": "m.room.encryption", "state_key": "", "content": { "algorithm": "m.megolm.v1.aes-sha2" } }]);
    let room = scene.alice.create_room(people, encryption).await?;
    scene.alice.wait_for_member(&room, &scene.bot).await?;
    Ok(room)
}

/// Returns the password of a person of a scene: the name.
pub(crate) fn password(id: &str) -> &str {
    id.trim_start_matches('@').split(':').next().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_in_an_encrypted_room_is_answered_over_a_restart() -> Result<()> {
    let mut encrypted = EncryptedScene::open().await?;
    let bot = encrypted.scene.bot.clone();
    assert_eq!(encrypted.alice.verified_devices(&bot).await?.len(), 1, "{}", encrypted.scene.host.log());
    let command = encrypted.alice.say(&encrypted.room, DEPLOY).await?;
    encrypted.answer(&command, DEPLOYED).await?;
    // Other verified people in the room can read the answer.
    let is_closing = |event: &Value| event["sender"] == bot.as_str() && body(event).contains(DEPLOYED);
    encrypted.carol.wait(&encrypted.room, "closing line", is_closing).await?;

    encrypted.scene.host.kill();
    let question = encrypted.alice.say(&encrypted.room, "!where cms").await?;
    encrypted.scene.host.start()?;
    encrypted.answer(&question, "1.0.2").await?;
    encrypted.barrier().await?;
    assert_eq!(encrypted.answers(&question, "").await?, 1);
    assert_eq!(encrypted.answers(&command, DEPLOYED).await?, 1);
    assert_eq!(encrypted.scene.host.runs(), ["1.0.2"]);
    assert_eq!(encrypted.alice.verified_devices(&bot).await?.len(), 1, "the same device");

    // The homeserver stores none of these texts unencrypted.
    let events = encrypted.scene.alice.events(&encrypted.room).await?;
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
    let mut encrypted = EncryptedScene::open().await?;
    encrypted.scene.host.kill();
    encrypted.scene.host.use_approval("within = \"10m\"", &[&encrypted.carol.id])?;
    encrypted.scene.host.start()?;
    let command = encrypted.alice.say(&encrypted.room, DEPLOY).await?;
    let asks = |event: &Value| thread_of(event).is_none() && body(event).contains("The plan:");
    let asked = encrypted.carol.wait(&encrypted.room, "message that asks", asks).await?;
    let asked = asked["event_id"].as_str().unwrap_or_default();
    let plain =
        MatrixUser::login(&Synapse::shared().await?.url(), &encrypted.carol.id, password(&encrypted.carol.id)).await?;
    plain.react(&encrypted.room, asked, "👍").await?;
    encrypted.answer(&command, DEPLOYED).await?;
    let changed = |event: &Value| replaces(event, asked) && body(event).contains("was approved");
    encrypted.carol.wait(&encrypted.room, "change of what asks", changed).await?;
    assert_eq!(encrypted.scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_a_late_key_is_reported_and_runs_when_the_key_arrives() -> Result<()> {
    let proxy = HttpProxy::new(Synapse::shared().await?.port()).await?;
    let encrypted = EncryptedScene::open_at(&proxy.url()).await?;
    encrypted.barrier().await?;
    encrypted.alice.change_key(&encrypted.room).await?;
    proxy.withhold(Withheld::Keys);
    let command = encrypted.alice.say(&encrypted.room, DEPLOY).await?;
    encrypted.answer(&command, "could not decrypt your message").await?;
    assert!(encrypted.scene.host.runs().is_empty());
    // The bot handles other messages in the room meanwhile.
    let bob = encrypted.carol.say(&encrypted.room, "!whoami").await?;
    encrypted.answer(&bob, "").await?;
    proxy.withhold(Withheld::Nothing);
    assert!(proxy.deliver_keys().await? > 0);
    encrypted.answer(&command, DEPLOYED).await?;
    assert_eq!(encrypted.answers(&command, "could not decrypt your message").await?, 1);
    assert_eq!(encrypted.scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_message_with_a_late_key_runs_once() -> Result<()> {
    let proxy = HttpProxy::new(Synapse::shared().await?.port()).await?;
    let mut encrypted = EncryptedScene::open_at(&proxy.url()).await?;
    encrypted.barrier().await?;
    encrypted.alice.change_key(&encrypted.room).await?;
    proxy.withhold(Withheld::Keys);
    let first = encrypted.alice.say(&encrypted.room, DEPLOY).await?;
    encrypted.answer(&first, "could not decrypt your message").await?;
    // An undecrypted message survives a restart.
    encrypted.scene.host.kill();
    encrypted.scene.host.start()?;
    encrypted.alice.change_key(&encrypted.room).await?;
    proxy.withhold(Withheld::Nothing);
    let again = encrypted.alice.say(&encrypted.room, DEPLOY).await?;
    encrypted.answer(&again, DEPLOYED).await?;
    assert!(proxy.deliver_keys().await? > 0);
    encrypted.scene.host.wait_for_log("skipped a message whose decryption key arrived late").await?;
    encrypted.barrier().await?;
    assert_eq!(encrypted.answers(&first, "").await?, 1, "the question to send it again and nothing else");
    assert_eq!(encrypted.scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unverified_device_can_query_but_not_act() -> Result<()> {
    let url = Synapse::shared().await?.url();
    let mut encrypted = EncryptedScene::open().await?;
    let other = EncryptedUser::login(&url, &encrypted.alice.id, password(&encrypted.alice.id), false).await?;
    let command = other.say(&encrypted.room, DEPLOY).await?;
    encrypted.answer(&command, "not verified").await?;
    let question = other.say(&encrypted.room, "!where cms").await?;
    encrypted.answer(&question, "").await?;
    // An unencrypted message cannot start an action either, because the homeserver could have forged it.
    let clear = encrypted.scene.alice.say(&encrypted.room, DEPLOY).await?;
    encrypted.answer(&clear, "unencrypted").await?;
    assert!(encrypted.scene.host.runs().is_empty());
    // The bot encrypts only for verified devices, so the other client reads one notice, which was sent unencrypted, in
    // the thread of its first command, and without content of the answers.
    let bot = encrypted.scene.bot.clone();
    let is_notice = |event: &Value| event["sender"] == bot.as_str() && event["type"] == "m.room.message";
    let notice = other.wait(&encrypted.room, "notice", is_notice).await?;
    assert_eq!(thread_of(&notice), Some(command.as_str()), "{notice}");
    assert!(body(&notice).starts_with(&format!("{}: ", encrypted.alice.id)), "{notice}");
    assert!(body(&notice).contains("Verify the device") && !body(&notice).contains("cms"), "{notice}");
    assert_eq!(notice["content"]["m.mentions"]["user_ids"], json!([encrypted.alice.id]), "{notice}");
    // Neither another command nor a restart repeats it, and a verified device gets none.
    encrypted.scene.host.kill();
    encrypted.scene.host.start()?;
    let question = other.say(&encrypted.room, "!whoami").await?;
    encrypted.answer(&question, "").await?;
    encrypted.barrier().await?;
    let notices = |events: &[Value]| events.iter().filter(|event| is_notice(event)).count();
    assert_eq!(notices(&other.events(&encrypted.room).await?), 1);
    assert_eq!(notices(&encrypted.scene.alice.events(&encrypted.room).await?), 1, "as the homeserver sees them");

    encrypted.scene.host.kill();
    encrypted.scene.host.add_to_account("devices = \"any\"")?;
    encrypted.scene.host.start()?;
    let command = other.say(&encrypted.room, DEPLOY).await?;
    let is_closing = |event: &Value| thread_of(event) == Some(&command) && body(event).contains(DEPLOYED);
    other.wait(&encrypted.room, "closing line", is_closing).await?;
    assert_eq!(encrypted.scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_exceeds_a_message_is_sent_as_a_file() -> Result<()> {
    let encrypted = EncryptedScene::open().await?;
    // Each character takes eight bytes in an event, and a third more with encryption.
    let long = "\"".repeat(7_500);
    encrypted.scene.host.set_output(&long)?;
    let deploy = encrypted.alice.say(&encrypted.room, DEPLOY).await?;
    encrypted.answer(&deploy, DEPLOYED).await?;
    let state = encrypted.scene.host.path("state");
    let jobs = tokio::task::spawn_blocking(move || Journal::open(&state)?.texts("select id from job")).await??;
    let job = jobs.first().context("there is no job")?;
    let bot = encrypted.scene.bot.clone();
    for room in [&encrypted.room, &encrypted.scene.room] {
        let command = encrypted.alice.say(room, &format!("!logs {job}")).await?;
        let ours = |event: &Value| event["sender"] == bot.as_str() && thread_of(event) == Some(&command);
        let is_file = |event: &Value| ours(event) && event["content"]["msgtype"] == "m.file";
        let file = encrypted.alice.wait(room, "file", is_file).await.with_context(|| encrypted.scene.host.log())?;
        assert!(encrypted.alice.file(&file).await?.contains(&long));
        assert_eq!(file["content"]["file"].is_object(), *room == encrypted.room, "{file}");
        let excerpt = |event: &Value| ours(event) && body(event).contains("shortened; the attached file has all");
        let excerpt = encrypted.alice.wait(room, "excerpt", excerpt).await?;
        assert!(body(&excerpt).len() < 4_000, "{excerpt}");
        let events = encrypted.alice.events(room).await?;
        assert_eq!(events.iter().filter(|event| is_file(event)).count(), 1);
    }
    Ok(())
}
