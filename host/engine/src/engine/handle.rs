//! Handles a row of the inbox: parse, authorize, run, answer.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;

use super::{
    host::{BotSettings, Host},
    verdict::{Refusal, Verdict},
};
use crate::{
    adapter::{Body, Outgoing},
    base::{ActivityGuard, Backoff, Text},
    command::{Asker, Builtin, CommandKind, Parsed, Spec, Target, Vocabulary},
    hostcall::refuses,
    policy::Authorized,
    store::{AuditRecord, GivenArgument, InboxRow, JobQuery, StoreError, Write, is_announced},
};

/// The delay after which the room gets a typing notification.
const TYPING_DELAY: Duration = Duration::from_millis(300);

/// The reason why a message cannot start a command that acts: a listen rule started it, or its sending device is not
/// verified. `None` if it can.
fn untrusted_source(row: &InboxRow) -> Option<String> {
    if Host::is_overheard(row) {
        return Some("what is only heard sets off no command that acts".to_owned());
    }
    let why = row.unproven.as_deref()?;
    Some(format!("a command that acts is not taken from there: {}", crate::base::clean(why)))
}

/// The first and the longest delay before a retry of a message whose handling failed.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(500);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);

impl Host {
    /// Handles a message in its own task, with retries. `late` means that an earlier process received the message.
    pub(crate) fn spawn(self: Arc<Self>, row: InboxRow, guard: ActivityGuard, late: bool) {
        let (stop, stopping) = (self.context.stop.clone(), self.context.stopping.clone());
        if stopping.is_cancelled() {
            // The message is stored, and is handled after the next start.
            return;
        }
        let turn = self.vote_turn(&row);
        let work = async move {
            let mut turn = turn;
            if let Some(turn) = &mut turn {
                turn.wait().await;
            }
            let old = late.then(|| self.too_old(&row)).flatten();
            let mut late = late;
            let mut backoff = Backoff::new(FIRST_RETRY_DELAY, MAX_RETRY_DELAY);
            // A failed write leaves the message unhandled and without effect, so it is retried.
            while let Err(error) = self.handle_or_abandon(&row, late, old.as_deref()).await {
                tracing::error!(room = row.key.room, event = row.key.event, %error, "a message could not be handled; it stays in the inbox");
                // A retry must not delay the votes behind this one.
                drop(turn.take());
                if backoff.retries() == 0 && row.reaction.is_none() {
                    self.report_store_outage(&row, &error).await;
                }
                if matches!(error, StoreError::Failed(_)) {
                    break;
                }
                tokio::select! {
                    () = backoff.wait(None) => {}
                    () = stopping.cancelled() => break,
                }
                late = true;
            }
            drop(guard);
        };
        tokio::spawn(async move { stop.run_until_cancelled(work).await });
    }

    /// The refusal of a late message that is older than the bot's `max_age`; `None` if it is young enough.
    fn too_old(&self, row: &InboxRow) -> Option<String> {
        // The deadline of a reaction is that of the approval request. The age of a triggered command was checked when
        // it was accepted.
        if row.reaction.is_some() || is_announced(&row.key.event) {
            return None;
        }
        let now = self.context.clock.now();
        let age: Duration = now.duration_since(row.at).try_into().ok()?;
        (age > self.settings_of_bot(&row.bot).max_age).then(|| {
            let age = crate::base::took(row.at, now);
            format!("I was away when this was said, {age} ago, so it is not done now. Say it again if it still holds.")
        })
    }

    /// The settings of a bot; the defaults if it is unknown.
    pub(crate) fn settings_of_bot(&self, bot: &str) -> BotSettings {
        let name = self.context.access.bots.get(bot).map_or(bot, |bot| bot.name.as_str());
        self.bot_settings.get(name).cloned().unwrap_or_default()
    }

