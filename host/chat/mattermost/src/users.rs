//! Who an id is: names for people to read, and whether somebody is a bot. Rights hang on ids alone.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use wardroom::{message::Person, reply::clean};

use crate::{
    api::{Api, User},
    trouble::Trouble,
};

/// The longest name that is shown.
const LONGEST_NAME: usize = 80;
/// So many are remembered; beyond that they are asked for anew.
const MOST: usize = 20_000;

/// The accounts that we met.
#[derive(Debug, Default)]
pub(crate) struct Users {
    asked: Mutex<HashMap<String, User>>,
    /// The names that came along with messages: newer than what was asked.
    heard: Mutex<HashMap<String, String>>,
}

impl Users {
    fn known(&self) -> MutexGuard<'_, HashMap<String, User>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A server said who somebody is.
    pub(crate) fn learn(&self, user: User) {
        let mut known = self.known();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(user.id.clone(), user);
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

    /// Asks for those of these ids that are not known.
    pub(crate) async fn ask<'i>(&self, api: &Api, ids: impl IntoIterator<Item = &'i str>) -> Result<(), Trouble> {
        let unknown: BTreeSet<String> = {
            let known = self.known();
            ids.into_iter().filter(|id| !id.is_empty() && !known.contains_key(*id)).map(str::to_owned).collect()
        };
        if unknown.is_empty() {
            return Ok(());
        }
        let unknown: Vec<String> = unknown.into_iter().collect();
        for user in api.users(&unknown).await? {
            self.learn(user);
        }
        Ok(())
    }

    /// Whether an id is known to be a bot's.
    pub(crate) fn is_bot(&self, id: &str) -> bool {
        self.known().get(id).is_some_and(|user| user.bot)
    }

    /// The name by which somebody is called with `@`, if it is known.
    pub(crate) fn name(&self, id: &str) -> Option<String> {
        let heard = self.heard().get(id).cloned();
        heard.or_else(|| self.known().get(id).map(|user| user.name.clone())).filter(|name| !name.is_empty())
    }

    /// Somebody, by the name that is known, if one is.
    pub(crate) fn person(&self, id: &str) -> Person {
        let name: String = clean(&self.name(id).unwrap_or_default()).trim().chars().take(LONGEST_NAME).collect();
        Person { id: id.to_owned(), name: if name.is_empty() { id.to_owned() } else { name } }
    }
}
