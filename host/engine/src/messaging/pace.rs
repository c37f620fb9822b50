//! The rate limit of one account: which messages the network accepts now, and the order in which messages are sent
//! after the network has rejected one.
//!
//! Invariant: a message for which people wait is never delayed for a status card or an acknowledgement.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::adapter::RateLimit;

/// The number of messages that the network must accept beyond the assumed limit, before the account counts as
/// unlimited.
const OVERDRAFT: f64 = 2.0;
/// The time for which a job's closing message is reserved in the limit. A job that lasts longer has more time than the
/// limit needs to recover.
const RESERVATION: Duration = Duration::from_secs(60);
/// The time without cards and acknowledgements after a rejection, on a network whose limit is unknown.
const QUIET_TIME: Duration = Duration::from_secs(30);

/// How long a message can wait behind other messages of the account. The order of the variants is the order of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// A message for which people wait: an answer, an approval message or a closing message.
    Needed,
    /// The card of a job that waits or has ended.
    Status,
    /// A card that shows the progress of a running job. Sent only while the limit has room.
    Progress,
}

/// A message that can be left out while the limit of the account has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OptionalMessage {
    /// The reaction that acknowledges a command. The bot can show instead that it is typing.
    Acknowledgement,
    /// The card of a running job. Sent only some time after the command, when it is known whether other people have
    /// started jobs meanwhile.
    Progress,
}

impl OptionalMessage {
    /// Returns the share of an account's burst that is kept for messages for which people wait. The message is sent only
    /// while more than this share is free.
    fn kept_share(self) -> f64 {
        match self {
            Self::Acknowledgement => 0.8,
            Self::Progress => 0.7,
        }
    }
}

/// The estimated limit of one account, and the turns of its messages while the network limits the account.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    budget: Option<Budget>,
    /// Set while the network limits the account: the time before which nothing is sent.
    paused_until: Option<Instant>,
    /// The time before which no message is sent that can be left out.
    quiet_until: Option<Instant>,
    /// The tasks that wait for their turn while the account is limited.
    waiting: BTreeSet<(Urgency, u64)>,
    next: u64,
    /// Whether a task has the turn.
    sending: bool,
    /// The number of messages that are being sent.
    in_flight: u32,
    /// The jobs whose closing messages are reserved, with the start of the reservation.
    reserved: HashMap<String, Instant>,
}

/// A token bucket: `tokens` messages can be sent at once, and `limit.per_second` more become available each second.
#[derive(Debug)]
struct Budget {
    limit: RateLimit,
    tokens: f64,
    at: Instant,
    /// Whether the network accepted more messages than the limit permits.
    lifted: bool,
}

impl Budget {
    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.limit.per_second).min(self.limit.burst);
        self.at = now;
    }
}

/// The right to send one message.
pub(crate) struct Permit<'p> {
    pace: &'p Pace,
    exclusive: bool,
}

/// A message that is being sent. It counts for the limit until the value is dropped.
pub(crate) struct InFlight<'p>(&'p Pace);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.state.lock().in_flight -= 1;
    }
}

/// An entry of a task that waits for its turn. Removed when the value is dropped.
struct Waiter<'p> {
    pace: &'p Pace,
    key: (Urgency, u64),
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.pace.state.lock().waiting.remove(&self.key);
        self.pace.changed.notify_waiters();
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.exclusive {
            let mut state = self.pace.state.lock();
            state.sending = false;
            // Nobody waits any more, so the limit has passed.
            if state.waiting.is_empty() && state.paused_until.is_some_and(|until| until <= Instant::now()) {
                state.paused_until = None;
            }
            drop(state);
            self.pace.changed.notify_waiters();
        }
    }
}

impl Pace {
    /// Creates the pace of an account. `limit` is the assumed limit of the network, if it is known.
    pub(crate) fn new(limit: Option<RateLimit>) -> Self {
        let budget = limit.map(|limit| Budget { limit, tokens: limit.burst, at: Instant::now(), lifted: false });
        Self { state: Mutex::new(State { budget, ..State::default() }), changed: Notify::new() }
    }

