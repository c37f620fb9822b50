//! Counters that are reached on every command and every call, kept at hand.
//!
//! Invariant: they belong to one engine, and are made after its process installed a recorder.

use std::sync::{Arc, OnceLock};

use metrics::Counter;

use super::metric::Label;
use crate::hostcall::TABLE as CALLS;

/// The counters of commands.
pub(crate) struct Commands([Counter; Became::ALL.len()]);

impl Default for Commands {
    fn default() -> Self {
        Self(Became::ALL.map(|became| super::table::COMMANDS.counter([(Label::Outcome, became.as_str().into())])))
    }
}

impl Commands {
    /// This became of a command.
    pub(crate) fn count(&self, became: Became) {
        if let Some(at) = Became::ALL.iter().position(|known| *known == became) {
            self.0[at].increment(1);
        }
    }
}

/// What the host said to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It passed.
    Allowed,
    /// A rule did not allow it.
    Denied,
    /// Its place was taken, or its job was called off.
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

/// The counters of one plugin's calls, each made when it is first needed.
pub(crate) struct Calls {
    plugin: Arc<str>,
    // A row for each call of the contract.
    counters: Vec<[OnceLock<Counter>; Decision::ALL.len()]>,
}

impl Calls {
    /// Those of a plugin.
    pub(crate) fn of(plugin: Arc<str>) -> Self {
        Self { plugin, counters: CALLS.iter().map(|_| Default::default()).collect() }
    }

    /// A call, by its row in the table of calls, was judged.
    pub(crate) fn count(&self, call: usize, decision: Decision) {
        let Some(at) = Decision::ALL.iter().position(|known| *known == decision) else { return };
        let counter = self.counters[call][at].get_or_init(|| {
            super::table::CALLS.counter([
                (Label::Plugin, self.plugin.clone().into()),
                (Label::Call, CALLS[call].name.into()),
                (Label::Decision, decision.as_str().into()),
            ])
        });
        counter.increment(1);
    }
}

/// What becomes of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Became {
    /// A query or a command of the host was answered.
    Answered,
    /// An order to the host was carried out.
    CarriedOut,
    /// A job began.
    Started,
    /// It was no command.
    Malformed,
    /// It was not for this person.
    Denied,
    /// It came too late.
    Late,
    /// It could not be done now.
    Unable,
}

impl Became {
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
