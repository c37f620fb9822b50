//! Counters of commands and host calls. The host updates these counters often, so it registers each counter only once
//! and then keeps it.
//!
//! Invariant: an engine creates its counters after the process has installed a metrics recorder.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use metrics::Counter;

pub(crate) struct Commands([Counter; CommandOutcome::ALL.len()]);

impl Default for Commands {
    fn default() -> Self {
        Self(CommandOutcome::ALL.map(|outcome| super::table::COMMANDS.counter([("outcome", outcome.as_str().into())])))
    }
}

impl Commands {
    /// Counts one command with this outcome.
    pub(crate) fn count(&self, outcome: CommandOutcome) {
        if let Some(at) = CommandOutcome::ALL.iter().position(|known| *known == outcome) {
            self.0[at].increment(1);
        }
    }
}

/// The host's decision about a host call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The rules allowed the call.
    Allowed,
    /// A rule denied the call, or no rule allowed the call.
    Denied,
    /// The host rejected a call that the rules allowed, because another job holds the deployment lock or the job was
    /// cancelled.
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

/// The counters of the host calls of one plugin. Each counter is registered when it is first used.
pub(crate) struct Calls {
    plugin: Arc<str>,
    // The keys are names of host calls, such as `pipelines.trigger`.
    counters: HashMap<Arc<str>, [OnceLock<Counter>; Decision::ALL.len()]>,
}

impl Calls {
    pub(crate) fn of(plugin: Arc<str>, calls: impl Iterator<Item = Arc<str>>) -> Self {
        Self { plugin, counters: calls.map(|call| (call, Default::default())).collect() }
    }

    /// Counts one decision about the host call `call`, for example `pipelines.trigger`. Ignores an unknown host call.
    pub(crate) fn count(&self, call: &str, decision: Decision) {
        let Some((name, counters)) = self.counters.get_key_value(call) else { return };
        let Some(at) = Decision::ALL.iter().position(|known| *known == decision) else { return };
        let counter = counters[at].get_or_init(|| {
            super::table::CALLS.counter([
                ("plugin", self.plugin.clone().into()),
                ("call", name.clone().into()),
                ("decision", decision.as_str().into()),
            ])
        });
        counter.increment(1);
    }
}

/// The outcome of a command, for the metric `wardroom_commands_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandOutcome {
    /// The host answered a query or one of its own commands.
    Answered,
    /// A command of the host itself, such as `cancel`, made a change.
    CarriedOut,
    /// The command created a job.
    Started,
    /// The text was not a valid command.
    Malformed,
    /// The sender may not run the command.
    Denied,
    /// The command reached the host so late that the host did not run it.
    Late,
    /// The host could not handle the command because of an error, for example because the database is unavailable.
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
