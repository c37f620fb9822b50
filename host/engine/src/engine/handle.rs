//! Handles a message from the inbox: parses the command, checks the rights, runs the command and answers.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;

use super::{
    host::{BotSettings, Host},
    verdict::{Refusal, Verdict},
};
use crate::{
    adapter::{Body, Outgoing},
    base::{ActivityGuard, Backoff, PREFIX, Text, clean, without_marks},
    command::{Asker, Builtin, CommandKind, Parsed, Spec, Target, Vocabulary, Words},
    hostcall::refuses,
    messaging::{Account, UnknownCommand},
    metrics::CommandOutcome,
    policy::Authorized,
    store::{AuditRecord, GivenArgument, InboxRow, JobQuery, OutboxRow, StoreError, Write, is_trigger_event},
    trigger::MissedPolicy,
};

/// The time after which the room of an unanswered message gets a typing notification.
const TYPING_DELAY: Duration = Duration::from_millis(300);

/// Returns the reason why a message may not start an action: a `[[listen]]` rule started its command, or its sender is
/// not verified. Returns `None` if the message may start an action.
fn untrusted_source(row: &InboxRow) -> Option<String> {
    if Host::is_from_listen_rule(row) {
        return Some("A `[[listen]]` rule can start only queries, not actions.".to_owned());
    }
    let why = row.unproven.as_deref()?;
    Some(format!("This message cannot start an action. {}", clean(why)))
}

/// Returns a line with the number of a person's messages that got no answer because of the reply limit. The text is
/// empty if there are none.
fn unanswered_note(unanswered: u64) -> Text {
    match unanswered {
        0 => Text::default(),
        _ => Text::lines(format!("Earlier messages of yours that got no answer: {unanswered}.")),
    }
}

/// The first delay before a retry of a message whose handling failed.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(500);
/// The longest delay before a retry of a message whose handling failed.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);

impl Host {
    /// Handles a message in a separate task, with retries. `guard` keeps the engine from ending until the message is
    /// handled. `late` is true if an earlier process of the host stored the message in the inbox, or if backfill
    /// received the message after a connection gap.
    pub(crate) fn spawn(self: Arc<Self>, row: InboxRow, guard: ActivityGuard, mut late: bool) {
        let (stop, stopping) = (self.context.stop.clone(), self.context.stopping.clone());
        if stopping.is_cancelled() {
            // The stored message is handled after the next start.
            return;
        }
        let mut turn = self.vote_turn(&row);
        let work = async move {
            let mut backoff = Backoff::new(FIRST_RETRY_DELAY, MAX_RETRY_DELAY);
            // A failed write leaves no effect, so the message can be retried.
            loop {
                if let Some(turn) = &mut turn {
                    turn.wait().await;
                }
                let old = late.then(|| self.too_old(&row)).flatten();
                let Err(error) = self.handle_or_abandon(&row, late, old.as_deref()).await else { break };
                tracing::error!(
                    room = row.key.room, event_id = row.key.event, %error,
                    "cannot handle the message, which stays in the inbox; the host retries soon, or at its next start if the error is permanent"
                );
                // Later votes must not wait for the retry.
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
                turn = self.vote_turn(&row);
            }
            drop(guard);
        };
        tokio::spawn(async move { stop.run_until_cancelled(work).await });
    }

    /// Returns the refusal for a message or a hook's command that is older than the bot's `max_age`. Returns `None` for
    /// newer ones, for all reactions, and for the commands of schedules with `missed = "last"`.
    fn too_old(&self, row: &InboxRow) -> Option<String> {
        // A reaction is limited by the deadline of the approval request.
        if row.reaction.is_some() || self.runs_at_any_age(&row.key.event) {
            return None;
        }
        let now = self.context.clock.now();
        let age: Duration = now.duration_since(row.at).try_into().ok()?;
        let settings = self.settings_of_bot(&row.bot);
        (age > settings.max_age).then(|| {
            let age = crate::base::elapsed_text(row.at, now);
            match &row.started {
                // The sender cannot repeat the delivery: the host would ignore it as a duplicate.
                Some(started) if is_trigger_event(&row.key.event) => format!(
                    "Nothing was done: the command of {} is {age} old, because the host was unavailable. If it is still \
                     needed, type `{PREFIX}{}`.",
                    started.by, row.text
                ),
                _ => format!(
                    "Nothing was done: your command is {age} old, because the host was unavailable. Send it again if \
                     you still need it."
                ),
            }
        })
    }

