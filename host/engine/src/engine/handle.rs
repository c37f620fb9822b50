//! The one function that joins the stages, from a row of the inbox to an answer.

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

/// An answer that takes longer is announced by a sign that somebody types.
const MOMENT: Duration = Duration::from_millis(300);

/// Why a command that acts is not taken as it came, if it is not.
fn not_from_there(row: &InboxRow) -> Option<String> {
    if Host::is_overheard(row) {
        return Some("what is only heard sets off no command that acts".to_owned());
    }
    let why = row.unproven.as_deref()?;
    Some(format!("a command that acts is not taken from there: {}", crate::base::clean(why)))
}

/// The first and the longest wait before a message that could not be handled is handled again.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

impl Host {
    /// Handles a message in a task of its own. `late`: it was taken by an earlier process.
    pub(crate) fn spawn(self: Arc<Self>, row: InboxRow, guard: ActivityGuard, late: bool) {
        let (stop, stopping) = (self.context.stop.clone(), self.context.stopping.clone());
        if stopping.is_cancelled() {
            // It is on disk, and handled at the next start.
            return;
        }
        let turn = self.turn(&row);
        let work = async move {
            let mut turn = turn;
            if let Some(turn) = &mut turn {
                turn.comes().await;
            }
            let old = late.then(|| self.too_old(&row)).flatten();
            let mut late = late;
            let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
            // A failed write leaves the message where it is, with nothing done: it is handled again.
            while let Err(error) = self.handle_or_abandon(&row, late, old.as_deref()).await {
                tracing::error!(room = row.key.room, event = row.key.event, %error, "a message could not be handled; it is kept");
                // Others need not wait for one that does not get on.
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

    /// Why a message that came late is too old to be done now, if it is.
    fn too_old(&self, row: &InboxRow) -> Option<String> {
        // How long others have is said by what they are asked, and how old a command may be that nobody typed was judged
        // when it was taken.
        if row.reaction.is_some() || is_announced(&row.key.event) {
            return None;
        }
        let now = self.context.clock.now();
        let age: Duration = now.duration_since(row.at).try_into().ok()?;
        (age > self.voice(&row.bot).max_age).then(|| {
            let age = crate::base::took(row.at, now);
            format!("I was away when this was said, {age} ago, so it is not done now. Say it again if it still holds.")
        })
    }

    /// How the identity of a message is spoken to.
    pub(crate) fn voice(&self, bot: &str) -> BotSettings {
        let name = self.context.access.bots.get(bot).map_or(bot, |bot| bot.name.as_str());
        self.bot_settings.get(name).cloned().unwrap_or_default()
    }

    /// Handles a message; a mistake of our own ends that message, not the bot's word that every command is answered.
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

    /// Tells the room why nothing happens. The store cannot keep these words, so they are sent as they are.
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

    /// A message, what it comes to, what the room is told.
    async fn handle(self: &Arc<Self>, row: InboxRow, late: bool) -> Result<(), StoreError> {
        if let Some(reaction) = &row.reaction {
            return self.reacted(&row, reaction).await;
        }
        let row = self.rooted(row).await;
        let verdict = self.decide_aloud(&row).await;
        let became = verdict.became();
        match verdict {
            Verdict::Answered(text, line) => self.answer(&row, text, *line, late).await?,
            Verdict::CarriedOut(_) => self.context.outbox.wake(),
            Verdict::Action(plugin, authorized) => self.action(plugin, authorized).await?,
            Verdict::Refused(refusal) => return self.refuse(row, refusal).await,
        }
        self.commands.count(became);
        Ok(())
    }

    /// Decides, and shows in the room that it does where that takes a moment.
    async fn decide_aloud(&self, row: &InboxRow) -> Verdict {
        let mut decided = std::pin::pin!(self.decide(row));
        let typing = async {
            tokio::time::sleep(MOMENT).await;
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

    /// A message, a command, what its caller may do, and what it does where it is a query. Nothing is written yet, except
    /// where it is an order to the host itself.
    pub(crate) async fn decide(&self, row: &InboxRow) -> Verdict {
        let asker = Asker::from(row);
        // Who is in the rooms that rules name is asked before anything is judged.
        self.context.access.refresh(&*self.context.outbox).await;
        if row.started.is_none()
            && let Some(answer) = self.triggers.said(&row.text)
        {
            return self.said(row, answer);
        }
        let words = match self.words_of(row) {
            Ok(words) => words,
            Err(usage) => return Verdict::Refused(Refusal::Malformed(usage)),
        };
        let table = self.plugins.table();
        let spec = match &words {
            Some(words) => table.command_of_words(words),
            None => table.command_of(&row.text),
        };
        // Before the arguments are looked at: hints on them name apps and environments.
        if let Some(spec) = spec
            && !self.context.access.may_run(asker, &spec.name, spec.target.clone())
        {
            return Verdict::Refused(Refusal::Denied(self.context.access.missing(&spec.name, None, None)));
        }
        let vocabulary = Vocabulary::of(&self.context.catalog, &*self.context.access, asker);
        let parsed = match &words {
            Some(words) => table.parse_words(words, &vocabulary),
            None => table.parse(&row.text, &vocabulary),
        };
        let command = match parsed {
            Ok(Parsed::Command(command)) => command,
            Ok(Parsed::Help(spec)) => return self.said(row, Text::lines(self.explain(asker, &spec))),
            Err(misparse) => {
                // A command that somebody has is theirs, whoever else claims it.
                let missing = spec.is_none().then(|| self.not_loaded(&row.text)).flatten();
                return Verdict::Refused(match missing {
                    Some(message) => Refusal::Denied(message),
                    None => Refusal::Malformed(misparse.to_string()),
                });
            }
        };
        let command = match self.with_people(command, row).await {
            Ok(command) => command,
            Err(refusal) => return Verdict::Refused(refusal),
        };
        if command.acts()
            && let Some(why) = not_from_there(row)
        {
            return Verdict::Refused(Refusal::Denied(why));
        }
        let authorized = match self.context.access.authorize(command, row.clone()) {
            Ok(authorized) => authorized,
            Err(refused) => return Verdict::Refused(Refusal::Denied(refused.message)),
        };
        let spec = authorized.command().spec();
        match (&spec.target, spec.kind) {
            (Target::Host(builtin @ Builtin::Release), _) => match self.not_from_here(&authorized).await {
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
                (Some(plugin), CommandKind::Action) => match self.not_from_here(&authorized).await {
                    Some(refused) => Verdict::Refused(Refusal::Denied(refused)),
                    None => Verdict::Action(plugin.clone(), authorized),
                },
                (None, _) => Verdict::Refused(Refusal::Denied(format!("plugin {name} is not loaded"))),
            },
        }
    }

    /// The words of a command of which some were given by somebody else; `None` for one that was typed as a whole.
    ///
    /// # Errors
    /// It begins as a short form and is typed otherwise; how it is.
    fn words_of(&self, row: &InboxRow) -> Result<Option<Vec<GivenArgument>>, String> {
        match &row.started {
            Some(started) => Ok(Some(started.words.clone())),
            None => Ok(self
                .triggers
                .alias(&row.text)?
                .map(|short| self.plugins.table().with_options(short.words, short.options))),
        }
    }

    /// What a message begins with, whatever follows.
    pub(crate) fn spec_of(&self, row: &InboxRow) -> Option<Arc<Spec>> {
        let table = self.plugins.table();
        let spec = match self.words_of(row).ok()? {
            Some(words) => table.command_of_words(&words),
            None => table.command_of(&row.text),
        };
        spec.cloned()
    }

    /// Why an action is not taken from where it was typed, if it is not.
    async fn not_from_here(&self, authorized: &Authorized) -> Option<String> {
        refuses(&self.context, authorized.message(), authorized.command().app()?).await
    }

    /// The host's own words, with their line.
    pub(crate) fn said(&self, row: &InboxRow, text: Text) -> Verdict {
        Verdict::Answered(text, Box::new(self.line(row, None, Vec::new(), Vec::new())))
    }

    /// Why a command that nobody has is one all the same: its plugin did not load.
    fn not_loaded(&self, text: &str) -> Option<String> {
        let word = text.split_whitespace().next()?;
        let plugin = self.plugins.missing(word)?;
        Some(format!(
            "`{}` is a command of plugin {}, which is not loaded: ask an admin to look at `plugins`",
            word.to_lowercase(),
            plugin.name
        ))
    }

    /// Whether nobody asked us anything: it was heard in what people say to each other.
    fn is_overheard(row: &InboxRow) -> bool {
        row.started.is_some() && !is_announced(&row.key.event)
    }

    /// Says no, once, in the transaction that marks the message as dealt with.
    async fn refuse(&self, row: InboxRow, refusal: Refusal) -> Result<(), StoreError> {
        let became = refusal.became();
        let (emoji, message, counted) = match refusal {
            Refusal::Malformed(message) => ("❓", message, true),
            Refusal::Denied(message) => ("⛔", message, true),
            Refusal::Late(message) => ("⌛", message, true),
            // Whoever said something right is always answered.
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
        self.commands.count(became);
        self.context.outbox.wake();
        Ok(())
    }

    /// Answers a query: the words first, then its line and the mark that it is done.
    async fn answer(&self, row: &InboxRow, text: Text, line: AuditRecord, late: bool) -> Result<(), StoreError> {
        // Whoever only talks to others did not ask, and is answered with measure.
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
