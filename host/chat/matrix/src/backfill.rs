//! Reads a room back to its mark, and finds the mark of a room that has none.
//!
//! Architecture Invariant: nothing older than the mark comes out, and nothing from before we came into the
//! room. Ids are compared before clocks, because every server has its own clock.

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
use wardroom::message::Position;

use crate::{convert, sealed::Event, trouble::Trouble};

/// The furthest that a room is read back, in pages of a hundred events: more than a month of a busy room.
const PAGES: usize = 500;
/// How far another server's clock may be off before its events count as older than a mark that cannot be found, in seconds.
const SKEW: i64 = 10 * 60;
/// How far a whole page of events must lie behind the mark before its own event is not looked for any further, in seconds: more
/// than the day by which a server's clock may be off.
const FAR: i64 = 36 * 60 * 60;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The events behind the mark, oldest first; where we came into the room after it, from that event on.
    pub(crate) events: Vec<Event>,
    /// What the people in them are called.
    pub(crate) names: BTreeMap<OwnedUserId, String>,
}

impl Found {
    /// The same with what a sync brought besides. An event of a server that was cut off sorts before the mark
    /// however late it arrives, so only the sync has it.
    pub(crate) fn with_late_ones(mut self, came: Vec<Event>) -> Self {
        let id = |event: &Event| convert::id_and_time(&event.raw).map(|(id, _)| id);
        let known: HashSet<_> = self.events.iter().filter_map(id).collect();
        let late = came.into_iter().filter(|event| id(event).is_some_and(|id| !known.contains(&id)));
        self.events.splice(0..0, late.collect::<Vec<_>>());
        self
    }
}

/// Where to stop.
enum Stop<'m> {
    /// At this mark, or where we came into the room.
    Mark(&'m Position),
    /// Where we came into the room, and nowhere else.
    Arrival,
}

/// Everything behind the mark.
pub(crate) async fn since_mark(client: &Client, room: &RoomId, mark: &Position) -> Result<Found, Trouble> {
    Ok(read(client, room, Stop::Mark(mark)).await?.unwrap_or_default())
}

/// Everything since we came into the room; `None` where that cannot be found, so that nothing must be taken.
pub(crate) async fn since_arrival(client: &Client, room: &RoomId) -> Result<Option<Found>, Trouble> {
    read(client, room, Stop::Arrival).await
}

async fn read(client: &Client, room: &RoomId, stop: Stop<'_>) -> Result<Option<Found>, Trouble> {
    let Some(me) = client.user_id() else { return Ok(None) };
    let mut found = Found::default();
    // Newest first, each with whether its clock says that it is older than the mark.
    let mut events: Vec<(Event, bool)> = Vec::new();
    let mut from = None;
    for _ in 0..PAGES {
        let mut request = get_message_events::v3::Request::backward(room.to_owned());
        request.limit = uint!(100);
        request.filter = filter();
        request.from = from;
        let page = client.send(request).await?;
        for member in &page.state {
            learn_name(member.deserialize_as_unchecked::<Value>().ok(), &mut found.names);
        }
        let mut all_far_behind = !page.chunk.is_empty();
        for event in page.chunk {
            let event = Event::from(event.cast());
            let arrival = convert::is_own_arrival(&event, me);
            let old = is_behind(&event, &stop, SKEW);
            if arrival || at_mark(&event, &stop) {
                // An arrival is kept: in a room where nothing happened since, it is what the mark is set to.
                events.extend(arrival.then_some((event, old)));
                found.events = taken(events, has_event(&stop));
                return Ok(Some(found));
            }
            all_far_behind &= is_behind(&event, &stop, FAR);
            events.push((event, old));
        }
        // The mark's own event may be gone from the server. A whole page of older events is proof enough.
        from = page.end.filter(|_| !all_far_behind);
        if from.is_none() {
            found.events = taken(events, false);
            return Ok(matches!(stop, Stop::Mark(_)).then_some(found));
        }
    }
    tracing::warn!(%room, "the room has more new events than are read back; the oldest of them are not handled");
    found.events = taken(events, false);
    Ok(matches!(stop, Stop::Mark(_)).then_some(found))
}

/// The events behind the mark, oldest first. Where the mark's own event was found, their order says which those are, and no
/// clock.
fn taken(events: Vec<(Event, bool)>, by_order: bool) -> Vec<Event> {
    events.into_iter().rev().filter(|(_, old)| by_order || !old).map(|(event, _)| event).collect()
}

