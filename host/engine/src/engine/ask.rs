//! Answers without a chat network: for programs that ask the engine themselves.
//!
//! Invariant: what is asked here takes the way of every message, and leaves the same line.
//! Not here: actions. A job speaks to a room, so its message comes through [`Engine::inbox`].

use super::{
    serve::Engine,
    verdict::{Refusal, Verdict},
};
use crate::{
    base::Text,
    store::{InboxRow, Write},
};

/// Why [`Engine::ask`] has no answer. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It is no command, or not for this person, or not now; one line for them.
    #[error("{0}")]
    Refused(String),
    /// It is an action, by its name.
    #[error("`{0}` is an action, and only queries are answered here")]
    Action(String),
}

impl Engine {
    /// Answers a query of a plugin or a command of the host, as if the message had come from a chat: the same
    /// parser, rights and limits, and the same line in the store with its next group. The message is not kept in
    /// the inbox, and nothing is sent. An order to the host (`cancel`, `job ID again`, `release record`) is carried out.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn ask(&self, message: InboxRow) -> Result<Text, NoAnswer> {
        let verdict = self.host.decide(&message).await;
        // An action is not begun here.
        if !matches!(verdict, Verdict::Action(..)) {
            self.host.commands.count(verdict.became());
        }
        let (answer, line) = match verdict {
            Verdict::Answered(text, line) => (Ok(text), *line),
            Verdict::CarriedOut(text) => return Ok(text),
            Verdict::Action(plugin, authorized) => {
                let no = NoAnswer::Action(authorized.command().spec().name.clone());
                let line = self.host.line(&message, Some(plugin.name.to_string()), Vec::new(), vec![no.to_string()]);
                (Err(no), line)
            }
            Verdict::Refused(
                Refusal::Malformed(why) | Refusal::Denied(why) | Refusal::Late(why) | Refusal::Unable(why),
            ) => {
                let line = self.host.refusal_line(&message, why.clone());
                (Err(NoAnswer::Refused(why)), line)
            }
        };
        self.host.context.store.note(vec![Write::AuditRecord(line)]);
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        adapter::{ChatFeatures, MemoryChat, MemoryPipelines, MemoryPipelinesFactory, ReadyChat},
        model::Person,
        store::{InboxKey, MemoryStore, Store as _},
    };

    fn typed(text: &str) -> InboxRow {
        InboxRow {
            bot: "marvin".into(),
            unproven: None,
            started: None,
            direct: true,
            reaction: None,
            key: InboxKey { network: "desk".into(), room: "1".into(), event: text.into() },
            thread: None,
            sender: Person::named_by_id("dave"),
            text: text.into(),
            at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[tokio::test]
    async fn a_name_is_no_right_and_is_not_taken_for_an_id() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plugins.toml");
        let config = "[people]\nadmins = [\"@alice:example.org\"]\n[bot.hal.memory]\n\
            [environment.staging]\n[app.cms.deploy.staging]\nmemory = true\n";
        std::fs::write(&file, config).unwrap();
        let chat = MemoryChat::new(ChatFeatures::PLAIN);
        let pipelines = MemoryPipelinesFactory(MemoryPipelines::new(None));
        let builder = Engine::builder().chat(ReadyChat(chat.clone())).pipelines(pipelines);
        let config = builder.read(&file).unwrap();
        let engine = builder.build(config, Arc::new(MemoryStore::new())).await.unwrap();
        // Somebody who calls herself as the admin is called, by id and by handle.
        let imitates = |name: &str| Person { id: "@eve:example.org".into(), name: name.into() };
        chat.set_members(MemoryChat::NETWORK, vec![imitates("alice")]);
        let say = |name: &str, text: &str| InboxRow {
            key: InboxKey { network: MemoryChat::NETWORK.into(), room: MemoryChat::NETWORK.into(), event: text.into() },
            sender: imitates(name),
            ..typed(text)
        };
        for name in ["@alice:example.org", "alice"] {
            let answer = engine.ask(say(name, "whoami")).await.unwrap().plain();
            assert!(!answer.contains("admin") && answer.contains("(@eve:example.org)"), "{answer}");
            let Err(NoAnswer::Refused(why)) = engine.ask(say(name, "release record cms staging 1")).await else {
                panic!("a name is a right")
            };
            assert!(why.starts_with("you may not run `release`"), "{why}");
        }
        let Err(NoAnswer::Refused(why)) = engine.ask(say("alice", "can alice whoami")).await else {
            panic!("a name is taken for a handle")
        };
        assert_eq!(why, "Which alice? @alice:example.org, @eve:example.org (alice)");
        // An app that she may not see is none, also where she asks about somebody else.
        let Err(NoAnswer::Refused(why)) =
            engine.ask(say("x", "can @alice:example.org release record cms staging 1")).await
        else {
            panic!("an app is shown to who may not see it")
        };
        assert!(why.starts_with("Unknown app `cms`. Try: "), "{why}");
    }

    #[tokio::test]
    async fn an_answer_and_a_refusal_leave_a_line_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plugins.toml");
        std::fs::write(&file, "[bot.hal.memory]\n").unwrap();
        let chat = MemoryChat::new(ChatFeatures::PLAIN);
        let builder = Engine::builder().chat(ReadyChat(chat.clone()));
        let config = builder.read(&file).unwrap();
        let store = Arc::new(MemoryStore::new());
        let engine = builder.build(config, store.clone()).await.unwrap();

        let answer = engine.ask(typed("whoami")).await.unwrap().plain();
        assert!(answer.starts_with("You are dave"), "{answer}");
        let Err(NoAnswer::Refused(why)) = engine.ask(typed("whoam")).await else { panic!("`whoam` was answered") };
        assert!(why.contains("whoami"), "{why}");

        let lines = store.all_lines();
        let (refused, answered): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.refused);
        assert_eq!((answered.len(), refused.len()), (1, 1));
        assert_eq!((answered[0].command.as_str(), answered[0].denials.len()), ("whoami", 0));
        assert_eq!((refused[0].command.as_str(), refused[0].denials.as_slice()), ("whoam", [why].as_slice()));
        assert!(store.outbox().await.unwrap().is_empty() && store.unhandled().await.unwrap().is_empty());
        assert!(chat.sent().is_empty());
    }
}
