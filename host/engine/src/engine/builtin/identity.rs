//! The commands `link` and `unlink`, and the lines of `whoami` about linked accounts.
//!
//! Invariant: a code is shown only in the direct message in which its person asked for it. It is in no row of the journal
//! and of the audit records, and in no log.
//! Invariant: a person has at most one open login. One transaction stores a link with the message about it and its report.

use std::{collections::HashSet, fmt::Write as _, sync::Arc, time::Duration};

use jiff::Timestamp;
use parking_lot::Mutex;

use super::jobs::text;
use crate::{
    adapter::{DeviceLogin, IdentityProvider, VerifiedAccount},
    base::{PREFIX, Text, clean, spoken_duration, utc_text},
    engine::{
        host::Host,
        verdict::{Refusal, Verdict},
    },
    hostcall::Context,
    model::Person,
    policy::{Access, Authorized},
    store::{IdentityLink, OutboxRow, StoreError, Write, digest},
};

/// How long a provider may take to start a login. The sender of the command waits for it.
const START_TIMEOUT: Duration = Duration::from_secs(15);
/// How long after the end of a code the result of its login is awaited.
const END_TIMEOUT: Duration = Duration::from_secs(30);
/// The maximum number of open logins of all people.
const MAX_OPEN: usize = 100;

/// The first ids of the people with an open login.
#[derive(Debug, Default)]
pub(crate) struct OpenLogins(Arc<Mutex<HashSet<String>>>);

/// Removes a person from the open logins when it is dropped.
struct OpenLogin {
    all: Arc<Mutex<HashSet<String>>>,
    person: String,
}

impl OpenLogins {
    fn open(&self, person: &str) -> Result<OpenLogin, Refusal> {
        let mut all = self.0.lock();
        if all.contains(person) {
            return Err(Refusal::Denied(
                "You have already asked for a code. Use that code, or wait until it expires.".to_owned(),
            ));
        }
        if all.len() >= MAX_OPEN {
            return Err(Refusal::Unable("Too many people link an account now. Try again in some minutes.".to_owned()));
        }
        all.insert(person.to_owned());
        Ok(OpenLogin { all: self.0.clone(), person: person.to_owned() })
    }
}

impl Drop for OpenLogin {
    fn drop(&mut self) {
        self.all.lock().remove(&self.person);
    }
}

/// A login that runs: what its end needs.
struct Login {
    provider: String,
    issuer: String,
    keep: Duration,
    person: Person,
    bot: String,
    /// The answer to the person, without its text.
    reply: OutboxRow,
}

impl Host {
    /// Runs `link [PROVIDER]`: shows a code, and links the account of the person who logs in with it.
    pub(crate) async fn link(&self, authorized: &Authorized) -> Result<Verdict, Refusal> {
        let (person, message) = (authorized.caller(), authorized.message());
        self.check_is_person(authorized)?;
        // 1. The code must not be shown to other people.
        if !message.direct || message.started.is_some() {
            return Err(Refusal::Denied(format!(
                "`{PREFIX}link` shows a code that only you may see. Type it in a direct message to the bot."
            )));
        }
        let (name, provider) = self.provider(authorized, "link")?;
        // 2. Start the login.
        let open = self.logins.open(self.context.access.persons.canonical_id(&person.id))?;
        let failed = |why: &str| Refusal::Unable(format!("The account was not linked: {}. Try again.", clean(why)));
        let login = match tokio::time::timeout(START_TIMEOUT, provider.begin()).await {
            Ok(Ok(login)) => login,
            Ok(Err(why)) => {
                tracing::warn!(provider = name, error = why, "an identity provider did not start a login");
                return Err(failed(&why));
            }
            Err(_) => return Err(failed(&format!("`{name}` did not answer within {} s", START_TIMEOUT.as_secs()))),
        };
        let answer = format!(
            "Open {} and type the code `{}` within {}. Do this only if you typed `link` yourself. Give the code to \
             nobody, and type no code that somebody else gives you: whoever asked for a code gets the groups of the \
             account that logs in with it.",
            login.url,
            login.code,
            spoken_duration(login.expires)
        );
        // 3. Wait for its end in a task. A restart ends the login, and the person types `link` again.
        let row = Login {
            provider: name.to_owned(),
            issuer: provider.issuer().to_owned(),
            keep: provider.keep(),
            person: person.clone(),
            bot: message.bot.clone(),
            reply: self.say(message, "linked", Text::default()),
        };
        let context = self.context.clone();
        tokio::spawn(async move {
            let stopping = context.stopping.clone();
            stopping.run_until_cancelled(finish(&context, row, login)).await;
            drop(open);
        });
        Ok(self.answered(message, Text::lines(answer)))
    }

