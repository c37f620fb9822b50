//! Counters that every command and every call increments, registered once.
//!
//! Invariant: they belong to one engine, and are created after the process installed a recorder.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use metrics::Counter;

use super::metric::Label;

pub(crate) struct Commands([Counter; CommandOutcome::ALL.len()]);

impl Default for Commands {
    fn default() -> Self {
        Self(
            CommandOutcome::ALL
                .map(|became| super::table::COMMANDS.counter([(Label::Outcome, became.as_str().into())])),
        )
    }
}

impl Commands {
    /// Counts a command with this outcome.
    pub(crate) fn count(&self, became: CommandOutcome) {
        if let Some(at) = CommandOutcome::ALL.iter().position(|known| *known == became) {
            self.0[at].increment(1);
        }
    }
}

/// The decision about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Allowed by the rules.
    Allowed,
    /// Denied by a rule.
    Denied,
    /// Rejected because its deployment lock is held, or its job was cancelled.
    TurnedAway,
}

impl Decision {
    const ALL: [Self; 3] = [Self::Allowed, Self::Denied, Self::TurnedAway];

    fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::TurnedAway => "turned-away",
        }
    }
}

/// The counters of one plugin's calls, each registered at its first use.
pub(crate) struct Calls {
    plugin: Arc<str>,
    // By the call's name.
    counters: HashMap<Arc<str>, [OnceLock<Counter>; Decision::ALL.len()]>,
}

impl Calls {
    /// Creates the counters of a plugin for these calls.
    pub(crate) fn of(plugin: Arc<str>, calls: impl Iterator<Item = Arc<str>>) -> Self {
        Self { plugin, counters: calls.map(|call| (call, Default::default())).collect() }
    }

    /// Counts a decision about a call.
    pub(crate) fn count(&self, call: &str, decision: Decision) {
        let Some((name, counters)) = self.counters.get_key_value(call) else { return };
        let Some(at) = Decision::ALL.iter().position(|known| *known == decision) else { return };
        let counter = counters[at].get_or_init(|| {
            super::table::CALLS.counter([
                (Label::Plugin, self.plugin.clone().into()),
                (Label::Call, name.clone().into()),
                (Label::Decision, decision.as_str().into()),
            ])
        });
        counter.increment(1);
    }
}

/// The outcome of a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandOutcome {
    /// A query or a command of the host was answered.
    Answered,
    /// A command of the host changed something, for example `cancel`.
    CarriedOut,
    /// A job was opened.
    Started,
    /// The line was not a valid command.
    Malformed,
    /// The sender has no right to run it.
    Denied,
    /// It was received too late.
    Late,
    /// It could not be handled, for example because the store was unavailable.
    Unable,
}

impl CommandOutcome {
    const ALL: [Self; 7] =
        [Self::Answered, Self::CarriedOut, Self::Started, Self::Malformed, Self::Denied, Self::Late, Self::Unable];

    fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::CarriedOut => "carried-out",
            Self::Started => "started",
            Self::Malformed => "malformed",
            Self::Denied => "denied",
            Self::Late => "late",
            Self::Unable => "unable",
        }
    }
}
