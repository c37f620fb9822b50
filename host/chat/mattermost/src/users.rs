//! Who an id is: names for people to read, and whether somebody is a bot. Rights hang on ids alone.
//!
//! Architecture Invariant: who was not told of is nobody yet: neither a person nor a bot.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use wardroom::{message::Person, reply::clean};

use crate::{
    api::{Api, User},
    config::is_id,
    trouble::Trouble,
};

/// The longest name that is shown.
const LONGEST_NAME: usize = 80;
/// So many are remembered; beyond that they are asked for anew.
const MOST: usize = 20_000;

/// What the server says that an id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Somebody's account.
    Person,
    /// A program's account.
    Bot,
    /// There is no such account, or no longer.
    Nobody,
}

/// The accounts that we met.
#[derive(Debug, Default)]
pub(crate) struct Users {
    /// What the server answered; `None` where it knows no such account.
    asked: Mutex<HashMap<String, Option<User>>>,
    /// The names that came along with messages: newer than what was asked.
    heard: Mutex<HashMap<String, String>>,
}

impl Users {
    fn known(&self) -> MutexGuard<'_, HashMap<String, Option<User>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A server said who somebody is, or that nobody is.
    fn learn(&self, id: String, user: Option<User>) {
        let mut known = self.known();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(id, user);
    }

    /// A message came along with its author's present name.
    pub(crate) fn learn_name(&self, id: &str, name: &str) {
        let name = name.trim_start_matches('@');
        let mut heard = self.heard();
        if heard.len() >= MOST {
            heard.clear();
        }
        if !name.is_empty() {
            heard.insert(id.to_owned(), name.to_owned());
        }
    }

    /// Asks for those of these ids that are not known. Who was no account when it was asked last is asked for again.
    ///
    /// # Errors
    /// [`Trouble`]; who they are is not known then.
    pub(crate) async fn ask<'i>(&self, api: &Api, ids: impl IntoIterator<Item = &'i str>) -> Result<(), Trouble> {
        let unknown: BTreeSet<String> = {
            let mut known = self.known();
            let ids = ids.into_iter().filter(|id| !matches!(known.get(*id), Some(Some(_)))).map(str::to_owned);
            let unknown: BTreeSet<String> = ids.collect();
            for id in &unknown {
                known.remove(id);
            }
            unknown
        };
        // A server refuses a whole list for one word in it that is no id.
        let (unknown, never): (Vec<String>, Vec<String>) = unknown.into_iter().partition(|id| is_id(id));
        for id in never {
            self.learn(id, None);
        }
        if unknown.is_empty() {
            return Ok(());
        }
        let mut found: HashMap<String, User> =
            api.users(&unknown).await?.into_iter().map(|user| (user.id.clone(), user)).collect();
        for id in unknown {
            let user = found.remove(&id);
            self.learn(id, user);
        }
        Ok(())
    }

    /// Who an id is; `None` as long as no server told.
    pub(crate) fn who(&self, id: &str) -> Option<Who> {
        self.known().get(id).map(|user| match user {
            Some(user) if user.bot => Who::Bot,
            Some(_) => Who::Person,
            None => Who::Nobody,
        })
    }

    /// The name by which somebody is called with `@`, if it is known.
    pub(crate) fn name(&self, id: &str) -> Option<String> {
        let heard = self.heard().get(id).cloned();
        heard.or_else(|| Some(self.known().get(id)?.as_ref()?.name.clone())).filter(|name| !name.is_empty())
    }

    /// Somebody, by the name that is known, if one is.
    pub(crate) fn person(&self, id: &str) -> Person {
        let name: String = clean(&self.name(id).unwrap_or_default()).trim().chars().take(LONGEST_NAME).collect();
        Person { id: id.to_owned(), name: if name.is_empty() { id.to_owned() } else { name } }
    }
}
