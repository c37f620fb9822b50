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
    base::Text,
    job::approval_text,
};

/// The number of temporary errors after which a message can be given up. With the delays of the outbox, the last of
/// these attempts is about 15 seconds after the first one.
pub(super) const MAX_FAILURES: u32 = 6;

impl Outbox {
    /// Tries once to send a message, and counts a temporary error in `failures`. After [`MAX_FAILURES`] errors, gives the
    /// message up if the network answers a search of the room and accepts another text instead. A reaction is given up
    /// if the network answers the search.
    pub(super) async fn attempt_or_give_up(
        &self,
        account: &Account,
        message: &Outgoing,
        failures: &mut u32,
    ) -> Result<Sent, Unsent> {
        let tried = self.attempt(account, message).await;
        if !is_temporary(&tried) {
            return tried;
        }
        *failures = failures.saturating_add(1);
        if *failures < MAX_FAILURES {
            return tried;
        }
        // The search shows whether the network answers, and whether it accepted an earlier attempt.
        match (self.find(account, message).await, &message.body) {
            (Ok(Some(_)), Body::Edit { event, .. }) => return Ok(Sent::Event(event.clone())),
            (Ok(Some(event)), _) => return Ok(Sent::Found(event)),
            (Ok(None), _) => {}
            (Err(error), _) => {
                *failures = 0;
                return Err(error);
            }
        }
        // An outage may have ended after the attempt.
        let tried = self.attempt(account, message).await;
        if !is_temporary(&tried) {
            return tried;
        }
        let approval = approval_text::parse_key(&message.key);
        let text = replacement(approval.map(|(job, _)| job));
        let Some(other) = replaced(message, Text::lines(text), approval.is_some()) else {
            report(
                account,
                message,
                "a reaction was dropped, because the chat network answers, but does not accept it",
            );
            return Ok(Sent::Dropped);
        };
        // An earlier process may have sent the notice about an approval request.
        let sent = match approval {
            Some(_) => self.find(account, &other).await?.map(Sent::Event),
            None => None,
        };
        let sent = match sent {
            Some(sent) => sent,
            None => self.attempt(account, &other).await?,
        };
        report(
            account,
            message,
            "a message was replaced, because the chat network answers, but does not accept the message; hint: look for a proxy that rejects some texts",
        );
        Ok(if approval.is_some() { Sent::Dropped } else { sent })
    }
}

fn is_temporary(tried: &Result<Sent, Unsent>) -> bool {
    matches!(tried, Err(Unsent::Later(None)))
}

/// Logs a message that was given up, with its text.
fn report(account: &Account, message: &Outgoing, what: &str) {
    let text = match message.redacted().body {
        Body::Say { text, .. } | Body::Edit { text, .. } => text.plain(),
        Body::React { emoji, .. } => emoji,
    };
    tracing::error!(network = account.chat.network(), room = message.room, key = message.key, text, "{what}");
}

/// Returns a message with another text; `None` for a reaction. If `is_approval` is true, the message is a new one with
/// another key, because nobody may approve a request by an event that does not show the request.
fn replaced(message: &Outgoing, text: Text, is_approval: bool) -> Option<Outgoing> {
    let (key, room) = (message.key.clone(), message.room.clone());
    match &message.body {
        Body::Say { thread, .. } => {
            let key = if is_approval { format!("{key}/rejected") } else { key };
            Some(Outgoing { key, room, body: Body::Say { text, thread: thread.clone() } })
        }
        Body::Edit { event, .. } => Some(Outgoing { key, room, body: Body::Edit { event: event.clone(), text } }),
        Body::React { .. } => None,
    }
}

