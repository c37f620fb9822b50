//! Counters that are reached on every command and every call, kept at hand.
//!
//! Invariant: they belong to one engine, and are made after its process installed a recorder.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use metrics::Counter;

use super::metric::Label;

/// The counters of commands.
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
    /// This became of a command.
    pub(crate) fn count(&self, became: CommandOutcome) {
        if let Some(at) = CommandOutcome::ALL.iter().position(|known| *known == became) {
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
    // By the call's name.
    counters: HashMap<Arc<str>, [OnceLock<Counter>; Decision::ALL.len()]>,
}

impl Calls {
    /// Those of a plugin that can make these calls.
    pub(crate) fn of(plugin: Arc<str>, calls: impl Iterator<Item = Arc<str>>) -> Self {
        Self { plugin, counters: calls.map(|call| (call, Default::default())).collect() }
    }

    /// A call was authorized or refused.
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

/// What becomes of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandOutcome {
    /// A query or a command of the host was answered.
    Answered,
    /// An order to the host was carried out.
    CarriedOut,
    /// A job began.
    TriggerSource,
    /// It was no command.
    Malformed,
    /// It was not for this person.
    Denied,
    /// It came too late.
    Late,
    /// It could not be done now.
    Unable,
}

impl CommandOutcome {
    const ALL: [Self; 7] = [
        Self::Answered,
        Self::CarriedOut,
        Self::TriggerSource,
        Self::Malformed,
        Self::Denied,
        Self::Late,
        Self::Unable,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::CarriedOut => "carried-out",
            Self::TriggerSource => "started",
            Self::Malformed => "malformed",
            Self::Denied => "denied",
            Self::Late => "late",
            Self::Unable => "unable",
        }
    }
}
