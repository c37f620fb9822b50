//! Gives up a message that the network does not accept although it answers other requests. For example, the firewall
//! of a proxy rejects some texts with an error page.
//!
//! Invariant: during an outage no message is given up.

use super::{
    accounts::Account,
    delivery::{Sent, Unsent},
    outbox::Outbox,
};
use crate::{
    adapter::{Body, Outgoing},
    base::{PREFIX, Text},
    job::approval_text,
};

/// The number of temporary errors of a message after which the message can be given up. With the delays of the outbox,
/// the last of these attempts is about 15 seconds after the first one.
const MAX_FAILURES: u32 = 6;

impl Outbox {
    /// Tries once to send a message that failed `failures` times before with a temporary error. Gives the message up if
    /// that was often and if the network answers a search of the room, but not the message. The room then gets another
    /// text instead, unless the message is a reaction or an edit.
    pub(super) async fn attempt_or_give_up(
        &self,
        account: &Account,
        message: &Outgoing,
        failures: u32,
    ) -> Result<Sent, Unsent> {
        let tried = self.attempt(account, message).await;
        if failures < MAX_FAILURES || !matches!(tried, Err(Unsent::Later(None))) {
            return tried;
        }
        // The search shows whether the network answers, and whether it accepted an earlier attempt.
        if let Some(event) = self.find(account, message).await? {
            return Ok(Sent::Found(event));
        }
        // An outage may have ended after the attempt.
        let tried = self.attempt(account, message).await;
        if !matches!(tried, Err(Unsent::Later(None))) {
            return tried;
        }
        let Outgoing { key, room, body } = message.redacted();
        let Body::Say { text, thread } = body else {
            tracing::error!(
                network = account.chat.network(),
                room,
                key,
                "a message was dropped, because the chat network answers, but does not accept the message"
            );
            return Ok(Sent::Dropped);
        };
        let approval = approval_text::parse_key(&key).map(|(job, _)| job.to_owned());
        // Nobody may approve a request by an event that does not show the request.
        let key = if approval.is_some() { format!("{key}/rejected") } else { key };
        let replacement = Text::lines(replacement(approval.as_deref())).with_prefix(&account.prefix);
        let sent =
            self.attempt(account, &Outgoing { key, room, body: Body::Say { text: replacement, thread } }).await?;
        tracing::error!(
            network = account.chat.network(),
            room = message.room,
            key = message.key,
            text = text.plain(),
            "a message was replaced, because the chat network answers, but does not accept the message; hint: look for a proxy that rejects some texts"
        );
        Ok(if approval.is_some() { Sent::Dropped } else { sent })
    }
}