    /// Handles a message, or refuses it if it is too old. A panic ends only this message: if it has opened a job, the
    /// job is dispatched; otherwise the sender gets a refusal, because every command is answered.
    async fn handle_or_abandon(
        self: &Arc<Self>,
        row: &InboxRow,
        late: bool,
        old: Option<&str>,
    ) -> Result<(), StoreError> {
        if let Some(message) = old {
            return self.refuse(row.clone(), Refusal::Late(message.to_owned())).await;
        }
        match AssertUnwindSafe(self.handle(row.clone(), late)).catch_unwind().await {
            Ok(handled) => handled,
            Err(_) => {
                tracing::error!(room = row.key.room, event = row.key.event, "the handling of a message panicked");
                let opened = JobQuery { open: Some(true), inbox: Some(row.key.clone()), ..JobQuery::default() };
                if let Some(job) = self.context.store.jobs(&opened).await?.pop() {
                    self.jobs.dispatch(job);
                    return Ok(());
                }
                let message = "Internal error; nothing was done. The host's log has the details.".to_owned();
                self.refuse(row.clone(), Refusal::Denied(message)).await
            }
        }
    }

    /// Reports an outage of the store to the room. The message is sent directly, because the outbox is part of the
    /// store.
    async fn report_store_outage(&self, row: &InboxRow, error: &StoreError) {
        let Some(chat) = self.context.outbox.chat(&row.bot, &row.key.network).cloned() else { return };
        let text = match error {
            StoreError::Unavailable(_) => "Not done yet: the database is unavailable. Retrying.",
            StoreError::Failed(_) => {
                "Nothing was done: the database failed. The command is retried after a restart of the host."
            }
        };
        let message = Outgoing {
            key: format!("{}/{}/unkept", row.key.room, row.key.event),
            room: row.key.room.clone(),
            body: Body::Say { text: Text::lines(text), thread: self.context.outbox.thread(row) },
        };
        self.context.outbox.send(&chat, &message, false).await;
    }

    /// Decides a message once, and writes or sends the result.
    async fn handle(self: &Arc<Self>, row: InboxRow, late: bool) -> Result<(), StoreError> {
        if let Some(reaction) = &row.reaction {
            return self.handle_reaction(&row, reaction).await;
        }
        let row = self.with_thread(row).await;
        let verdict = self.decide_with_typing(&row).await;
        let outcome = verdict.outcome();
        match verdict {
            Verdict::Answered(text, line) => self.answer(&row, text, *line, late).await?,
            Verdict::CarriedOut(_) => self.context.outbox.wake(),
            Verdict::Action(plugin, authorized) => self.action(plugin, authorized).await?,
            Verdict::Refused(refusal) => return self.refuse(row, refusal).await,
        }
        self.commands.count(outcome);
        Ok(())
    }

    /// Decides a message, with a typing notification if that takes longer than [`TYPING_DELAY`].
    async fn decide_with_typing(&self, row: &InboxRow) -> Verdict {
        let mut decided = std::pin::pin!(self.decide(row));
        let typing = async {
            tokio::time::sleep(TYPING_DELAY).await;
            if let Some(chat) =
                self.context.outbox.chat(&row.bot, &row.key.network).filter(|_| !Self::is_overheard(row))
            {
                chat.typing(&row.key.room).await;
            }
        };
        tokio::select! {
            biased;
            verdict = &mut decided => return verdict,
            () = typing => {}
        }
        decided.await
    }

