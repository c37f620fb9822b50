//! The channels where something may be missing, and when each of them is tried again.
//!
//! Architecture Invariant: a channel leaves this list when it was read back after the last time that it was put there, or when
//! we are out of it or have no business there; never because reading it failed. Each waits by itself, so that one that cannot be
//! read does not hold up the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use wardroom_account::Backoff;

use crate::api::Post;

/// Channels to be read back to their marks.
#[derive(Debug, Default)]
pub(crate) struct Behind(BTreeMap<String, Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// What was posted there meanwhile, in the order in which it came.
    came: Vec<Post>,
    /// Posts that were removed and reactions that were taken away while it was read.
    gone: BTreeSet<String>,
    backoff: Backoff,
    /// Not before this; `None` is at once.
    due: Option<Instant>,
    told: bool,
    /// Whether it is being read now.
    reading: bool,
    /// Whether it was put here again while it was being read.
    again: bool,
    /// Whether it was tried since it was put here.
    tried: bool,
}

impl Behind {
    /// Something may be missing in a channel, from now on. One that waits for its time waits on.
    pub(crate) fn add(&mut self, channel: &str) {
        let waiting = self.0.entry(channel.to_owned()).or_default();
        waiting.again = waiting.reading;
        waiting.tried = false;
    }

    /// The same, at once: the connection is a new one.
    pub(crate) fn add_now(&mut self, channel: &str) {
        self.add(channel);
        self.go_on_at_once(channel);
    }

    fn go_on_at_once(&mut self, channel: &str) {
        if let Some(waiting) = self.0.get_mut(channel) {
            waiting.due = None;
        }
    }

    /// Something there was taken back. While a channel is behind, that is read back with it: what was read before is none.
    /// Gives whether it is.
    pub(crate) fn take_back(&mut self, channel: &str, what: String) -> bool {
        let is_behind = self.contains(channel);
        if is_behind {
            self.add(channel);
        }
        if let Some(waiting) = self.0.get_mut(channel) {
            waiting.came.retain(|post| post.id != what);
            waiting.gone.insert(what);
        }
        is_behind
    }

    /// Whether something there was taken back while it was read.
    pub(crate) fn is_gone(&self, channel: &str, what: &str) -> bool {
        self.0.get(channel).is_some_and(|waiting| waiting.gone.contains(what))
    }

    /// Keeps a post until its channel was read back.
    pub(crate) fn push(&mut self, post: Post) {
        self.0.entry(post.channel.clone()).or_default().came.push(post);
    }

    /// Who wrote what is kept until a channel was read back.
    pub(crate) fn authors(&self, channel: &str) -> Vec<String> {
        self.0.get(channel).into_iter().flat_map(|waiting| waiting.came.iter().map(|post| post.user.clone())).collect()
    }

    /// What is kept until a channel was read back.
    pub(crate) fn came(&self, channel: &str) -> &[Post] {
        self.0.get(channel).map_or(&[], |waiting| &waiting.came)
    }

    /// Whether a channel is behind.
    pub(crate) fn contains(&self, channel: &str) -> bool {
        self.0.contains_key(channel)
    }

    /// Nothing is wanted of a channel.
    pub(crate) fn remove(&mut self, channel: &str) {
        self.0.remove(channel);
    }

    /// How many are being read now.
    pub(crate) fn reading(&self) -> usize {
        self.0.values().filter(|waiting| waiting.reading).count()
    }

    /// The channels to be tried now.
    pub(crate) fn due(&self, now: Instant) -> Vec<String> {
        let due = |waiting: &Waiting| !waiting.reading && waiting.due.is_none_or(|due| due <= now);
        self.0.iter().filter(|(_, waiting)| due(waiting)).map(|(channel, _)| channel.clone()).collect()
    }

    /// When the next one is to be tried that is not to be tried now.
    pub(crate) fn next_due(&self, now: Instant) -> Option<Instant> {
        self.0
            .values()
            .filter(|waiting| !waiting.reading)
            .filter_map(|waiting| waiting.due)
            .filter(|due| *due > now)
            .min()
    }

    /// Whether each was tried at least once since it was put here.
    pub(crate) fn all_tried(&self) -> bool {
        self.0.values().all(|waiting| waiting.tried)
    }

