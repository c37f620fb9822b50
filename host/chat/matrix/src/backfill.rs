//! Backfill: reads a room from its newest event back to the room's cursor, or to the bot's join if the room has no
//! cursor.
//!
//! Invariant: the memory for a backfill is limited. Events that the adapter does not handle are dropped while the pages
//! are read ([`EventCollector`]).
//! Invariant: the result holds no event from before the cursor or from before the bot's join. The cursor's
//! event is found by its id. The times of events are compared only if that event is not found, because each server sets
//! the times of its users' events by its own clock.

use std::collections::{BTreeMap, HashSet};

use matrix_sdk::{
    Client,
    ruma::{
        OwnedUserId, RoomId, UserId,
        api::client::{
            filter::{LazyLoadOptions, RoomEventFilter},
            message::get_message_events,
        },
        uint,
    },
};
use serde_json::Value;
use wardroom::adapter::Position;
use wardroom_account::display_name;

use crate::{
    convert,
    error::MatrixError,
    room_event::{self, RoomEvent},
};

/// Maximum number of pages that a backfill reads. A page has 100 events, so the pages cover more than a month of a busy
/// room. If the cursor's event is on none of these pages, the events before these pages are not handled.
const MAX_PAGES: usize = 500;
/// Maximum total size of the events that a backfill collects, in bytes. If it is exceeded, the events before these are
/// not handled.
const MAX_SIZE: usize = 128 << 20;
/// Maximum size of a collected event, in bytes. A larger event cannot be a command: a command line has at most 4,096
/// bytes.
const MAX_EVENT_SIZE: usize = 48 << 10;
/// Assumed maximum clock skew of another server, in seconds. Used only if the cursor's event is not found, because the
/// backfill then compares times.
const MAX_SKEW: i64 = 10 * 60;
/// A backfill searches for the cursor's event until every event of a page is older than the cursor by more than this
/// time, in seconds. The value is more than a day, because a server's clock can be wrong by a day.
const MAX_SEARCH_AGE: i64 = 36 * 60 * 60;

/// The result of a backfill: the events of a room after its cursor.
#[derive(Debug, Default)]
pub(crate) struct Backfill {
    /// Oldest first. If the bot joined after the cursor, the first event is the bot's join.
    pub(crate) events: Vec<RoomEvent>,
    pub(crate) names: BTreeMap<OwnedUserId, String>,
}

impl Backfill {
    /// Prepends the events that a sync delivered (`synced`) and the backfill did not find. The homeserver can sort an
    /// event that arrives late from another server before the cursor, where the backfill does not find the event.
    pub(crate) fn with_synced(mut self, synced: Vec<RoomEvent>) -> Self {
        let known: HashSet<_> = self.events.iter().filter_map(RoomEvent::id).collect();
        let late = synced.into_iter().filter(|event| event.id().is_some_and(|id| !known.contains(&id)));
        self.events.splice(0..0, late.collect::<Vec<_>>());
        self
    }
}

/// Reads the events of a room after its cursor, or since the bot's join if the join is newer or `cursor` is `None`.
/// `me` is the id of the bot's account. Returns `None` if there is no cursor and the join is not found; the caller must
/// not handle any event of the room then.
///
/// # Errors
/// The homeserver does not answer, or rejects the request.
pub(crate) async fn read(
    client: &Client,
    me: &UserId,
    room: &RoomId,
    cursor: Option<&Position>,
) -> Result<Option<Backfill>, MatrixError> {
    let mut backfill = Backfill::default();
    let mut collector = EventCollector::new(me, MAX_SIZE);
    let (mut from, mut pages) = (None, 0);
    while pages < MAX_PAGES && !collector.is_full() {
        pages += 1;
        let mut request = get_message_events::v3::Request::backward(room.to_owned());
        request.limit = uint!(100);
        request.filter = filter();
        request.from = from;
        let page = client.send(request).await?;
        for member in &page.state {
            collect_name(member.deserialize_as_unchecked::<Value>().ok(), &mut backfill.names);
        }
        let mut all_too_old = !page.chunk.is_empty();
        for event in page.chunk {
            let event = RoomEvent::from(event.cast());
            let is_join = convert::is_own_join(&event, me);
            let is_old = is_older(&event, cursor, MAX_SKEW);
            if is_join || is_cursor_event(&event, cursor) {
                // The join is part of the result, so that the cursor moves to it even if no other event follows.
                if is_join {
                    collector.keep(event, is_old);
                }
                backfill.events = select(collector.events, ends_at_event(cursor));
                return Ok(Some(backfill));
            }
            all_too_old &= is_older(&event, cursor, MAX_SEARCH_AGE);
            collector.add(event, is_old);
        }
        // The server may have deleted the cursor's event, so a page of events that are all too old ends the search,
        // too.
        from = page.end.filter(|_| !all_too_old);
        if from.is_none() {
            backfill.events = select(collector.events, false);
            return Ok(cursor.is_some().then_some(backfill));
        }
    }
    tracing::warn!(%room, pages, bytes = collector.size, "the room has more new events than a backfill reads; the oldest new events are skipped; hint: ask people in the room to send unanswered commands again");
    backfill.events = select(collector.events, false);
    Ok(cursor.is_some().then_some(backfill))
}