    /// Returns whether an event is the command of a schedule that runs its latest missed time regardless of its age.
    fn runs_at_any_age(&self, event: &str) -> bool {
        let Some((name, _)) = event.strip_prefix("schedule/").and_then(|rest| rest.rsplit_once('/')) else {
            return false;
        };
        let schedule = self.triggers.schedules.iter().find(|schedule| schedule.name == name);
        schedule.is_some_and(|schedule| schedule.missed == MissedPolicy::RunLatest)
    }

    /// Returns the settings of a bot, or the defaults for an unknown bot.
    pub(crate) fn settings_of_bot(&self, bot: &str) -> BotSettings {
        let name = self.context.access.bots.get(bot).map_or(bot, |bot| bot.name.as_str());
        self.bot_settings.get(name).cloned().unwrap_or_default()
    }

    /// Handles a message. If `old` is set, the message is too old and is refused with the text `old`. If the handler
    /// panics after it created a job, starts the task of this job. If the handler panics before it created a job,
    /// refuses the message with an internal error, so that the sender gets a reply.
    async fn handle_or_abandon(
        self: &Arc<Self>,
        row: &InboxRow,
        late: bool,
        old: Option<&str>,
    ) -> Result<(), StoreError> {
        if let Some(message) = old {
            let row = self.with_thread(row.clone()).await;
            return self.refuse(row, Refusal::Late(message.to_owned())).await;
        }
        if let Ok(handled) = AssertUnwindSafe(self.handle(row.clone(), late)).catch_unwind().await {
            return handled;
        }
        tracing::error!(
            room = row.key.room,
            event_id = row.key.event,
            "the host panicked while it handled a message; if the message created a job, the job continues, else the sender gets an error; hint: report this bug with the host's log"
        );
        let opened = JobQuery { open: Some(true), inbox: Some(row.key.clone()), ..JobQuery::default() };
        if let Some(job) = self.context.store.jobs(&opened).await?.pop() {
            self.jobs.dispatch(job);
            return Ok(());
        }
        let message = "Internal error; nothing was done. The host's log has the details.".to_owned();
        self.refuse(row.clone(), Refusal::Denied(message)).await
    }

    /// Reports in the room that the store is unavailable. Sends the message directly, because the outbox is in the
    /// store.
    async fn report_store_outage(&self, row: &InboxRow, error: &StoreError) {
        let text = match error {
            StoreError::Unavailable(_) => "Not done yet: the database is unavailable. The host retries the command.",
            StoreError::Failed(_) => {
                "Nothing was done: the database failed. The host retries the command after its next start."
            }
        };
        if let Some(account) = self.context.outbox.account(&row.bot, &row.key.network) {
            self.send_reply(account, row, "unkept", Text::lines(text), false).await;
        }
    }

    /// Sends a reply to a message directly, without the outbox. `purpose` is a part of the reply's idempotency key. If
    /// `search` is true, first searches the room for the reply, so that the reply is not sent twice.
    async fn send_reply(&self, account: &Account, row: &InboxRow, purpose: &str, text: Text, search: bool) -> bool {
        let OutboxRow { key, room, thread, text, .. } = self.say(row, purpose, text.with_prefix(&account.prefix));
        let message = Outgoing { key, room, body: Body::Say { text, thread } };
        self.context.outbox.send(account, &message, search).await
    }

    /// Evaluates a message, then stores or sends the result. `late` is true if an earlier attempt may already have sent
    /// the reply.
    async fn handle(self: &Arc<Self>, row: InboxRow, late: bool) -> Result<(), StoreError> {
        if let Some(reaction) = &row.reaction {
            return self.handle_reaction(&row, reaction).await;
        }
        let row = self.with_thread(row).await;
        let outcome = match self.decide_with_typing(&row).await {
            Ok(Verdict::Answered(text, line)) => {
                self.answer(&row, text, *line, late).await?;
                CommandOutcome::Answered
            }
            Ok(Verdict::CarriedOut(_)) => {
                self.context.outbox.wake();
                CommandOutcome::CarriedOut
            }
            Ok(Verdict::Action(plugin, authorized)) => {
                self.action(plugin, authorized).await?;
                CommandOutcome::Started
            }
            Err(refusal) => return self.refuse(row, refusal).await,
        };
        self.commands.count(outcome);
        Ok(())
    }