    /// A channel is being read from now on.
    pub(crate) fn begin(&mut self, channel: &str) {
        if let Some(waiting) = self.0.get_mut(channel) {
            (waiting.reading, waiting.again) = (true, false);
            waiting.gone.clear();
        }
    }

    /// It was read; gives what was posted there meanwhile. It stays here where it was put here again since.
    pub(crate) fn read(&mut self, channel: &str) -> Vec<Post> {
        let Some(waiting) = self.0.get_mut(channel) else { return Vec::new() };
        let came = std::mem::take(&mut waiting.came);
        match waiting.again {
            true => *waiting = Waiting::default(),
            false => drop(self.0.remove(channel)),
        }
        came
    }

    /// What had to be known before it could be read is known now: it is tried at once.
    pub(crate) fn go_on(&mut self, channel: &str) {
        if let Some(waiting) = self.0.get_mut(channel) {
            (waiting.reading, waiting.due) = (false, None);
        }
    }

    /// It did not work: the channel is tried again after a pause that grows, or after as long as the server asked for if
    /// that is longer. Gives whether this is the first time, which is the one to be told.
    pub(crate) fn failed(&mut self, channel: &str, now: Instant, asked: Option<Duration>) -> bool {
        let Some(waiting) = self.0.get_mut(channel) else { return false };
        (waiting.reading, waiting.tried) = (false, true);
        waiting.due = Some(now + waiting.backoff.next_asked(asked));
        !std::mem::replace(&mut waiting.told, true)
    }

    /// The server wants no requests for so long: no channel is tried before.
    pub(crate) fn rest(&mut self, now: Instant, asked: Duration) {
        for waiting in self.0.values_mut() {
            waiting.due = waiting.due.max(Some(now + asked));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn post(id: &str) -> Post {
        Post::read(&json!({ "id": id, "channel_id": "a" })).expect("a post")
    }

    #[test]
    fn a_channel_that_fails_keeps_its_posts_and_waits_longer_each_time() {
        let mut behind = Behind::default();
        behind.add("a");
        behind.push(post("1"));
        let mut now = Instant::now();
        assert_eq!(behind.due(now), ["a"]);
        assert!(!behind.all_tried() && behind.failed("a", now, None), "told the first time");
        assert!(behind.all_tried());
        let first = behind.next_due(now).expect("behind") - now;
        for _ in 0..8 {
            assert!(behind.due(now).is_empty(), "no busy loop");
            now = behind.next_due(now).expect("behind");
            assert_eq!(behind.due(now), ["a"]);
            assert!(!behind.failed("a", now, None), "and not again");
        }
        assert!(behind.next_due(now).expect("behind") - now > first * 10);
        behind.push(post("2"));
        assert!(behind.due(now).is_empty(), "what comes does not end the pause");
        assert_eq!(behind.read("a").len(), 2);
        assert!(!behind.contains("a"));
    }

    #[test]
    fn one_that_is_put_here_while_it_is_read_is_read_again() {
        let mut behind = Behind::default();
        behind.add("a");
        behind.begin("a");
        assert!(behind.due(Instant::now()).is_empty());
        behind.add("a");
        behind.push(post("1"));
        assert_eq!(behind.read("a").len(), 1);
        assert_eq!(behind.due(Instant::now()), ["a"]);
        behind.begin("a");
        behind.push(post("2"));
        assert_eq!(behind.read("a").len(), 1);
        assert!(!behind.contains("a"), "what comes meanwhile is no reason");
    }

    #[test]
    fn one_that_fails_does_not_hold_up_another_and_a_limit_holds_all() {
        let mut behind = Behind::default();
        let now = Instant::now();
        behind.add("a");
        behind.failed("a", now, Some(Duration::from_secs(60)));
        behind.add("b");
        assert_eq!(behind.due(now), ["b"]);
        behind.rest(now, Duration::from_secs(5));
        assert!(behind.due(now + Duration::from_secs(4)).is_empty());
        assert_eq!(behind.due(now + Duration::from_secs(5)), ["b"]);
        assert!(behind.take_back("b", "x".to_owned()));
        behind.remove("a");
        assert_eq!(behind.due(now + Duration::from_secs(99)), ["b"]);
    }
}
