//! What a guest can ask the host for: the table of all calls, and the one function that every call goes through.
//!
//! To add a call: its function in `wit/`, a type that implements [`HostCall`] in the folder of its
//! interface, and its row in [`TABLE`]. A function of the contract without a row fails a test.
//!
//! Architecture Invariant: `call::through` is the only way from a guest to an effect: check, do, record.

use futures_util::future::BoxFuture;
use wasmtime::component::Linker;

use super::{context::Shared, gate::{self, Recover, Recovered}, invocation::Invocation};
use crate::{model::{Attribute::{self, App, Environment, Key, Parameter, Person, Pipeline, Role, Version}, CallKind, EnvironmentFrom}, store::{Entry, JobRow}};

/// One host function.
pub struct Row {
    /// `interface.function`, as in rules, journal and reports.
    pub name: &'static str,
    /// What it can do.
    pub kind: CallKind,
    /// The attributes that a rule can match.
    pub attributes: &'static [Attribute],
    /// Where its environment comes from.
    pub environment: EnvironmentFrom,
    /// What it does, for reports.
    pub summary: &'static str,
    /// How an effect is recovered that a crash left without a result; `None` for what does not act.
    pub(crate) recovery: Option<Recovery>,
    register: fn(&mut Linker<Invocation>, usize) -> wasmtime::Result<()>,
}

/// How an effect is recovered that a crash left without a result.
pub(crate) struct Recovery {
    /// Asks whether it happened.
    pub(crate) recover: for<'a> fn(&'a Shared, &'a JobRow, &'a Entry) -> BoxFuture<'a, Recovered>,
    /// The answer where people say that it did.
    pub(crate) assumed: fn(&JobRow, &Entry) -> serde_json::Value,
}

impl Recovery {
    const fn of<R: Recover>() -> Self {
        Self { recover: R::recover, assumed: R::assumed }
    }
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Row {
    /// Defines this function, and no other, in a plugin's linker.
    pub(crate) fn register(&'static self, linker: &mut Linker<Invocation>) -> wasmtime::Result<()> {
        let index = TABLE.iter().position(|row| std::ptr::eq(row, self)).unwrap_or(usize::MAX);
        (self.register)(linker, index)
    }

    /// The interface's name in the contract.
    pub fn interface(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(interface, _)| interface)
    }

    /// Whether an effect of it takes the place that it touches. What is left for later takes its place when it begins, and
    /// rights can change while something is deployed.
    pub(crate) fn takes_place(&self) -> bool {
        self.kind == CallKind::Acts && !matches!(self.interface(), "jobs" | "access")
    }

    /// The function's name in its interface.
    pub fn function(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(_, function)| function)
    }
}

/// The package and version of the contract.
pub const CONTRACT: &str = "wardroom:plugin@0.1.0";

