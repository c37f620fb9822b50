//! Events that could not be decrypted: their senders are asked to send them again, and their keys are waited for.
//!
//! Architecture Invariant: an event that cannot be read is on disk before its room's mark passes it. It holds up nobody,
//! and it is not lost: it stays until its key comes, or until it would be too old to be handled anyway.
//! Architecture Invariant: what was sent again is not done twice. An event that opens after its sender was asked is left
//! where they have said the same since.
//! Not here: decrypting (`sealed`), and the way to the inbox (`delivery`).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::PathBuf,
    time::{Duration, Instant},
};

use matrix_sdk::ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wardroom::{Timestamp, message::Incoming, port::store::Reaction, reply::Text};

use crate::{
    Config,
    convert::{self, RawEvent},
    folder,
    sealed::{self, Reason},
    trouble::Trouble,
};

/// How long a key may take before its event's sender is told; it often comes a moment later.
const GRACE: Duration = Duration::from_secs(5);
/// How long an event is kept, in seconds: nothing older is ever handled.
const KEPT: i64 = 24 * 60 * 60;
/// The most that are kept, and of one room.
const MOST: usize = 1_000;
const MOST_OF_A_ROOM: usize = 250;
/// The most that is kept, in bytes: all of it is written anew with each change.
const LARGEST: usize = 4 << 20;
const LARGEST_OF_A_ROOM: usize = LARGEST / 4;
/// How often somebody is asked about what one missing key hides. A conversation that is not for us is one key, too.
const ASKED: usize = 2;
/// How often somebody is asked in one room within the time for which events are kept: whoever makes up a key for every message
/// is not worth more words.
const ASKED_IN_A_ROOM: usize = 8;

/// One of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Where it was sent.
    pub(crate) room: OwnedRoomId,
    /// Its id.
    pub(crate) event: OwnedEventId,
    /// As it came.
    pub(crate) raw: RawEvent,
    sender: OwnedUserId,
    /// When it was sent, by its server's clock, but not in the future.
    at: Timestamp,
    /// Which key it needs.
    session: String,
    /// Its sender was asked to send it again.
    asked: bool,
    /// What its sender said after they were asked, by hash.
    said: BTreeSet<String>,
    #[serde(skip, default = "soon")]
    due: Instant,
    #[serde(skip, default = "no_key")]
    reason: Reason,
}

impl Entry {
    /// In bytes, about.
    fn size(&self) -> usize {
        self.raw.json().get().len() + self.said.iter().map(|hash| hash.len() + 3).sum::<usize>()
    }
}

/// All of them, of one account.
#[derive(Debug)]
pub(crate) struct Undecrypted {
    file: PathBuf,
    entries: Vec<Entry>,
    /// When who was asked where.
    asked: HashMap<(OwnedRoomId, OwnedUserId), Vec<Instant>>,
}

/// Somebody to be asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    /// Where.
    pub(crate) room: OwnedRoomId,
    /// About which event.
    pub(crate) event: OwnedEventId,
    /// The root of the thread to ask in.
    pub(crate) thread: OwnedEventId,
    /// In these words.
    pub(crate) text: Text,
}

impl Undecrypted {
    /// Takes up what is on disk.
    pub(crate) fn load(config: &Config) -> Self {
        let file = config.folder.join("undecrypted.json");
        let entries = folder::read_json(&file).unwrap_or_else(|error| {
            tracing::warn!(file = %file.display(), "cannot read which messages could not be decrypted; if their keys come, they are not handled: {error}");
            None
        });
        Self { file, entries: entries.unwrap_or_default(), asked: HashMap::new() }
    }

