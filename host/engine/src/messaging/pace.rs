//! The rate limit of one account: which messages the network accepts now, and the order in which messages are sent
//! after the network has rejected one.
//!
//! Invariant: a message for which people wait is never delayed for a status card or an acknowledgement.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::adapter::RateLimit;

/// The share of an account's burst that is kept for messages for which people wait. Messages that can be left out are
/// sent only while more than this share is free.
const RESERVED_SHARE: f64 = 0.8;
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

/// The place of a waiting task among the others. Removed when the value is dropped.
struct Place<'p> {
    pace: &'p Pace,
    key: (Urgency, u64),
}

impl Drop for Place<'_> {
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
        let mut place: Option<Place<'_>> = None;
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
                let key = match &place {
                    Some(place) => place.key,
                    None => {
                        let key = (urgency, state.next);
                        state.next += 1;
                        state.waiting.insert(key);
                        key
                    }
                };
                if until <= Instant::now() && !state.sending && state.waiting.first() == Some(&key) {
                    state.sending = true;
                    drop(state);
                    drop(place);
                    return Permit { pace: self, exclusive: true };
                }
                place.get_or_insert(Place { pace: self, key });
                until
            };
            if until > Instant::now() {
                tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(until) => {}
                }
            } else {
                changed.await;
            }
        }
    }

    /// Records that the network accepted a message.
    pub(crate) fn accepted(&self) {
        if let Some(budget) = &mut self.state.lock().budget {
            budget.refill(Instant::now());
            budget.tokens -= 1.0;
            budget.lifted |= budget.tokens <= -OVERDRAFT;
        }
    }

    /// Records that the network rejected a message, and accepts the next one after `pause`.
    pub(crate) fn limited(&self, pause: Duration) {
        let mut state = self.state.lock();
        let now = Instant::now();
        state.paused_until = Some(state.paused_until.unwrap_or(now).max(now + pause));
        state.quiet_until = Some(now + pause.max(QUIET_TIME));
        if let Some(budget) = &mut state.budget {
            budget.refill(now);
            budget.tokens = budget.tokens.min(0.0);
            budget.lifted = false;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Reserves the closing message of a job that starts, so that acknowledgements and cards do not use the part of the
    /// limit that the closing message needs.
    pub(crate) fn reserve(&self, job: &str) {
        let mut state = self.state.lock();
        if state.budget.is_some() {
            let now = Instant::now();
            state.reserved.retain(|_, since| now.saturating_duration_since(*since) < RESERVATION);
            state.reserved.insert(job.to_owned(), now);
        }
    }

    /// Releases the reservation of a job, because the job waits or its closing message was sent.
    pub(crate) fn release(&self, job: &str) {
        self.state.lock().reserved.remove(job);
    }

    /// Returns whether a message that can be left out can be sent now. Otherwise returns the time after which to ask
    /// again.
    pub(crate) fn has_room(&self) -> Result<(), Duration> {
        /// The interval between two checks of a limit that has no room.
        const AGAIN: Duration = Duration::from_secs(1);
        let mut state = self.state.lock();
        let now = Instant::now();
        let reserved = state.reserved.values().filter(|since| now.saturating_duration_since(**since) < RESERVATION);
        let reserved = u32::try_from(reserved.count()).unwrap_or(u32::MAX);
        let is_quiet = state.quiet_until.is_some_and(|until| now < until);
        match &mut state.budget {
            Some(Budget { lifted: true, .. }) => Ok(()),
            Some(budget) => {
                budget.refill(now);
                let free = budget.tokens - f64::from(reserved);
                if free > RESERVED_SHARE * budget.limit.burst { Ok(()) } else { Err(AGAIN) }
            }
            None if is_quiet => Err(AGAIN),
            None => Ok(()),
        }
    }

    /// Returns whether the network has limited the account since the host started.
    pub(crate) fn was_limited(&self) -> bool {
        self.state.lock().quiet_until.is_some()
    }
}