fn has_event(stop: &Stop<'_>) -> bool {
    matches!(stop, Stop::Mark(Position { event: Some(_), .. }) | Stop::Arrival)
}

fn at_mark(event: &Event, stop: &Stop<'_>) -> bool {
    let Stop::Mark(Position { event: Some(mark), .. }) = stop else { return false };
    convert::id_and_time(&event.raw).is_some_and(|(id, _)| id == *mark)
}

/// Whether an event is older than the mark by its clock alone, and by more than so many seconds. A mark with an event is
/// looked for by that, so clocks may differ; one without is a moment, and exact.
fn is_behind(event: &Event, stop: &Stop<'_>, skew: i64) -> bool {
    let Stop::Mark(mark) = stop else { return false };
    let skew = if mark.event.is_some() { skew } else { 0 };
    convert::id_and_time(&event.raw).is_none_or(|(_, at)| at.as_second() + skew < mark.at.as_second())
}

fn filter() -> RoomEventFilter {
    let mut filter = RoomEventFilter::default();
    filter.lazy_load_options = LazyLoadOptions::Enabled { include_redundant_members: true };
    filter
}

fn learn_name(member: Option<Value>, names: &mut BTreeMap<OwnedUserId, String>) {
    let Some(member) = member.filter(|event| event["type"] == "m.room.member") else { return };
    let user = member["state_key"].as_str().and_then(|id| UserId::parse(id).ok());
    let name = member["content"]["displayname"].as_str();
    if let (Some(user), Some(name)) = (user, name) {
        names.insert(user, name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use matrix_sdk::ruma::serde::Raw;
    use serde_json::json;
    use wardroom::Timestamp;

    use super::*;

    fn event(id: &str, second: i64) -> Event {
        let json = json!({ "type": "m.room.message", "event_id": id, "sender": "@bob:x",
                           "origin_server_ts": second * 1000, "content": { "msgtype": "m.text", "body": "x" } });
        Event::from(Raw::from_json_string(json.to_string()).expect("an object is JSON"))
    }

    fn mark(event: Option<&str>) -> Position {
        Position { event: event.map(ToOwned::to_owned), at: Timestamp::from_second(1_000_000).expect("a time") }
    }

    #[test]
    fn the_marks_event_stops_the_reading_whatever_the_clocks_say() {
        let mark = mark(Some("$m:x"));
        let stop = Stop::Mark(&mark);
        assert!(at_mark(&event("$m:x", 5), &stop));
        assert!(!at_mark(&event("$n:x", 999_999), &stop));
        assert!(!is_behind(&event("$n:x", 999_800), &stop, SKEW), "a clock that is three minutes slow");
        assert!(is_behind(&event("$n:x", 990_000), &stop, SKEW), "what lies hours behind");
    }

    #[test]
    fn a_server_whose_clock_is_a_day_slow_loses_nothing() {
        let mark = mark(Some("$m:x"));
        let stop = Stop::Mark(&mark);
        let slow = event("$n:x", 1_000_000 - 24 * 60 * 60);
        assert!(!is_behind(&slow, &stop, FAR), "its page is read on");
        let events = || vec![(slow.clone(), is_behind(&slow, &stop, SKEW))];
        assert_eq!(taken(events(), has_event(&stop)).len(), 1, "the mark's event was found behind it");
        assert!(taken(events(), false).is_empty(), "without the mark's event only clocks are left");
    }

    #[test]
    fn what_only_the_sync_brought_comes_first_and_nothing_twice() {
        let found = Found { events: vec![event("$b:x", 2), event("$c:x", 3)], names: BTreeMap::new() };
        let all = found.with_late_ones(vec![event("$late:x", 9), event("$c:x", 3)]);
        let ids: Vec<String> =
            all.events.iter().filter_map(|event| Some(convert::id_and_time(&event.raw)?.0.to_string())).collect();
        assert_eq!(ids, ["$late:x", "$b:x", "$c:x"]);
    }

    #[test]
    fn a_mark_without_an_event_is_a_moment() {
        let mark = mark(None);
        let stop = Stop::Mark(&mark);
        assert!(is_behind(&event("$n:x", 999_999), &stop, SKEW));
        assert!(!is_behind(&event("$n:x", 1_000_000), &stop, SKEW));
        assert!(!has_event(&stop), "and its clock counts however the reading ends");
    }
}