    /// Keeps events that could not be decrypted, on disk when this returns.
    ///
    /// # Errors
    /// What the file system said; nothing may pass these events then.
    pub(crate) fn add(&mut self, room: &RoomId, events: Vec<(RawEvent, Reason)>) -> Result<(), Trouble> {
        let (now, before) = (Timestamp::now(), self.entries.len());
        for (raw, reason) in events {
            let Some((event, at)) = convert::id_and_time(&raw) else { continue };
            let Ok(Some(sender)) = raw.get_field::<OwnedUserId>("sender") else { continue };
            if now.as_second() - at.as_second() > KEPT || self.entries.iter().any(|entry| entry.event == event) {
                continue;
            }
            let session = sealed::envelope(&raw).0;
            let room = room.to_owned();
            let (asked, said) = (false, BTreeSet::new());
            self.entries.push(Entry {
                room,
                event,
                raw,
                sender,
                at: at.min(now),
                session,
                asked,
                said,
                due: soon(),
                reason,
            });
        }
        if self.entries.len() == before {
            return Ok(());
        }
        let over = self.drop_oldest(room);
        if over > 0 {
            tracing::warn!(
                over,
                "too many messages cannot be decrypted; if the keys of the oldest come, they are not handled"
            );
        }
        self.save().map_err(|error| Trouble::local("what cannot be decrypted cannot be kept", &error))
    }

    /// Drops the oldest of a room until it is not too much, and of the room that has most until all are not; gives how many.
    fn drop_oldest(&mut self, room: &RoomId) -> usize {
        let before = self.entries.len();
        while self.is_too_much(|entry| entry.room == room, MOST_OF_A_ROOM, LARGEST_OF_A_ROOM) {
            self.drop_oldest_of(&room.to_owned());
        }
        while self.is_too_much(|_| true, MOST, LARGEST) {
            let mut rooms: BTreeMap<&OwnedRoomId, usize> = BTreeMap::new();
            for entry in &self.entries {
                *rooms.entry(&entry.room).or_default() += entry.size();
            }
            let Some(largest) = rooms.into_iter().max_by_key(|(_, bytes)| *bytes).map(|(room, _)| room.clone()) else {
                break;
            };
            self.drop_oldest_of(&largest);
        }
        before - self.entries.len()
    }

    fn is_too_much(&self, which: impl Fn(&Entry) -> bool, most: usize, largest: usize) -> bool {
        let entries = || self.entries.iter().filter(|entry| which(entry));
        entries().count() > most || entries().map(Entry::size).sum::<usize>() > largest
    }

    fn drop_oldest_of(&mut self, room: &OwnedRoomId) {
        if let Some(oldest) = self.entries.iter().position(|entry| entry.room == *room) {
            self.entries.remove(oldest);
        }
    }

    /// What people took back in a room is not handled when its key comes, nor is anybody asked about it.
    pub(crate) fn withdrawn(&mut self, room: &RoomId, messages: &[Incoming]) {
        let given = |message: &Incoming| match &message.reaction {
            Some(Reaction::Withdrawn { given }) => OwnedEventId::try_from(given.as_str()).ok(),
            _ => None,
        };
        let given: HashSet<_> = messages.iter().filter_map(given).collect();
        let here = |entry: &&Entry| entry.room == room && given.contains(&entry.event);
        self.remove(&self.entries.iter().filter(here).map(|entry| entry.event.clone()).collect());
    }

    /// People said this; on disk when this returns, where it may be what they were asked to send again.
    ///
    /// # Errors
    /// What the file system said.
    pub(crate) fn said(&mut self, room: &RoomId, messages: &[Incoming]) -> Result<(), Trouble> {
        let mut changed = false;
        for message in messages.iter().filter(|message| message.reaction.is_none()) {
            let asked = |entry: &&mut Entry| {
                entry.asked
                    && entry.room == room
                    && entry.sender.as_str() == message.sender.id
                    && entry.event.as_str() != message.event
            };
            for entry in self.entries.iter_mut().filter(asked) {
                changed |= entry.said.insert(hash(&message.text));
            }
        }
        if !changed {
            return Ok(());
        }
        self.save().map_err(|error| Trouble::local("what was sent again cannot be kept", &error))
    }

    /// Those that need one of these keys; all where it is not known which keys came.
    pub(crate) fn needing(&self, keys: Option<&HashSet<String>>) -> Vec<Entry> {
        self.entries.iter().filter(|entry| keys.is_none_or(|keys| keys.contains(&entry.session))).cloned().collect()
    }