    /// Waits until a message of this urgency can be sent. Returns at once while the network does not limit the account.
    /// While it does, one message is sent at a time, the most urgent one first.
    pub(crate) async fn permit(&self, urgency: Urgency) -> Permit<'_> {
        let mut waiter: Option<Waiter<'_>> = None;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let until = {
                let mut state = self.state.lock();
                let Some(until) = state.paused_until else {
                    drop(state);
                    return Permit { pace: self, exclusive: false };
                };
                let key = match &waiter {
                    Some(waiter) => waiter.key,
                    None => {
                        let key = (urgency, state.next);
                        state.next += 1;
                        state.waiting.insert(key);
                        waiter.insert(Waiter { pace: self, key }).key
                    }
                };
                if until <= Instant::now() && !state.sending && state.waiting.first() == Some(&key) {
                    state.sending = true;
                    drop(state);
                    drop(waiter);
                    return Permit { pace: self, exclusive: true };
                }
                until
            };
            if until > Instant::now() {
                tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(until.into()) => {}
                }
            } else {
                changed.await;
            }
        }
    }

    /// Records that a message is being sent.
    pub(crate) fn begin(&self) -> InFlight<'_> {
        self.state.lock().in_flight += 1;
        InFlight(self)
    }

    /// Records that the network accepted a message.
    pub(crate) fn accepted(&self) {
        self.state.lock().accepted(Instant::now());
    }

    /// Records that the network rejected a message, and accepts the next one after `pause`.
    pub(crate) fn limited(&self, pause: Duration) {
        self.state.lock().limited(pause, Instant::now());
        self.changed.notify_waiters();
    }

    /// Reserves the closing message of a job that starts, so that acknowledgements and cards do not use the part of the
    /// limit that the closing message needs.
    pub(crate) fn reserve(&self, job: &str) {
        self.state.lock().reserve(job, Instant::now());
    }

    /// Releases the reservation of a job, because the job waits or its closing message was sent.
    pub(crate) fn release(&self, job: &str) {
        self.state.lock().reserved.remove(job);
    }

    /// Returns whether a message that can be left out can be sent now.
    pub(crate) fn has_room(&self, message: OptionalMessage) -> bool {
        self.state.lock().has_room(message, Instant::now())
    }
}

impl State {
    fn accepted(&mut self, now: Instant) {
        if let Some(budget) = &mut self.budget {
            budget.refill(now);
            budget.tokens -= 1.0;
            budget.lifted |= budget.tokens <= -OVERDRAFT;
        }
    }

    fn limited(&mut self, pause: Duration, now: Instant) {
        self.paused_until = Some(self.paused_until.unwrap_or(now).max(now + pause));
        self.quiet_until = Some(now + pause.max(QUIET_TIME));
        if let Some(budget) = &mut self.budget {
            budget.refill(now);
            // One message is available after the pause.
            budget.tokens = (1.0 - pause.as_secs_f64() * budget.limit.per_second).clamp(0.0, 1.0);
            budget.lifted = false;
        }
    }

    fn reserve(&mut self, job: &str, now: Instant) {
        if self.budget.is_some() {
            self.reserved.retain(|_, since| now.saturating_duration_since(*since) < RESERVATION);
            self.reserved.insert(job.to_owned(), now);
        }
    }