    /// Runs `unlink [PROVIDER]`: ends the person's links.
    pub(crate) async fn unlink(&self, authorized: &Authorized) -> Result<Verdict, Refusal> {
        let (person, message) = (authorized.caller(), authorized.message());
        self.check_is_person(authorized)?;
        let (name, _) = self.provider(authorized, "unlink")?;
        let access = &self.context.access;
        let _change = access.begin_change().await;
        let now = access.now();
        let mut writes = ended(access, &person.id, name, now);
        if writes.is_empty() {
            return Err(Refusal::Malformed(format!("You have no linked account at `{name}`.")));
        }
        let answer = format!("Your account at `{name}` is no longer linked. Its groups give you no more roles.");
        writes.extend(report(&self.context, &message.bot, &format!("{} unlinked the account at `{name}`", person.id)));
        let links = writes.clone();
        writes.extend(self.extra_writes(message, &answer));
        let failed = |error: StoreError| Refusal::Unable(format!("The account is still linked: {error}. Try again."));
        self.context.store.commit(writes).await.map_err(failed)?;
        access.changed(&links);
        Ok(Verdict::CarriedOut(answer))
    }

    /// Returns the lines of `whoami` about a person's linked accounts.
    pub(crate) fn linked_accounts(&self, person: &Person) -> String {
        let access = &self.context.access;
        let now = access.now();
        let mut lines = String::new();
        for link in access.persons.ids(&person.id).flat_map(|id| access.identities.of(id)) {
            if link.until <= link.at {
                continue;
            }
            let (provider, subject) = (clean(&link.provider), clean(&link.subject));
            let _ = match access.identities.given_by(&link, now).as_slice() {
                _ if link.until <= now => write!(
                    lines,
                    "\nThe link to account {subject} at {provider} ended at {}. Type `{PREFIX}link` to link it again.",
                    utc_text(link.until)
                ),
                [] => {
                    write!(lines, "\nLinked account {subject} at {provider}: no group, until {}", utc_text(link.until))
                }
                groups => {
                    let groups = groups.join(", ");
                    write!(
                        lines,
                        "\nLinked account {subject} at {provider}: groups {groups}, until {}",
                        utc_text(link.until)
                    )
                }
            };
        }
        lines
    }

    fn check_is_person(&self, authorized: &Authorized) -> Result<(), Refusal> {
        match self.context.access.machines.has(&authorized.caller().id) {
            true => Err(Refusal::Denied("A machine has no account at an identity provider.".to_owned())),
            false => Ok(()),
        }
    }

    /// Returns the provider that a command names, or the only one.
    fn provider<'a>(
        &'a self,
        authorized: &Authorized,
        command: &str,
    ) -> Result<(&'a str, &'a Arc<dyn IdentityProvider>), Refusal> {
        let typed = text(authorized, "provider");
        let mut fitting = self.identities.iter().filter(|(name, _)| typed.is_none_or(|typed| typed == name.as_str()));
        match (fitting.next(), fitting.next()) {
            (Some((name, provider)), None) => Ok((name, provider)),
            _ => {
                let lines: Vec<String> =
                    self.identities.keys().map(|name| format!("`{PREFIX}{command} {name}`")).collect();
                Err(Refusal::Malformed(format!("Name an identity provider: {}.", lines.join(" or "))))
            }
        }
    }
}