    /// Decides a message: finds its command, checks the rights of its sender, and runs it if it is a query or a host
    /// command. Writes nothing itself. A host command that changes something writes its change and the handled mark in
    /// one transaction.
    pub(crate) async fn decide(&self, row: &InboxRow) -> Verdict {
        let asker = Asker::from(row);
        // 1. Refresh the members of the rooms that rules name, before any check uses them.
        self.context.access.refresh(&*self.context.outbox).await;
        // 2. Return the fixed answer of a `[[say]]`. It needs no right.
        if row.started.is_none()
            && let Some(answer) = self.triggers.said(&row.text)
        {
            return self.answered(row, answer);
        }
        // 3. Find the command: of a trigger, of an alias, or as typed.
        let words = match self.words_of(row) {
            Ok(words) => words,
            Err(usage) => return Verdict::Refused(Refusal::Malformed(usage)),
        };
        let table = self.plugins.table();
        let spec = match &words {
            Some(words) => table.command_of_words(words),
            None => table.command_of(&row.text),
        };
        // 4. Check the right to the command before its arguments, because hints on arguments name apps and
        // environments.
        if let Some(spec) = spec
            && !self.context.access.may_run(asker, &spec.name, spec.target.clone())
        {
            return Verdict::Refused(Refusal::Denied(self.context.access.missing(&spec.name, None, None)));
        }
        // 5. Parse the arguments. Hints name only apps and environments that the sender may see.
        let vocabulary = Vocabulary::of(&self.context.catalog, &*self.context.access, asker);
        let parsed = match &words {
            Some(words) => table.parse_words(words, &vocabulary),
            None => table.parse(&row.text, &vocabulary),
        };
        let command = match parsed {
            Ok(Parsed::Command(command)) => command,
            Ok(Parsed::Help(spec)) => return self.answered(row, Text::lines(self.explain(asker, &spec))),
            Err(misparse) => {
                // A command of a loaded plugin takes precedence over the same command of a plugin that is not loaded.
                let missing = spec.is_none().then(|| self.not_loaded(&row.text)).flatten();
                return Verdict::Refused(match missing {
                    Some(message) => Refusal::Denied(message),
                    None => Refusal::Malformed(misparse.to_string()),
                });
            }
        };
        // 6. Resolve people to ids.
        let command = match self.with_people(command, row).await {
            Ok(command) => command,
            Err(refusal) => return Verdict::Refused(refusal),
        };
        // 7. Refuse a command that acts if a listen rule started it or the sending device is not verified.
        if command.acts()
            && let Some(why) = untrusted_source(row)
        {
            return Verdict::Refused(Refusal::Denied(why));
        }
        // 8. Check the right on the app and environment in the arguments.
        let authorized = match self.context.access.authorize(command, row.clone()) {
            Ok(authorized) => authorized,
            Err(refused) => return Verdict::Refused(Refusal::Denied(refused.message)),
        };
        // 9. Run a host command, a query or a dry run. An action is only returned; the caller opens its job.
        let spec = authorized.command().spec();
        match (&spec.target, spec.kind) {
            (Target::Host(builtin @ Builtin::Release), _) => match self.direct_message_refusal(&authorized).await {
                Some(refused) => Verdict::Refused(Refusal::Denied(refused)),
                None => self.host(*builtin, &authorized).await,
            },
            (Target::Host(builtin), _) => self.host(*builtin, &authorized).await,
            (Target::Plugin(name), kind) => match (self.plugins.get(name), kind) {
                (Some(plugin), CommandKind::Query) => {
                    let (text, line) = self.query(plugin, &authorized).await;
                    Verdict::Answered(text, Box::new(line))
                }
                (Some(plugin), CommandKind::Action) if authorized.command().is_dry_run() => {
                    let (text, line) = self.dry_run(plugin, &authorized).await;
                    Verdict::Answered(text, Box::new(line))
                }
                (Some(plugin), CommandKind::Action) => match self.direct_message_refusal(&authorized).await {
                    Some(refused) => Verdict::Refused(Refusal::Denied(refused)),
                    None => Verdict::Action(plugin.clone(), authorized),
                },
                (None, _) => Verdict::Refused(Refusal::Denied(format!("plugin {name} is not loaded"))),
            },
        }
    }

    /// The words of a command from a trigger or an alias; `None` for a command that was typed in full.
    ///
    /// # Errors
    /// The line begins like an alias and does not match it. The text is the alias's usage.
    fn words_of(&self, row: &InboxRow) -> Result<Option<Vec<GivenArgument>>, String> {
        match &row.started {
            Some(started) => Ok(Some(started.words.clone())),
            None => Ok(self
                .triggers
                .alias(&row.text)?
                .map(|short| self.plugins.table().with_options(short.words, short.options))),
        }
    }