    /// Whether an event's sender was asked to send it again and has said these words since.
    pub(crate) fn was_sent_again(&self, event: &OwnedEventId, text: &str) -> bool {
        self.entries.iter().any(|entry| entry.event == *event && entry.said.contains(&hash(text)))
    }

    /// These are dealt with.
    pub(crate) fn remove(&mut self, events: &HashSet<OwnedEventId>) {
        let before = self.entries.len();
        self.entries.retain(|entry| !events.contains(&entry.event));
        self.saved_if(self.entries.len() != before);
    }

    /// Whose time to be asked has come; they count as asked. What is too old to be handled is dropped.
    pub(crate) fn due_asks(&mut self, now: Instant) -> Vec<Ask> {
        let (before, today) = (self.entries.len(), Timestamp::now().as_second());
        self.entries.retain(|entry| today - entry.at.as_second() <= KEPT);
        self.saved_if(self.entries.len() != before);
        self.asked.retain(|_, times| {
            times.retain(|at| now.saturating_duration_since(*at).as_secs() <= KEPT.unsigned_abs());
            !times.is_empty()
        });
        let mut asks: Vec<Ask> = Vec::new();
        for index in 0..self.entries.len() {
            let entry = &self.entries[index];
            if entry.asked || entry.due > now {
                continue;
            }
            let same = |other: &&Entry| other.session == entry.session && other.sender == entry.sender;
            let times = self.entries.iter().filter(same).filter(|other| other.asked).count();
            let here = self.asked.entry((entry.room.clone(), entry.sender.clone())).or_default();
            if times < ASKED && here.len() < ASKED_IN_A_ROOM {
                here.push(now);
                let thread = sealed::envelope(&entry.raw).1.unwrap_or_else(|| entry.event.clone());
                let text = words(entry.reason, times > 0);
                asks.push(Ask { room: entry.room.clone(), event: entry.event.clone(), thread, text });
                self.entries[index].asked = true;
            } else {
                // Told often enough; its key is waited for all the same.
                self.entries[index].due = now + Duration::from_secs(KEPT.unsigned_abs());
            }
        }
        asks
    }

    /// They were asked, all of these or, where asking failed, all but this one.
    pub(crate) fn asked(&mut self, failed: Option<&OwnedEventId>) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| Some(&entry.event) == failed) {
            (entry.asked, entry.due) = (false, soon());
        }
        self.saved_if(true);
    }

    /// How long until somebody is to be asked.
    pub(crate) fn next_due(&self, now: Instant) -> Option<Duration> {
        let waiting = self.entries.iter().filter(|entry| !entry.asked);
        waiting.map(|entry| entry.due.saturating_duration_since(now)).min()
    }

    /// Saves what may be lost: after a crash it is found out again.
    fn saved_if(&self, changed: bool) {
        if changed && let Err(error) = self.save() {
            tracing::warn!(file = %self.file.display(), "cannot write down which messages could not be decrypted: {error}");
        }
    }

    fn save(&self) -> std::io::Result<()> {
        folder::write_json(&self.file, &self.entries)
    }
}

fn words(reason: Reason, again: bool) -> Text {
    let mut text = Text::lines(match (reason, again) {
        (Reason::Broken, _) => {
            "I could not decrypt that, and no key will change it. If it was for me, please send it again."
        }
        (_, false) => "I could not decrypt that. If it was for me, please send it again.",
        (_, true) => {
            "I still cannot decrypt what you send. If it is for me, please write to me from another device, or restart your client."
        }
    });
    if reason == Reason::Withheld {
        text.push_lines("Your client does not give me its keys. It may want my device verified, or yours.");
    }
    text
}

fn hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text.trim())[..16])
}

fn soon() -> Instant {
    Instant::now() + GRACE
}

fn no_key() -> Reason {
    Reason::NoKey
}

#[cfg(test)]
mod tests;