/// Collects the events that the adapter handles, newest first.
struct EventCollector<'a> {
    /// The id of the bot's account.
    me: &'a UserId,
    /// Each event has a flag, which is true if the event's time is before the cursor's time.
    events: Vec<(RoomEvent, bool)>,
    /// The total size of the events, in bytes.
    size: usize,
    max_size: usize,
}

impl<'a> EventCollector<'a> {
    fn new(me: &'a UserId, max_size: usize) -> Self {
        Self { me, events: Vec::new(), size: 0, max_size }
    }

    /// Adds an event if the adapter handles events of its type and sender. Always adds the first event, which is the
    /// newest one, because the room's cursor moves to it.
    fn add(&mut self, event: RoomEvent, is_old: bool) {
        let is_handled = event.has_handled_type()
            && event.raw.json().get().len() <= MAX_EVENT_SIZE
            && event.sender().as_deref() != Some(self.me);
        if self.events.is_empty() || is_handled {
            self.keep(event, is_old);
        }
    }

    fn keep(&mut self, event: RoomEvent, is_old: bool) {
        self.size += event.raw.json().get().len();
        self.events.push((event, is_old));
    }

    /// Returns whether the events exceed their maximum size.
    fn is_full(&self) -> bool {
        self.size > self.max_size
    }
}

/// Reverses the order of events, from newest first to oldest first. Each event has a flag, which is true if the event's
/// time is before the cursor's time. If `by_order` is true, returns all events, because their order proves that they
/// are newer than the cursor. If `by_order` is false, returns only the events whose flag is false.
fn select(events: Vec<(RoomEvent, bool)>, by_order: bool) -> Vec<RoomEvent> {
    events.into_iter().rev().filter(|(_, is_old)| by_order || !is_old).map(|(event, _)| event).collect()
}

/// Returns whether the backfill ends at a known event: the event that the cursor names or, without a cursor, the bot's
/// join. Returns `false` for a cursor that has only a time.
fn ends_at_event(cursor: Option<&Position>) -> bool {
    cursor.is_none_or(|cursor| cursor.event.is_some())
}

fn is_cursor_event(event: &RoomEvent, cursor: Option<&Position>) -> bool {
    let Some(Position { event: Some(cursor), .. }) = cursor else { return false };
    event.id().is_some_and(|id| id == *cursor)
}

/// Returns whether an event's time is more than `skew` seconds before the cursor's time. If the cursor has a time but
/// no event, ignores `skew`, because that time is exact. If there is no cursor, returns `false`.
fn is_older(event: &RoomEvent, cursor: Option<&Position>, skew: i64) -> bool {
    let Some(cursor) = cursor else { return false };
    let skew = if cursor.event.is_some() { skew } else { 0 };
    room_event::id_and_time(&event.raw).is_none_or(|(_, at)| at.as_second() + skew < cursor.at.as_second())
}

fn filter() -> RoomEventFilter {
    let mut filter = RoomEventFilter::default();
    filter.lazy_load_options = LazyLoadOptions::Enabled { include_redundant_members: true };
    filter
}

fn collect_name(member: Option<Value>, names: &mut BTreeMap<OwnedUserId, String>) {
    let Some(member) = member.filter(|event| event["type"] == "m.room.member") else { return };
    let user = member["state_key"].as_str().and_then(|id| UserId::parse(id).ok());
    let name = member["content"]["displayname"].as_str();
    if let (Some(user), Some(name)) = (user, name) {
        let name = display_name(Some(name), user.localpart());
        names.insert(user, name);
    }
}

#[cfg(test)]
mod tests {
    use matrix_sdk::ruma::{serde::Raw, user_id};
    use serde_json::json;
    use wardroom::Timestamp;

    use super::*;

    fn event(id: &str, second: i64) -> RoomEvent {
        let json = json!({ "type": "m.room.message", "event_id": id, "sender": "@bob:x",
                           "origin_server_ts": second * 1000, "content": { "msgtype": "m.text", "body": "x" } });
        RoomEvent::from(Raw::from_json_string(json.to_string()).expect("an object is JSON"))
    }