/// All host functions there are.
pub static TABLE: [Row; 20] = [
    Row {
        name: "access.grant",
        kind: CallKind::Acts,
        attributes: &[Person, Role, App, Environment],
        environment: EnvironmentFrom::Command,
        summary: "adds a person to a role on an app, as it was typed",
        recovery: Some(Recovery::of::<super::gate::WithItsResult>()),
        register: gate::register::<crate::hostcall::access::Grant>,
    },
    Row {
        name: "access.list",
        kind: CallKind::Reads,
        attributes: &[Person, App],
        environment: EnvironmentFrom::Command,
        summary: "reads what was granted in chat",
        recovery: None,
        register: gate::register::<crate::hostcall::access::List>,
    },
    Row {
        name: "access.revoke",
        kind: CallKind::Acts,
        attributes: &[Person, Role, App, Environment],
        environment: EnvironmentFrom::Command,
        summary: "takes back what was granted in chat, as it was typed",
        recovery: Some(Recovery::of::<super::gate::WithItsResult>()),
        register: gate::register::<crate::hostcall::access::Revoke>,
    },
    Row {
        name: "catalog.apps",
        kind: CallKind::Reads,
        attributes: &[App],
        environment: EnvironmentFrom::Command,
        summary: "reads the configured apps and how each is deployed",
        recovery: None,
        register: gate::register::<crate::hostcall::catalog::Apps>,
    },
    Row {
        name: "catalog.releases",
        kind: CallKind::Reads,
        attributes: &[App, Environment],
        environment: EnvironmentFrom::Target,
        summary: "reads which versions ran where, since when and by whom",
        recovery: None,
        register: gate::register::<crate::hostcall::catalog::Releases>,
    },
    Row {
        name: "chat.say",
        kind: CallKind::Notes,
        attributes: &[],
        environment: EnvironmentFrom::Command,
        summary: "says something in the job's own thread",
        recovery: None,
        register: gate::register::<crate::hostcall::chat::Say>,
    },
    Row {
        name: "chat.stage",
        kind: CallKind::Notes,
        attributes: &[],
        environment: EnvironmentFrom::Command,
        summary: "puts a word on the job's status card",
        recovery: None,
        register: gate::register::<crate::hostcall::chat::Stage>,
    },
    Row {
        name: "clock.after",
        kind: CallKind::Given,
        attributes: &[],
        environment: EnvironmentFrom::Nothing,
        summary: "sets a timer that can be waited for",
        recovery: None,
        register: gate::register::<crate::hostcall::clock::After>,
    },
    Row {
        name: "clock.now",
        kind: CallKind::Given,
        attributes: &[],
        environment: EnvironmentFrom::Nothing,
        summary: "reads the time",
        recovery: None,
        register: gate::register::<crate::hostcall::clock::Now>,
    },
    Row {
        name: "jobs.cancel",
        kind: CallKind::Acts,
        attributes: &[App, Environment],
        environment: EnvironmentFrom::Target,
        summary: "calls off work that the plugin left for later",
        recovery: Some(Recovery::of::<super::gate::WithItsResult>()),
        register: gate::register::<crate::hostcall::jobs::Cancel>,
    },
    Row {
        name: "jobs.later",
        kind: CallKind::Acts,
        attributes: &[App, Environment, Version, Parameter],
        environment: EnvironmentFrom::Target,
        summary: "leaves work of the plugin's own for later",
        recovery: Some(Recovery::of::<super::gate::WithItsResult>()),
        register: gate::register::<crate::hostcall::jobs::Later>,
    },
    Row {
        name: "jobs.list",
        kind: CallKind::Reads,
        attributes: &[],
        environment: EnvironmentFrom::Nothing,
        summary: "reads what the plugin left for later",
        recovery: None,
        register: gate::register::<crate::hostcall::jobs::List>,
    },
    Row {
        name: "log.write",
        kind: CallKind::Notes,
        attributes: &[],
        environment: EnvironmentFrom::Nothing,
        summary: "writes a line to the operator's log",
        recovery: None,
        register: gate::register::<crate::hostcall::log::Write>,
    },
    Row {
        name: "pipelines.trigger",
        kind: CallKind::Acts,
        attributes: &[Pipeline, App, Environment, Version, Parameter],
        environment: EnvironmentFrom::Target,
        summary: "starts a pipeline",
        recovery: Some(Recovery::of::<crate::hostcall::pipelines::Trigger>()),
        register: gate::register::<crate::hostcall::pipelines::Trigger>,
    },
    Row {
        name: "pipelines.wait",
        kind: CallKind::Waits,
        attributes: &[Pipeline, App, Environment],
        environment: EnvironmentFrom::Target,
        summary: "waits for runs of the same job, and for times",
        recovery: None,
        register: gate::register::<crate::hostcall::pipelines::Wait>,
    },
    Row {
        name: "settings.all",
        kind: CallKind::Given,
        attributes: &[],
        environment: EnvironmentFrom::Nothing,
        summary: "reads the plugin's own settings",
        recovery: None,
        register: gate::register::<crate::hostcall::settings::All>,
    },
    Row {
        name: "store.delete",
        kind: CallKind::Keeps,
        attributes: &[Key],
        environment: EnvironmentFrom::Nothing,
        summary: "forgets one of the plugin's own values",
        recovery: None,
        register: gate::register::<crate::hostcall::store::Delete>,
    },
    Row {
        name: "store.get",
        kind: CallKind::Reads,
        attributes: &[Key],
        environment: EnvironmentFrom::Nothing,
        summary: "reads one of the plugin's own values",
        recovery: None,
        register: gate::register::<crate::hostcall::store::Get>,
    },
    Row {
        name: "store.list",
        kind: CallKind::Reads,
        attributes: &[],
        environment: EnvironmentFrom::Nothing,
        summary: "reads the plugin's own values",
        recovery: None,
        register: gate::register::<crate::hostcall::store::List>,
    },
    Row {
        name: "store.set",
        kind: CallKind::Keeps,
        attributes: &[Key],
        environment: EnvironmentFrom::Nothing,
        summary: "keeps a value of the plugin's own",
        recovery: None,
        register: gate::register::<crate::hostcall::store::Set>,
    },
];

/// The row of a name.
pub fn row(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name)
}