/// Waits for the end of a login, stores the link and answers the person.
async fn finish(context: &Context, login: Login, device: DeviceLogin) {
    let end = tokio::time::timeout(device.expires + END_TIMEOUT, device.end).await;
    let account = end.unwrap_or_else(|_| Err("the provider did not answer in time".to_owned()));
    let stored = match account {
        Ok(account) => store(context, &login, account).await,
        Err(why) => {
            tracing::info!(
                provider = login.provider,
                user = login.person.id,
                reason = why,
                "an account was not linked"
            );
            let answer = format!("The account was not linked: {}. Type `{PREFIX}link` to try again.", clean(&why));
            context.store.commit(vec![answered(&login, answer)]).await.map(drop)
        }
    };
    if let Err(error) = stored {
        tracing::error!(
            provider = login.provider, user = login.person.id, %error,
            "the result of a login was not stored; no account was linked; hint: the person types `link` again"
        );
    }
    context.outbox.wake();
}

/// Stores a verified account. A person has one account of a provider: an earlier one ends.
async fn store(context: &Context, login: &Login, account: VerifiedAccount) -> Result<(), StoreError> {
    let access = &context.access;
    let _change = access.begin_change().await;
    let (now, provider) = (access.now(), login.provider.as_str());
    // Only the groups that the configuration names are stored.
    let mut groups: Vec<String> = access.identities.groups_of(provider).map(|(_, group)| group.claim.clone()).collect();
    groups.retain(|claim| account.groups.contains(claim));
    groups.sort();
    groups.dedup();
    let until = now.checked_add(login.keep).unwrap_or(now);
    let link = IdentityLink {
        person: login.person.clone(),
        provider: provider.to_owned(),
        issuer: login.issuer.clone(),
        subject: account.subject,
        groups,
        at: now,
        until,
    };
    let given = access.identities.given_by(&link, now);
    let groups = match given.as_slice() {
        [] => "no group of the configuration".to_owned(),
        groups => format!("the groups {}", groups.join(", ")),
    };
    let subject = clean(&link.subject);
    let until = utc_text(link.until);
    let answer = format!("Account {subject} at `{provider}` is linked, with {groups}, until {until}.");
    let what =
        format!("{} linked the account {subject} at `{provider}`, with {groups}, until {until}", login.person.id);
    let key = link.key();
    let mut writes = ended(access, &login.person.id, provider, now);
    writes.retain(|write| !matches!(write, Write::LinkIdentity(earlier) if earlier.key() == key));
    writes.push(Write::LinkIdentity(link));
    writes.push(answered(login, answer));
    writes.extend(report(context, &login.bot, &what));
    context.store.commit(writes.clone()).await?;
    access.changed(&writes);
    Ok(())
}

/// Returns the changes that end a person's links to a provider. The rows stay, because an approval still has to compare
/// the accounts.
fn ended(access: &Access, person: &str, provider: &str, now: Timestamp) -> Vec<Write> {
    let links = access.identities.of(person).into_iter();
    let links = links.filter(|link| link.provider == provider && link.until > link.at);
    let end = |link: Arc<IdentityLink>| IdentityLink { groups: Vec::new(), at: now, until: now, ..(*link).clone() };
    links.map(|link| Write::LinkIdentity(end(link))).collect()
}

fn answered(login: &Login, answer: String) -> Write {
    Write::Send(OutboxRow { text: Text::lines(answer), ..login.reply.clone() })
}

/// Returns the message for the room `tell` of `[people]`. `what` describes the change in one line.
fn report(context: &Context, bot: &str, what: &str) -> Option<Write> {
    let room = context.access.tell.as_ref()?;
    let Some(destination) = context.outbox.destination(bot, room) else {
        tracing::error!(
            bot,
            %room,
            "a linked account was not announced, because no bot has an account on the network of the room in `tell`; \
             hint: add an account or change `tell` in `[people]`"
        );
        return None;
    };
    let text = format!("Rights: {what}");
    let key = format!("identity/{}/{}", context.clock.now(), digest(text.as_bytes()));
    Some(Write::Send(destination.say(key, Text::lines(text))))
}