    fn typed(id: &str, kind: &str, sender: &str) -> RoomEvent {
        let json = json!({ "type": kind, "event_id": id, "sender": sender, "state_key": sender,
                           "origin_server_ts": 1, "content": { "padding": "x".repeat(1_000) } });
        RoomEvent::from(Raw::from_json_string(json.to_string()).expect("an object is JSON"))
    }

    fn cursor(event: Option<&str>) -> Position {
        Position { event: event.map(ToOwned::to_owned), at: Timestamp::from_second(1_000_000).expect("a time") }
    }

    #[test]
    fn a_backfill_ends_at_the_cursors_event_whatever_its_time() {
        let cursor = cursor(Some("$m:x"));
        assert!(is_cursor_event(&event("$m:x", 5), Some(&cursor)));
        assert!(!is_cursor_event(&event("$n:x", 999_999), Some(&cursor)));
        assert!(!is_older(&event("$n:x", 999_800), Some(&cursor), MAX_SKEW), "a clock that is three minutes slow");
        assert!(is_older(&event("$n:x", 990_000), Some(&cursor), MAX_SKEW), "an event that is hours older");
    }

    #[test]
    fn no_event_of_a_server_whose_clock_is_a_day_slow_is_lost() {
        let cursor = cursor(Some("$m:x"));
        let slow = event("$n:x", 1_000_000 - 24 * 60 * 60);
        assert!(!is_older(&slow, Some(&cursor), MAX_SEARCH_AGE), "the search continues");
        let events = || vec![(slow.clone(), is_older(&slow, Some(&cursor), MAX_SKEW))];
        assert_eq!(select(events(), ends_at_event(Some(&cursor))).len(), 1, "the cursor's event was found");
        assert!(select(events(), false).is_empty(), "without the cursor's event only times are left");
    }

    #[test]
    fn events_that_only_a_sync_delivered_come_first_and_none_twice() {
        let backfill = Backfill { events: vec![event("$b:x", 2), event("$c:x", 3)], names: BTreeMap::new() };
        let all = backfill.with_synced(vec![event("$late:x", 9), event("$c:x", 3)]);
        let ids: Vec<String> = all.events.iter().filter_map(|event| Some(event.id()?.to_string())).collect();
        assert_eq!(ids, ["$late:x", "$b:x", "$c:x"]);
    }

    #[test]
    fn only_events_that_can_be_handled_are_collected() {
        let mut collector = EventCollector::new(user_id!("@marvin:x"), 1 << 20);
        collector.add(typed("$newest:x", "m.room.topic", "@bob:x"), false);
        for (id, kind) in [
            ("$a:x", "m.room.message"),
            ("$b:x", "m.room.encrypted"),
            ("$c:x", "m.reaction"),
            ("$d:x", "m.room.redaction"),
            ("$e:x", "m.room.member"),
            ("$f:x", "m.room.topic"),
            ("$g:x", "com.example.large"),
        ] {
            collector.add(typed(id, kind, "@bob:x"), false);
            collector.add(typed("$own:x", kind, "@marvin:x"), false);
        }
        let ids: Vec<String> = collector.events.iter().filter_map(|(event, _)| Some(event.id()?.to_string())).collect();
        assert_eq!(ids, ["$newest:x", "$a:x", "$b:x", "$c:x", "$d:x"]);
    }

    #[test]
    fn a_backfill_ends_at_its_maximum_size() {
        let mut collector = EventCollector::new(user_id!("@marvin:x"), 11_000);
        for number in 0..9 {
            collector.add(typed(&format!("$e{number}:x"), "m.room.message", "@bob:x"), false);
            // Dropped events need no memory.
            (0..100).for_each(|_| collector.add(typed("$s:x", "m.room.topic", "@bob:x"), false));
        }
        assert!(!collector.is_full(), "{}", collector.size);
        collector.add(typed("$last:x", "m.room.message", "@bob:x"), false);
        assert!(collector.is_full() && collector.events.len() == 10, "{}", collector.size);
    }

    #[test]
    fn a_collected_name_is_short() {
        let mut names = BTreeMap::new();
        let member =
            json!({ "type": "m.room.member", "state_key": "@bob:x", "content": { "displayname": "n".repeat(60_000) } });
        collect_name(Some(member), &mut names);
        assert_eq!(names[user_id!("@bob:x")].len(), 80);
    }

    #[test]
    fn a_cursor_without_an_event_is_an_exact_time() {
        let cursor = cursor(None);
        assert!(is_older(&event("$n:x", 999_999), Some(&cursor), MAX_SKEW));
        assert!(!is_older(&event("$n:x", 1_000_000), Some(&cursor), MAX_SKEW));
        assert!(!ends_at_event(Some(&cursor)), "its time always decides");
    }
}