/// Returns the text that a room gets instead of a message. `job` is the job for which the message requests an approval.
fn replacement(job: Option<&str>) -> String {
    match job {
        Some(job) => format!(
            "Job {job} waits for an approval, but the chat server rejects the text of the request. Read it with `{PREFIX}job {job}`, or in the host's log."
        ),
        None => {
            "The chat server rejects a message of the bot, so the message is missing here. It is in the host's log."
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        adapter::{Chat, ChatFeatures, Inbox, MemoryChat, SendError},
        base::Activity,
        messaging::lane::Queued,
        store::{MemoryStore, OutboxKind, OutboxRow, PendingRow},
    };

    /// A network behind a proxy that rejects some texts, and everything during an outage.
    struct Proxy {
        chat: Arc<MemoryChat>,
        outage: bool,
    }

    fn unavailable() -> SendError {
        SendError::Later { after: None, reason: "403 without an error code".into() }
    }

    #[async_trait::async_trait]
    impl Chat for Proxy {
        fn network(&self) -> &'static str {
            MemoryChat::NETWORK
        }

        async fn serve(&self, _: Arc<dyn Inbox>, _: CancellationToken) -> anyhow::Result<()> {
            Ok(())
        }

        async fn send(&self, message: &Outgoing) -> Result<String, SendError> {
            let rejects = |text: &Text| text.plain().contains("/etc/passwd");
            let is_rejected = match &message.body {
                Body::Say { text, .. } | Body::Edit { text, .. } => rejects(text),
                Body::React { .. } => true,
            };
            if is_rejected || self.outage {
                return Err(unavailable());
            }
            self.chat.send(message).await
        }

        async fn find(&self, room: &str, key: &str) -> Result<Option<String>, SendError> {
            if self.outage {
                return Err(unavailable());
            }
            self.chat.find(room, key).await
        }
    }

    fn scene(outage: bool) -> (Account, Outbox, Arc<MemoryChat>) {
        let chat = MemoryChat::new(ChatFeatures::PLAIN);
        let account = Account::of("marvin", Arc::new(Proxy { chat: chat.clone(), outage }));
        let network = MemoryChat::NETWORK.to_owned();
        let store = Arc::new(MemoryStore::new());
        let outbox = Outbox::new(store, Vec::new(), vec!["marvin".into()], network, Vec::new(), Activity::default());
        (account, outbox, chat)
    }

    async fn attempt(outage: bool, failures: u32, key: &str, body: Body) -> (Result<Sent, Unsent>, Vec<String>) {
        let (account, outbox, chat) = scene(outage);
        let message = Outgoing { key: key.into(), room: "ops".into(), body };
        let sent = outbox.attempt_or_give_up(&account, &message, failures).await;
        (sent, chat.words())
    }

    fn say(text: &str) -> Body {
        Body::Say { text: Text::lines(text), thread: None }
    }

    #[tokio::test]
    async fn a_text_that_a_proxy_rejects_is_replaced() {
        let (sent, words) = attempt(false, MAX_FAILURES, "7f3ak/closing", say("cat /etc/passwd")).await;
        assert!(matches!(sent, Ok(Sent::Event(_))));
        assert_eq!(words, [replacement(None)]);
        let (sent, words) = attempt(false, MAX_FAILURES - 1, "7f3ak/closing", say("cat /etc/passwd")).await;
        assert!(matches!(sent, Err(Unsent::Later(None))) && words.is_empty(), "the error can be temporary");
        let edit = Body::Edit { event: "e1".into(), text: Text::lines("cat /etc/passwd") };
        let (sent, words) = attempt(false, MAX_FAILURES, "7f3ak/card/2", edit).await;
        assert!(matches!(sent, Ok(Sent::Dropped)) && words.is_empty());
    }

    #[tokio::test]
    async fn the_replacement_of_an_approval_request_is_not_an_approval_message() {
        let (sent, words) = attempt(false, MAX_FAILURES, "7f3ak/approval-1", say("cat /etc/passwd")).await;
        assert!(matches!(sent, Ok(Sent::Dropped)), "a reaction to the replacement approves nothing");
        assert!(words.concat().contains("Read it with `!job 7f3ak`"), "{words:?}");
    }

    #[tokio::test]
    async fn during_an_outage_no_message_is_given_up() {
        for text in ["cat /etc/passwd", "Deployed."] {
            let (sent, words) = attempt(true, 1_000, "7f3ak/closing", say(text)).await;
            assert!(matches!(sent, Err(Unsent::Later(None))) && words.is_empty(), "{text}");
        }
        let (sent, words) = attempt(false, 1_000, "7f3ak/closing", say("Deployed.")).await;
        assert!(matches!(sent, Ok(Sent::Event(_))));
        assert_eq!(words, ["Deployed."], "the first message after the outage");
    }

    #[tokio::test]
    async fn the_errors_of_a_row_are_counted() {
        let (account, outbox, chat) = scene(false);
        let row = OutboxRow {
            key: "7f3ak/closing".into(),
            bot: "marvin".into(),
            network: MemoryChat::NETWORK.into(),
            room: "ops".into(),
            thread: None,
            purpose: OutboxKind::Message,
            text: Text::lines("cat /etc/passwd"),
        };
        let row = PendingRow { row, event: None, version: 1 };
        let mut queued = Queued { row, left_over: false, failures: 0, _guard: Activity::default().begin() };
        for _ in 0..MAX_FAILURES {
            assert!(matches!(outbox.deliver(&account, &mut queued).await, Err(Unsent::Later(None))));
        }
        assert!(matches!(outbox.deliver(&account, &mut queued).await, Ok(Sent::Event(_))));
        assert_eq!(chat.words(), [replacement(None)]);
    }
}
