//! The call table: every host call of a host, those of the contract and those of its capabilities.
//!
//! Invariant: a row registers its own function and no other; a function of a package without a row cannot be imported.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;
use serde_json::Value;
use wasmtime::component::{ComponentNamedList, Linker, Lower};

use super::{
    capability::Capability,
    gate::through,
    host_call::{HostCall, InDoubt, Recovered},
    invocation::Invocation,
};
use crate::{
    model::{
        Attribute::{App, Environment, Key, Parameter, Person, Pipeline, Role, Version},
        CONTRACT, CallKind, CallSpec, CallTable, EnvironmentFrom, Risk,
    },
    plugin::HostFunctions,
};

/// One host call with what it does.
pub struct CallRow {
    spec: CallSpec,
    call: Arc<dyn AnyCall>,
}

impl CallRow {
    /// A row of the table.
    pub fn new<C: HostCall>(spec: CallSpec, call: C) -> Self
    where
        Result<C::Answer, C::Error>: Lower,
        (Result<C::Answer, C::Error>,): ComponentNamedList,
    {
        Self { spec, call: Arc::new(Typed(Arc::new(call))) }
    }
}

/// A call whose types are known to it alone.
trait AnyCall: Send + Sync {
    fn register(&self, spec: CallSpec, linker: &mut Linker<Invocation>) -> wasmtime::Result<()>;
    fn recover<'a>(&'a self, doubt: InDoubt<'a>) -> BoxFuture<'a, Recovered<Value>>;
    fn assumed(&self, doubt: &InDoubt<'_>) -> Option<Value>;
}

struct Typed<C>(Arc<C>);

impl<C: HostCall> AnyCall for Typed<C>
where
    Result<C::Answer, C::Error>: Lower,
    (Result<C::Answer, C::Error>,): ComponentNamedList,
{
    fn register(&self, spec: CallSpec, linker: &mut Linker<Invocation>) -> wasmtime::Result<()> {
        let (package, version) = spec.package.split_once('@').unwrap_or((spec.package, ""));
        let interface = format!("{package}/{}@{version}", spec.interface());
        let call = self.0.clone();
        linker.instance(&interface)?.func_wrap_async(spec.function(), move |mut store, params: C::Params| {
            let call = call.clone();
            Box::new(async move { Ok((through(&*call, &spec, store.data_mut(), params).await?,)) })
        })
    }

    fn recover<'a>(&'a self, doubt: InDoubt<'a>) -> BoxFuture<'a, Recovered<Value>> {
        Box::pin(async move {
            match self.0.recover(&doubt).await {
                Recovered::Happened(answer) => Recovered::Happened(answered(&answer)),
                Recovered::Not => Recovered::Not,
                Recovered::Unknowable(why) => Recovered::Unknowable(why),
                Recovered::Away(why) => Recovered::Away(why),
            }
        })
    }

    fn assumed(&self, doubt: &InDoubt<'_>) -> Option<Value> {
        self.0.assumed(doubt).map(|answer| answered(&answer))
    }
}

/// An answer in the form of the journal.
fn answered(answer: &impl serde::Serialize) -> Value {
    serde_json::json!({ "Ok": answer })
}

/// All host calls of a host.
pub struct HostCalls {
    table: CallTable,
    calls: BTreeMap<&'static str, CallRow>,
}

impl HostCalls {
    /// The calls of the contract and of these capabilities.
    ///
    /// # Errors
    /// Two calls have one name, or a name is not `interface.function`; which.
    pub fn new(capabilities: &[Arc<dyn Capability>]) -> Result<Self, String> {
        let mut calls = BTreeMap::new();
        for row in own_calls().into_iter().chain(capabilities.iter().flat_map(|capability| capability.calls())) {
            let name = row.spec.name;
            if row.spec.function().is_empty() {
                return Err(format!("the call `{name}` of {} is not named `interface.function`", row.spec.package));
            }
            if calls.insert(name, row).is_some() {
                return Err(format!("two capabilities have the call `{name}`"));
            }
        }
        Ok(Self { table: CallTable::new(calls.values().map(|row| row.spec).collect()), calls })
    }

    /// What is known of each.
    pub fn table(&self) -> &CallTable {
        &self.table
    }

    /// Defines one function, and no other, in a plugin's linker.
    pub(crate) fn register(&self, name: &str, linker: &mut Linker<Invocation>) -> wasmtime::Result<()> {
        let row = self.calls.get(name).ok_or_else(|| wasmtime::format_err!("there is no call `{name}`"))?;
        row.call.register(row.spec, linker)
    }

    /// Asks the system of an acting call in doubt; `None` where no call of that name is there any more.
    pub(crate) async fn recover(&self, doubt: InDoubt<'_>) -> Option<Recovered<Value>> {
        let row = self.calls.get(doubt.intent.call.as_str())?;
        Some(row.call.recover(doubt).await)
    }