    /// Evaluates a message, and sends a typing notification after [`TYPING_DELAY`].
    async fn decide_with_typing(&self, row: &InboxRow) -> Result<Verdict, Refusal> {
        let mut decided = std::pin::pin!(self.decide(row));
        let typing = async {
            tokio::time::sleep(TYPING_DELAY).await;
            if !Self::is_from_listen_rule(row)
                && let Some(chat) = self.context.outbox.chat(&row.bot, &row.key.network)
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

    /// Evaluates a message: finds its command, checks the rights of its sender, and runs a query or a host command.
    /// Does not start actions. The caller stores and sends the result. A host command that changes something stores its
    /// result itself, in the transaction of the change.
    ///
    /// # Errors
    /// Fails if the command is refused. The error contains the message for the sender.
    pub(crate) async fn decide(&self, row: &InboxRow) -> Result<Verdict, Refusal> {
        let asker = Asker::from(row);
        // 1. Refresh the members of the rooms that rules name, before any check uses them.
        self.context.access.refresh(&*self.context.outbox).await;
        // 2. Return the fixed answer of a `[[say]]` table. Everybody may get this answer. No fixed answer and no alias
        //    begins with the words of a command (`refused_triggers`).
        if row.started.is_none()
            && let Some(answer) = self.triggers.fixed_answer(&row.text)
        {
            return Ok(self.answered(row, answer));
        }
        // 3. Find the command: from a trigger, from an alias, or as typed.
        let words = self.words_of(row).map_err(Refusal::Malformed)?;
        let table = self.context.plugins.table();
        let spec = match &words {
            Some(words) => table.command_of_words(words),
            None => table.command_of(&row.text),
        };
        // 4. Check the right to the command before its arguments, because hints on arguments name apps and
        // environments.
        if let Some(spec) = spec
            && !self.may_run(asker, spec)
        {
            return Err(Refusal::Denied(self.context.access.missing(&spec.name, None, None)));
        }
        // 5. Parse the arguments. Hints name only apps and environments that the sender may see.
        let vocabulary = Vocabulary::of(&self.context.catalog, &*self.context.access, asker);
        let parsed = match &words {
            Some(words) => table.parse_words(words, &vocabulary),
            None => table.parse(&row.text, &vocabulary),
        };
        let command = match parsed {
            Ok(Parsed::Command(command)) => command,
            Ok(Parsed::Help(spec)) => return Ok(self.answered(row, Text::lines(self.explain(asker, &spec)))),
            Err(misparse) => {
                // A command of a loaded plugin takes precedence over the same command of a plugin that is not loaded.
                let missing = spec.is_none().then(|| self.not_loaded(&row.text)).flatten();
                return Err(match missing {
                    Some(message) => Refusal::Denied(message),
                    None if misparse.is_unknown => Refusal::Unknown(misparse.for_room()),
                    None => Refusal::Malformed(misparse.for_room()),
                });
            }
        };
        // 6. Resolve people to ids.
        let command = self.with_people(command, row).await?;
        // 7. Refuse an action if a listen rule started it or the sender of the message is not verified.
        if command.acts()
            && let Some(why) = untrusted_source(row)
        {
            return Err(Refusal::Denied(why));
        }
        // 8. Refuse an action of a plugin from a room to which the bot cannot send the result. The host's own commands
        //    can stop something, for example `cancel` and `freeze`.
        if command.acts()
            && matches!(command.spec().target, Target::Plugin(_))
            && let Some(why) = self.send_refusal(row).await
        {
            tracing::warn!(
                room = row.key.room,
                event_id = row.key.event,
                reason = why,
                "an action was refused, because the bot may not send to its room; hint: give the bot the permission to send to the room"
            );
            return Err(Refusal::Denied(format!(
                "Nothing was done: when this command arrived, the bot could not send its result to this room ({}). Send \
                 it again if it is still needed.",
                clean(&why)
            )));
        }
        // 9. Check the rights on the app and environment in the arguments.
        let authorized = self.context.access.authorize(command, row.clone());
        let authorized = authorized.map_err(|refused| Refusal::Denied(refused.message))?;
        // 10. Run a host command, a query or a dry run. Return an action to the caller, which creates its job.
        let spec = authorized.command().spec();
        let name = match &spec.target {
            Target::Host(builtin) => {
                if *builtin == Builtin::Release {
                    self.check_direct_message(&authorized).await?;
                }
                return self.host(*builtin, &authorized).await;
            }
            Target::Plugin(name) => name,
        };
        let Some(plugin) = self.context.plugins.get(name) else {
            return Err(Refusal::Denied(format!(
                "Plugin `{name}` is not loaded. Ask an admin to run `{PREFIX}plugins`, which shows the reason."
            )));
        };
        match spec.kind {
            CommandKind::Query => Ok(self.query(plugin, &authorized).await),
            CommandKind::Action if authorized.command().is_dry_run() => Ok(self.dry_run(plugin, &authorized).await),
            CommandKind::Action => {
                self.check_direct_message(&authorized).await?;
                Ok(Verdict::Action(plugin.clone(), authorized))
            }
        }
    }

    /// Returns the reason why the bot may not send to the room of a message now; `None` if it may.
    async fn send_refusal(&self, row: &InboxRow) -> Option<String> {
        self.context.outbox.chat(&row.bot, &row.key.network)?.send_refusal(&row.key.room).await
    }

    /// Returns the words of a message's command, if an alias, schedule, hook or listen rule provides the command.
    /// Returns `None` if a person typed the command itself.
    ///
    /// # Errors
    /// Fails if the message begins like an alias, but has arguments that do not match the alias. The error is a text
    /// that shows how to type the alias.
    fn words_of(&self, row: &InboxRow) -> Result<Option<Vec<GivenArgument>>, String> {
        match &row.started {
            Some(started) => Ok(Some(started.words.clone())),
            None => {
                let short = self.triggers.alias(&row.text, |line| self.may_run_line(Asker::from(row), line))?;
                Ok(short.map(|short| self.context.plugins.table().with_options(short.words, short.options)))
            }
        }
    }

    /// Returns the command with which a message begins, without a check of its arguments; `None` if the message does
    /// not begin with a command.
    pub(crate) fn spec_of(&self, row: &InboxRow) -> Option<Arc<Spec>> {
        let table = self.context.plugins.table();
        let spec = match self.words_of(row).ok()? {
            Some(words) => table.command_of_words(&words),
            None => table.command_of(&row.text),
        };
        spec.cloned()
    }

    /// Refuses an action that was typed in a direct message, if the configuration key `direct` of the action's app
    /// forbids this.
    async fn check_direct_message(&self, authorized: &Authorized) -> Result<(), Refusal> {
        let Some(app) = authorized.command().app() else { return Ok(()) };
        let refused = refuses(&self.context, authorized.message(), app).await;
        refused.map_or(Ok(()), |refused| Err(Refusal::Denied(refused)))
    }

    /// Returns the answer of a host command that changed nothing, with its audit record.
    pub(crate) fn answered(&self, row: &InboxRow, text: Text) -> Verdict {
        Verdict::Answered(text, Box::new(self.line(row)))
    }

    /// Returns the refusal of a message whose first word is a command of a plugin that failed to load, or a command
    /// that several plugins have. Returns `None` for other messages.
    fn not_loaded(&self, text: &str) -> Option<String> {
        let words = Words::of(text);
        let word = words.closed.first()?.text.as_str();
        let mut contested = self.context.plugins.contested().iter();
        if let Some(contested) = contested.find(|contested| contested.word.eq_ignore_ascii_case(word)) {
            return Some(format!(
                "Several plugins have the command `{}`: {}. The bot runs it when an operator has set `commands` in the \
                 table of one of them.",
                contested.word,
                contested.plugins.join(", ")
            ));
        }
        let plugin = self.context.plugins.missing(word)?;
        Some(format!(
            "`{}` is a command of plugin `{}`, which is not loaded. Ask an admin to run `{PREFIX}plugins`, which shows the \
             reason.",
            word.to_lowercase(),
            plugin.name
        ))
    }

    /// Returns whether a listen rule started the command of a message. Such a message is not addressed to the bot.
    fn is_from_listen_rule(row: &InboxRow) -> bool {
        row.started.is_some() && !is_trigger_event(&row.key.event)
    }

    /// Refuses a message. One transaction stores the reply and the audit record, and marks the message as handled.
    /// Sends no reply if a `[[listen]]` rule started the command, or if the sender has reached the reply limit.
    async fn refuse(&self, row: InboxRow, refusal: Refusal) -> Result<(), StoreError> {
        let unknown = match refusal {
            // In a direct message, a line is meant for this bot.
            Refusal::Unknown(_) if !row.direct => self.settings_of_bot(&row.bot).unknown,
            _ => UnknownCommand::Answer,
        };
        if unknown == UnknownCommand::Ignore {
            self.context.outbox.waiting.discard(&row.key);
            return self.context.store.commit(vec![Write::Handled(row.key)]).await.map(drop);
        }
        let (outcome, emoji, text) = refusal.into_parts();
        let message = without_marks(&text);
        // The reply limit does not apply to a permitted command that failed. Such a command is always answered.
        let is_limited = outcome != CommandOutcome::Unable;
        let now = self.context.clock.now();
        let mut writes =
            vec![Write::AuditRecord(self.refusal_line(&row, message.clone())), Write::Handled(row.key.clone())];
        tracing::info!(user = row.sender.id, room = row.key.room, reason = message, "a command was refused");
        let answered = if Self::is_from_listen_rule(&row) {
            None
        } else if is_limited {
            self.reply_limiter.answer(&row.sender.id, &row.key.room, now)
        } else {
            Some(0)
        };
        if let Some(unanswered) = answered {
            let mut text = Text::lines(text);
            text.append(unanswered_note(unanswered));
            let has_reactions = self.context.outbox.has_reactions(&row);
            let only_reacts = unknown == UnknownCommand::React && has_reactions;
            if only_reacts || self.context.outbox.reacts_to_outcomes(&row) {
                writes.push(Write::Send(self.react(&row, emoji)));
            }
            if !only_reacts {
                writes.push(Write::Send(self.say(&row, "refusal", text)));
            }
        } else {
            self.context.outbox.waiting.discard(&row.key);
        }
        self.context.store.commit(writes).await?;
        self.commands.count(outcome);
        self.context.outbox.wake();
        Ok(())
    }

    /// Sends the reply of a query or host command. Then queues two changes to the store: the audit record `line`, and
    /// the mark that the message is handled. If the host crashes before these changes are stored, the command runs
    /// again after the restart. If `late` is true, an earlier attempt may already have sent the reply. The reply is
    /// then searched in the room first, so that it is not sent twice.
    ///
    /// # Errors
    /// [`StoreError`] if the bot may not send to the room now, and the reply could not be stored.
    async fn answer(&self, row: &InboxRow, text: Text, line: AuditRecord, late: bool) -> Result<(), StoreError> {
        // Limit the rate of answers to messages that match a listen rule, because these messages do not address the
        // bot, and of answers to people without a role, because they could use up the messages that a network accepts
        // from the bot.
        let now = self.context.clock.now();
        let unanswered = if Self::is_from_listen_rule(row) {
            self.reply_limiter.answer("overheard", &row.key.room, now).map(|_| 0)
        } else if self.context.access.has_role(row) {
            Some(0)
        } else {
            self.reply_limiter.answer(&row.sender.id, &row.key.room, now)
        };
        if let Some(unanswered) = unanswered
            && let Some(account) = self.context.outbox.account(&row.bot, &row.key.network)
        {
            let mut text = text.clamped(crate::messaging::longest(&*account.chat));
            text.append(unanswered_note(unanswered));
            let is_sent = account.chat.send_refusal(&row.key.room).await.is_none()
                && self.send_reply(account, row, "answer", text.clone(), late).await;
            if !is_sent {
                // The answer waits as a row of the outbox until the bot may send to the room.
                let answer = self.say(row, "answer", text);
                let writes = vec![Write::Send(answer), Write::AuditRecord(line), Write::Handled(row.key.clone())];
                self.context.store.commit(writes).await?;
                self.context.outbox.wake();
                return Ok(());
            }
        } else {
            self.context.outbox.waiting.discard(&row.key);
        }
        self.context.store.note(vec![Write::AuditRecord(line), Write::Handled(row.key.clone())]);
        Ok(())
    }
}