/// Returns the text that a room gets instead of a message. `job` is the job for which the message requests an approval.
fn replacement(job: Option<&str>) -> String {
    match job {
        Some(job) => format!(
            "Job {job} requested an approval, but the chat server rejects the text of the request, so nobody can approve it. The text is in the host's log."
        ),
        None => "The chat server rejects a text of the bot, so the text is missing here. It is in the host's log."
            .to_owned(),
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

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Outage {
        None,
        /// The network can be searched, but accepts no message.
        Writes,
        All,
    }

    /// A network behind a proxy that rejects some texts and all reactions.
    struct Proxy {
        chat: Arc<MemoryChat>,
        outage: Outage,
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
            if is_rejected || self.outage != Outage::None {
                return Err(unavailable());
            }
            self.chat.send(message).await
        }

        async fn find(&self, room: &str, key: &str) -> Result<Option<String>, SendError> {
            if self.outage == Outage::All {
                return Err(unavailable());
            }
            self.chat.find(room, key).await
        }
    }

    fn scene(outage: Outage) -> (Account, Outbox, Arc<MemoryChat>) {
        let chat = MemoryChat::new(ChatFeatures::PLAIN);
        let account = Account::of("marvin", Arc::new(Proxy { chat: chat.clone(), outage }));
        let network = MemoryChat::NETWORK.to_owned();
        let store = Arc::new(MemoryStore::new());
        let outbox = Outbox::new(store, Vec::new(), vec!["marvin".into()], network, Vec::new(), Activity::default());
        (account, outbox, chat)
    }

    /// Tries to send a message after some failures. Returns the result, the sent texts, and the failures afterwards.
    async fn attempt(
        outage: Outage,
        mut failures: u32,
        key: &str,
        body: Body,
    ) -> (Result<Sent, Unsent>, Vec<String>, u32) {
        let (account, outbox, chat) = scene(outage);
        let message = Outgoing { key: key.into(), room: "ops".into(), body };
        let sent = outbox.attempt_or_give_up(&account, &message, &mut failures).await;
        (sent, chat.words(), failures)
    }

    fn say(text: &str) -> Body {
        Body::Say { text: Text::lines(text), thread: None }
    }

    fn edit(text: &str) -> Body {
        Body::Edit { event: "e1".into(), text: Text::lines(text) }
    }

    #[tokio::test]
    async fn a_text_that_a_proxy_rejects_is_replaced() {
        let closing = "7f3ak/closing";
        let (sent, words, _) = attempt(Outage::None, MAX_FAILURES - 1, closing, say("cat /etc/passwd")).await;
        assert!(matches!(sent, Ok(Sent::Event(_))));
        assert_eq!(words, [replacement(None)]);
        let (sent, words, failures) = attempt(Outage::None, 0, closing, say("cat /etc/passwd")).await;
        assert!(matches!(sent, Err(Unsent::Later(None))) && words.is_empty(), "the error can be temporary");
        assert_eq!(failures, 1);
        let (sent, words, _) = attempt(Outage::None, MAX_FAILURES, "7f3ak/card/2", edit("cat /etc/passwd")).await;
        assert!(matches!(sent, Ok(Sent::Event(_))));
        assert_eq!(words, [replacement(None)]);
        let react = Body::React { event: "e1".into(), emoji: "👀".into() };
        let (sent, words, _) = attempt(Outage::None, MAX_FAILURES, "e1/👀", react).await;
        assert!(matches!(sent, Ok(Sent::Dropped)) && words.is_empty());
    }

    #[tokio::test]
    async fn the_replacement_of_an_approval_request_is_not_an_approval_message() {
        let key = "7f3ak/approval-1";
        let (sent, words, _) = attempt(Outage::None, MAX_FAILURES, key, say("cat /etc/passwd")).await;
        assert!(matches!(sent, Ok(Sent::Dropped)), "a reaction to the replacement approves nothing");
        assert_eq!(words, [replacement(Some("7f3ak"))]);
    }

    #[tokio::test]
    async fn during_an_outage_no_message_is_given_up() {
        for outage in [Outage::All, Outage::Writes] {
            for body in [say("cat /etc/passwd"), say("Deployed."), edit("Deployed.")] {
                let (sent, words, failures) = attempt(outage, 1_000, "7f3ak/closing", body).await;
                assert!(matches!(sent, Err(Unsent::Later(None))) && words.is_empty(), "{outage:?}");
                assert_eq!(failures == 0, outage == Outage::All, "the network does not answer");
            }
        }
        let (sent, words, _) = attempt(Outage::None, 1_000, "7f3ak/closing", say("Deployed.")).await;
        assert!(matches!(sent, Ok(Sent::Event(_))));
        assert_eq!(words, ["Deployed."], "the first message after the outage");
    }

    #[tokio::test]
    async fn the_errors_of_a_row_are_counted() {
        let (account, outbox, chat) = scene(Outage::None);
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
        for _ in 1..MAX_FAILURES {
            assert!(matches!(outbox.deliver(&account, &mut queued).await, Err(Unsent::Later(None))));
        }
        assert!(matches!(outbox.deliver(&account, &mut queued).await, Ok(Sent::Event(_))));
        assert_eq!(chat.words(), [replacement(None)]);
    }
}