    /// The answer of an acting call in doubt that people say happened.
    pub(crate) fn assumed(&self, doubt: &InDoubt<'_>) -> Option<Value> {
        self.calls.get(doubt.intent.call.as_str())?.call.assumed(doubt)
    }
}

impl From<Arc<HostCalls>> for HostFunctions<Invocation> {
    fn from(calls: Arc<HostCalls>) -> Self {
        Self::new(calls.table.clone(), move |name, linker| calls.register(name, linker))
    }
}

impl std::fmt::Debug for HostCalls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.calls.keys()).finish()
    }
}

const fn own(name: &'static str, kind: CallKind, summary: &'static str) -> CallSpec {
    CallSpec::new(CONTRACT, name, kind, summary)
}

/// The host calls of the contract.
fn own_calls() -> Vec<CallRow> {
    vec![
        CallRow::new(
            own("access.grant", CallKind::Acts, "adds a person to a role on an app, as it was typed")
                .on(&[Person, Role, App, Environment], EnvironmentFrom::Command)
                .without_lock()
                .risk(Risk::High),
            crate::hostcall::access::Grant,
        ),
        CallRow::new(
            own("access.list", CallKind::Reads, "reads what was granted in chat")
                .on(&[Person, App], EnvironmentFrom::Command),
            crate::hostcall::access::List,
        ),
        CallRow::new(
            own("access.revoke", CallKind::Acts, "takes back what was granted in chat, as it was typed")
                .on(&[Person, Role, App, Environment], EnvironmentFrom::Command)
                .without_lock()
                .risk(Risk::High),
            crate::hostcall::access::Revoke,
        ),
        CallRow::new(
            own("catalog.apps", CallKind::Reads, "reads the configured apps and how each is deployed")
                .on(&[App], EnvironmentFrom::Command),
            crate::hostcall::catalog::Apps,
        ),
        CallRow::new(
            own("catalog.releases", CallKind::Reads, "reads which versions ran where, since when and by whom")
                .on(&[App, Environment], EnvironmentFrom::Target),
            crate::hostcall::catalog::Releases,
        ),
        CallRow::new(
            own("chat.say", CallKind::Notes, "says something in the job's own thread")
                .on(&[], EnvironmentFrom::Command),
            crate::hostcall::chat::Say,
        ),
        CallRow::new(
            own("chat.stage", CallKind::Notes, "puts a word on the job's status card")
                .on(&[], EnvironmentFrom::Command),
            crate::hostcall::chat::Stage,
        ),
        CallRow::new(
            own("clock.after", CallKind::Given, "sets a timer that can be waited for"),
            crate::hostcall::clock::After,
        ),
        CallRow::new(own("clock.now", CallKind::Given, "reads the time"), crate::hostcall::clock::Now),
        CallRow::new(
            own("jobs.cancel", CallKind::Acts, "cancels jobs that the plugin scheduled")
                .on(&[App, Environment], EnvironmentFrom::Target)
                .without_lock(),
            crate::hostcall::jobs::Cancel,
        ),
        CallRow::new(
            own("jobs.later", CallKind::Acts, "leaves work of the plugin's own for later")
                .on(&[App, Environment, Version, Parameter], EnvironmentFrom::Target)
                .without_lock(),
            crate::hostcall::jobs::Later,
        ),
        CallRow::new(
            own("jobs.list", CallKind::Reads, "lists the jobs that the plugin scheduled"),
            crate::hostcall::jobs::List,
        ),
        CallRow::new(
            own("log.write", CallKind::Notes, "writes a line to the operator's log"),
            crate::hostcall::log::Write,
        ),
        CallRow::new(
            own("pipelines.trigger", CallKind::Acts, "starts a pipeline")
                .on(&[Pipeline, App, Environment, Version, Parameter], EnvironmentFrom::Target)
                .risk(Risk::High),
            crate::hostcall::pipelines::Trigger,
        ),
        CallRow::new(
            own("pipelines.wait", CallKind::Waits, "waits for runs of the same job, and for times")
                .on(&[Pipeline, App, Environment], EnvironmentFrom::Target),
            crate::hostcall::pipelines::Wait,
        ),
        CallRow::new(
            own("settings.all", CallKind::Given, "reads the plugin's own settings"),
            crate::hostcall::settings::All,
        ),
        CallRow::new(
            own("store.delete", CallKind::Keeps, "forgets one of the plugin's own values")
                .on(&[Key], EnvironmentFrom::Nothing),
            crate::hostcall::store::Delete,
        ),
        CallRow::new(
            own("store.get", CallKind::Reads, "reads one of the plugin's own values")
                .on(&[Key], EnvironmentFrom::Nothing),
            crate::hostcall::store::Get,
        ),
        CallRow::new(own("store.list", CallKind::Reads, "reads the plugin's own values"), crate::hostcall::store::List),
        CallRow::new(
            own("store.set", CallKind::Keeps, "keeps a value of the plugin's own").on(&[Key], EnvironmentFrom::Nothing),
            crate::hostcall::store::Set,
        ),
    ]
}
