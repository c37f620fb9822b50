//! [`Engine::ask`]: runs a query or a host command for a program that embeds the engine. No chat network is involved.
//!
//! Invariant: the message passes the same checks as a message from a room, and leaves the same audit record.
//! Not here: actions (`action.rs`). A job needs a room for its messages, so an action must come through
//! [`Engine::inbox`].

use super::{serve::Engine, verdict::Verdict};
use crate::{
    base::{Text, without_marks},
    metrics::CommandOutcome,
    store::{AuditRecord, InboxRow, Write},
};

/// The error of [`Engine::ask`]. The message changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The message is not a valid command, the sender may not run the command, or the command cannot run now. The text
    /// is the reply for the sender.
    #[error("{0}")]
    Refused(String),
    /// The command with this name is an action, which [`Engine::ask`] does not run.
    #[error("`{0}` is an action, which needs a chat room; only queries and host commands can be answered without one")]
    Action(String),
}

impl Engine {
    /// Runs a query or a host command and returns the reply. The parser, the rights and the limits are the same as for
    /// a message from a chat network. A host command such as `cancel`, `job ID again` or `release record` takes effect.
    /// The message is not stored in the inbox, and nothing is sent to a chat network. The store writes the audit record
    /// with its next group commit.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn ask(&self, message: InboxRow) -> Result<Text, NoAnswer> {
        let commands = &self.host.commands;
        let (answer, line) = match self.host.decide(&message).await {
            Ok(Verdict::Answered(text, line)) => {
                commands.count(CommandOutcome::Answered);
                (Ok(text), *line)
            }
            Ok(Verdict::CarriedOut(answer)) => {
                commands.count(CommandOutcome::CarriedOut);
                return Ok(Text::lines(answer));
            }
            // An action is not started here, so the metrics do not count it.
            Ok(Verdict::Action(plugin, authorized)) => {
                let no = NoAnswer::Action(authorized.command().spec().name.clone());
                let (plugin, denials) = (Some(plugin.name.to_string()), vec![no.to_string()]);
                (Err(no), AuditRecord { plugin, denials, ..self.host.line(&message) })
            }
            Err(refusal) => {
                let (outcome, _, why) = refusal.into_parts();
                let why = without_marks(&why);
                commands.count(outcome);
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
        adapter::{ChatFeatures, MemoryChat, MemoryPipelines},
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
    async fn a_display_name_gives_no_rights_and_is_not_an_id() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plugins.toml");
        let config = "[people]\nadmins = [\"@alice:example.org\"]\n[bot.hal.memory]\n\
            [environment.staging]\n[app.cms.deploy.staging]\nmemory = true\n";
        std::fs::write(&file, config).unwrap();
        let chat = MemoryChat::new(ChatFeatures::PLAIN);
        let pipelines = MemoryPipelines::new(None);
        let builder = Engine::builder().chat(chat.clone()).pipelines(pipelines);
        let config = builder.read(&file).unwrap();
        let engine = builder.build(config, Arc::new(MemoryStore::new())).await.unwrap();
        // A person whose display name is the admin's id or handle.
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
                panic!("a display name gives rights")
            };
            assert!(why.starts_with("you may not run `release`"), "{why}");
        }
        let Err(NoAnswer::Refused(why)) = engine.ask(say("alice", "can alice whoami")).await else {
            panic!("a display name is taken for a handle")
        };
        assert_eq!(
            why,
            "`alice` matches several people: @alice:example.org, @eve:example.org (alice). Write the person's id."
        );
        // An app that the person may not see is reported as unknown, even in a question about another person.
        let Err(NoAnswer::Refused(why)) =
            engine.ask(say("x", "can @alice:example.org release record cms staging 1")).await
        else {
            panic!("an app is shown to a person without rights on it")
        };
        assert!(why.starts_with("Unknown app `cms`. Try: "), "{why}");
    }

    #[tokio::test]
    async fn an_answer_and_a_refusal_leave_only_an_audit_record() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plugins.toml");
        std::fs::write(&file, "[bot.hal.memory]\n").unwrap();
        let chat = MemoryChat::new(ChatFeatures::PLAIN);
        let builder = Engine::builder().chat(chat.clone());
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