    fn has_room(&mut self, message: OptionalMessage, now: Instant) -> bool {
        let reserved = self.reserved.values().filter(|since| now.saturating_duration_since(**since) < RESERVATION);
        let reserved = f64::from(u32::try_from(reserved.count()).unwrap_or(u32::MAX)) + f64::from(self.in_flight);
        match &mut self.budget {
            Some(Budget { lifted: true, .. }) => true,
            Some(budget) => {
                budget.refill(now);
                budget.tokens - reserved > message.kept_share() * budget.limit.burst
            }
            None => self.quiet_until.is_none_or(|until| until <= now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        OptionalMessage::{Acknowledgement, Progress},
        *,
    };

    const SYNAPSE: RateLimit = RateLimit { burst: 10.0, per_second: 0.2 };

    /// An account of a homeserver with the limit [`SYNAPSE`], which really accepts as many messages as the limit says.
    struct Account {
        pace: Pace,
        homeserver: Budget,
        start: Instant,
        delays: Vec<f64>,
    }

    impl Account {
        fn new() -> Self {
            let pace = Pace::new(Some(SYNAPSE));
            let start = Instant::now();
            let homeserver = Budget { limit: SYNAPSE, tokens: SYNAPSE.burst, at: start, lifted: false };
            Self { pace, homeserver, start, delays: Vec::new() }
        }

        fn at(&self, seconds: f64) -> Instant {
            self.start + Duration::from_secs_f64(seconds)
        }

        /// Starts a job, with its acknowledgement if the limit has room. Returns whether it was acknowledged.
        fn start(&mut self, job: &str, seconds: f64) -> bool {
            let room = self.send_optional(Acknowledgement, seconds);
            self.pace.state.lock().reserve(job, self.at(seconds));
            room
        }

        /// Sends a message that can be left out, if the limit has room. Returns whether it was sent.
        fn send_optional(&mut self, message: OptionalMessage, seconds: f64) -> bool {
            let room = self.pace.state.lock().has_room(message, self.at(seconds));
            if room {
                assert_eq!(self.send(seconds), 0.0, "a message that can be left out is never delayed");
            }
            room
        }

        /// Sends a message. Returns the time for which the homeserver delays it, in seconds.
        fn send(&mut self, seconds: f64) -> f64 {
            let mut now = self.at(seconds);
            self.homeserver.refill(now);
            let missing = (1.0 - self.homeserver.tokens).max(0.0) / SYNAPSE.per_second;
            if missing > 0.0 {
                self.pace.state.lock().limited(Duration::from_secs_f64(missing), now);
                now += Duration::from_secs_f64(missing);
                self.homeserver.refill(now);
            }
            self.homeserver.tokens -= 1.0;
            self.pace.state.lock().accepted(now);
            missing
        }

        fn close(&mut self, job: &str, seconds: f64) {
            let delay = self.send(seconds);
            self.delays.push(delay);
            self.pace.release(job);
        }
    }

    #[test]
    fn ten_actions_within_ten_seconds_are_answered_within_five() {
        let mut spread = Account::new();
        // Each second a job starts, which has a card after two seconds and ends after three.
        for second in 0..13_i32 {
            let (seconds, is_job) = (f64::from(second), |job: i32| (0..10).contains(&job));
            if is_job(second) {
                spread.start(&second.to_string(), seconds);
            }
            if is_job(second - 2) {
                spread.send_optional(Progress, seconds);
            }
            if is_job(second - 3) {
                spread.close(&(second - 3).to_string(), seconds);
            }
        }
        assert_eq!(spread.delays.len(), 10);
        assert!(spread.delays.iter().all(|delay| *delay < 5.0), "{:?}", spread.delays);
        let mut together = Account::new();
        let acknowledged = (0..10).filter(|job| together.start(&job.to_string(), 0.0)).count();
        assert_eq!(acknowledged, 1, "the other messages are kept for the closing messages");
        (0..10).for_each(|job| together.close(&job.to_string(), 1.0));
        assert!(together.delays.iter().all(|delay| *delay < 5.0), "{:?}", together.delays);
    }

    #[test]
    fn an_action_after_a_query_is_acknowledged_and_has_a_card() {
        let mut account = Account::new();
        account.send(0.0);
        assert!(account.start("a", 1.0));
        assert!(account.send_optional(Progress, 3.0));
        assert!(account.send_optional(Progress, 8.0), "the stage changes");
        account.close("a", 9.0);
        assert_eq!(account.delays, [0.0]);
    }

    #[test]
    fn each_action_of_an_account_without_a_limit_is_acknowledged() {
        let pace = Pace::new(Some(SYNAPSE));
        let now = Instant::now();
        let mut state = pace.state.lock();
        (0..12).for_each(|_| state.accepted(now));
        assert!(state.has_room(Acknowledgement, now), "the homeserver has accepted more than its usual limit");
        state.limited(Duration::from_secs(5), now);
        assert!(!state.has_room(Acknowledgement, now + Duration::from_secs(30)));
        assert!(state.has_room(Acknowledgement, now + Duration::from_secs(41)), "the limit has recovered");
        let mut unknown = State::default();
        assert!(unknown.has_room(Acknowledgement, now));
        unknown.limited(Duration::from_secs(1), now);
        assert!(!unknown.has_room(Acknowledgement, now + Duration::from_secs(29)));
        assert!(unknown.has_room(Acknowledgement, now + QUIET_TIME));
    }

    #[test]
    fn a_message_that_is_being_sent_counts_for_the_limit() {
        let pace = Pace::new(Some(SYNAPSE));
        let sending = [pace.begin(), pace.begin()];
        assert!(!pace.has_room(Acknowledgement));
        drop(sending);
        assert!(pace.has_room(Acknowledgement));
    }

    #[test]
    fn a_job_that_lasts_does_not_reserve_the_limit_for_ever() {
        let mut state = Pace::new(Some(SYNAPSE)).state.into_inner();
        let now = Instant::now();
        state.reserve("a", now);
        state.reserve("b", now);
        assert!(!state.has_room(Acknowledgement, now));
        assert!(state.has_room(Acknowledgement, now + RESERVATION));
    }

    #[tokio::test]
    async fn a_turn_that_is_free_at_once_is_given_back() {
        let pace = Pace::new(None);
        for _ in 0..3 {
            pace.limited(Duration::ZERO);
            assert!(pace.permit(Urgency::Needed).await.exclusive);
            assert!(!pace.permit(Urgency::Status).await.exclusive, "nobody waits, so the limit has passed");
            assert!(pace.state.lock().waiting.is_empty());
        }
    }

    #[tokio::test]
    async fn while_the_account_is_limited_one_message_is_sent_at_a_time_the_most_urgent_first() {
        let pace = std::sync::Arc::new(Pace::new(None));
        pace.limited(Duration::from_millis(50));
        let mut tasks = tokio::task::JoinSet::new();
        let (sent, mut order) = tokio::sync::mpsc::unbounded_channel();
        for urgency in [Urgency::Progress, Urgency::Needed, Urgency::Status, Urgency::Needed] {
            let (pace, sent) = (pace.clone(), sent.clone());
            tasks.spawn(async move {
                let permit = pace.permit(urgency).await;
                assert!(permit.exclusive);
                sent.send(urgency).expect("the test receives");
                tokio::task::yield_now().await;
            });
        }
        let mut seen = Vec::new();
        while seen.len() < 4 {
            seen.extend(order.recv().await);
        }
        assert_eq!(seen, [Urgency::Needed, Urgency::Needed, Urgency::Status, Urgency::Progress]);
        tasks.join_all().await;
        assert!(!pace.permit(Urgency::Progress).await.exclusive, "the limit has passed");
    }
}