    /// The command that a message begins with. Its arguments are not checked.
    pub(crate) fn spec_of(&self, row: &InboxRow) -> Option<Arc<Spec>> {
        let table = self.plugins.table();
        let spec = match self.words_of(row).ok()? {
            Some(words) => table.command_of_words(&words),
            None => table.command_of(&row.text),
        };
        spec.cloned()
    }

    /// The refusal of an action that was typed in a direct message, if its app's `direct` forbids that.
    async fn direct_message_refusal(&self, authorized: &Authorized) -> Option<String> {
        refuses(&self.context, authorized.message(), authorized.command().app()?).await
    }

    /// A host answer, with its audit record.
    pub(crate) fn answered(&self, row: &InboxRow, text: Text) -> Verdict {
        Verdict::Answered(text, Box::new(self.line(row, None, Vec::new(), Vec::new())))
    }

    /// The refusal of a command whose plugin is not loaded; `None` if no such plugin has it.
    fn not_loaded(&self, text: &str) -> Option<String> {
        let word = text.split_whitespace().next()?;
        let plugin = self.plugins.missing(word)?;
        Some(format!(
            "`{}` is a command of plugin {}, which is not loaded: ask an admin to look at `plugins`",
            word.to_lowercase(),
            plugin.name
        ))
    }

    /// Whether a listen rule started the command from a message that does not address the bot.
    fn is_overheard(row: &InboxRow) -> bool {
        row.started.is_some() && !is_announced(&row.key.event)
    }

    /// Refuses a message. One transaction writes the answer, the audit record and the handled mark.
    async fn refuse(&self, row: InboxRow, refusal: Refusal) -> Result<(), StoreError> {
        let outcome = refusal.outcome();
        let (emoji, message, counted) = match refusal {
            Refusal::Malformed(message) => ("❓", message, true),
            Refusal::Denied(message) => ("⛔", message, true),
            Refusal::Late(message) => ("⌛", message, true),
            // A valid command is always answered, so it does not count for the reply limit.
            Refusal::Unable(message) => ("⚠️", message, false),
        };
        let now = self.context.clock.now();
        let mut writes =
            vec![Write::AuditRecord(self.refusal_line(&row, message.clone())), Write::Handled(row.key.clone())];
        tracing::info!(person = row.sender.id, room = row.key.room, why = message, "refused a command");
        let answered = if Self::is_overheard(&row) {
            None
        } else if counted {
            self.reply_limiter.answer(&row.sender.id, &row.key.room, now)
        } else {
            Some(0)
        };
        if let Some(unsaid) = answered {
            let mut text = Text::lines(message);
            if unsaid > 0 {
                text.push_lines(format!("({unsaid} more of your messages were refused without an answer)"));
            }
            writes.push(Write::Send(self.react(&row, emoji)));
            writes.push(Write::Send(self.say(&row, "refusal", text)));
        }
        if answered.is_none() {
            self.context.outbox.waiting.forget(&row.key);
        }
        self.context.store.commit(writes).await?;
        self.commands.count(outcome);
        self.context.outbox.wake();
        Ok(())
    }

    /// Sends the answer of a query directly, then queues its audit record and handled mark. After a crash between the
    /// two, the query runs again.
    async fn answer(&self, row: &InboxRow, text: Text, line: AuditRecord, late: bool) -> Result<(), StoreError> {
        // Answers to listen rules are rate-limited, because nobody asked the bot.
        let now = self.context.clock.now();
        let wanted = !Self::is_overheard(row) || self.reply_limiter.answer("overheard", &row.key.room, now).is_some();
        if wanted && let Some(chat) = self.context.outbox.chat(&row.bot, &row.key.network).cloned() {
            let message = Outgoing {
                key: format!("{}/{}/answer", row.key.room, row.key.event),
                room: row.key.room.clone(),
                body: Body::Say {
                    text: text.clamped(crate::messaging::longest(&*chat)),
                    thread: self.context.outbox.thread(row),
                },
            };
            self.context.outbox.send(&chat, &message, late).await;
        } else {
            self.context.outbox.waiting.forget(&row.key);
        }
        self.context.store.note(vec![Write::AuditRecord(line), Write::Handled(row.key.clone())]);
        Ok(())
    }
}
