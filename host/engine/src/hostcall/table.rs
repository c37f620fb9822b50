//! The call table: all host calls of the contract and of the capabilities.
//!
//! Invariant: each row adds only its own function to a plugin's linker. A plugin cannot import a function that has no
//! row.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;
use serde_json::Value;
use wasmtime::component::{ComponentNamedList, Linker, Lower};

use super::{
    capability::Capability,
    gate::execute,
    host_call::{HostCall, InDoubt, Recovered},
    invocation::Invocation,
    redaction::without_secrets,
};
use crate::{
    model::{CONTRACT, CallKind, CallSpec, CallTable},
    plugin::HostFunctions,
};

/// Returns the specification of a host call of the contract. `name` has the form `interface.function`; `summary` is a
/// phrase such as `starts a pipeline`.
pub(super) const fn contract_call(name: &'static str, kind: CallKind, summary: &'static str) -> CallSpec {
    CallSpec::new(CONTRACT, name, kind, summary)
}

/// A row of the call table: the specification of a host call and its implementation.
pub struct CallRow {
    spec: CallSpec,
    call: Arc<dyn AnyCall>,
}

impl CallRow {
    /// Creates a row from the specification and the implementation of a host call. The attributes, the risk and the
    /// kind in `spec` decide which rules apply to the call.
    pub fn new<C: HostCall>(spec: CallSpec, call: C) -> Self
    where
        Result<C::Answer, C::Error>: Lower,
        (Result<C::Answer, C::Error>,): ComponentNamedList,
    {
        Self { spec, call: Arc::new(Typed(Arc::new(call))) }
    }
}

/// A [`HostCall`] without its associated types, so that one table can contain all host calls.
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
            Box::new(async move { Ok((execute(&*call, &spec, store.data_mut(), params).await?,)) })
        })
    }

    fn recover<'a>(&'a self, doubt: InDoubt<'a>) -> BoxFuture<'a, Recovered<Value>> {
        Box::pin(async move {
            match self.0.recover(&doubt).await {
                Recovered::Happened(answer) => Recovered::Happened(journaled_answer(answer)),
                Recovered::NotHappened => Recovered::NotHappened,
                Recovered::Unknowable(why) => Recovered::Unknowable(why),
                Recovered::Unavailable(why) => Recovered::Unavailable(why),
            }
        })
    }

    fn assumed(&self, doubt: &InDoubt<'_>) -> Option<Value> {
        self.0.assumed(doubt).map(journaled_answer)
    }
}

/// Converts the answer of a successful call into the form that the journal stores: `{"Ok": …}`, without secrets.
fn journaled_answer<A: serde::Serialize + serde::de::DeserializeOwned>(answer: A) -> Value {
    serde_json::json!({ "Ok": without_secrets(answer) })
}

/// The call table of a host.
pub(crate) struct HostCalls {
    table: CallTable,
    calls: BTreeMap<&'static str, CallRow>,
}

impl HostCalls {
    /// Creates the table with the calls of all capabilities.
    ///
    /// # Errors
    /// The problem in one line: two calls have the same name, or the name of a call does not have the form
    /// `interface.function`.
    pub(crate) fn new<'a>(capabilities: impl IntoIterator<Item = &'a dyn Capability>) -> Result<Self, String> {
        let mut calls = BTreeMap::new();
        for row in capabilities.into_iter().flat_map(Capability::calls) {
            let name = row.spec.name;
            if row.spec.function().is_empty() {
                return Err(format!(
                    "the name of the call `{name}` of {} does not have the form `interface.function`",
                    row.spec.package
                ));
            }
            if calls.insert(name, row).is_some() {
                return Err(format!("two capabilities define the call `{name}`"));
            }
        }
        Ok(Self { table: CallTable::new(calls.values().map(|row| row.spec).collect()), calls })
    }

    /// Returns the specifications of all calls.
    pub(crate) fn table(&self) -> &CallTable {
        &self.table
    }

    /// Defines the function of the call `name` in a plugin's linker.
    ///
    /// # Errors
    /// Fails if the table does not contain the call.
    pub(crate) fn register(&self, name: &str, linker: &mut Linker<Invocation>) -> wasmtime::Result<()> {
        let row = self.calls.get(name).ok_or_else(|| wasmtime::format_err!("the call `{name}` does not exist"))?;
        row.call.register(row.spec, linker)
    }

    /// Queries the external system whether an effect in doubt happened. Returns `None` if the table does not contain
    /// the effect's call.
    pub(crate) async fn recover(&self, doubt: InDoubt<'_>) -> Option<Recovered<Value>> {
        let row = self.calls.get(doubt.intent.call.as_str())?;
        Some(row.call.recover(doubt).await)
    }

    /// Returns the result to store in the journal after a person confirmed that an effect in doubt happened. Returns
    /// `None` if the result cannot be derived ([`HostCall::assumed`]), or if the table does not contain the effect's
    /// call.
    pub(crate) fn assumed(&self, doubt: &InDoubt<'_>) -> Option<Value> {
        self.calls.get(doubt.intent.call.as_str())?.call.assumed(doubt)
    }
}

impl From<Arc<HostCalls>> for HostFunctions<Invocation> {
    fn from(calls: Arc<HostCalls>) -> Self {
        let table = calls.table.clone();
        let register = move |call: &str, linker: &mut Linker<Invocation>| calls.register(call, linker);
        Self { table, register: Arc::new(register) }
    }
}

impl std::fmt::Debug for HostCalls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.calls.keys()).finish()
    }
}
