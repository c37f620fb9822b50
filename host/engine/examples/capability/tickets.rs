//! The host calls of the WIT package `acme:tickets`, with a ticket tracker in memory.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use wardroom::{
    hostcall::{CallRow, Capability, Error, HostCall, InDoubt, Invocation, Recovered},
    model::{Attribute, Attributes, CallKind, CallSpec, EnvironmentFrom},
};
use wasmtime::component::{ComponentType, Lift, Lower};

const PACKAGE: &str = "acme:tickets@0.1.0";

/// The WIT type `record ticket`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct Ticket {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) state: String,
}

/// The WIT type `record close-request`.
#[derive(Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct CloseRequest {
    app: String,
    environment: String,
    id: String,
    reason: String,
}

#[derive(Default)]
pub(crate) struct Tickets {
    pub(crate) by_id: BTreeMap<String, Ticket>,
    /// One pair for each closed ticket: the idempotency key of the effect that closed the ticket, and the ticket's id.
    pub(crate) closed: Vec<(String, String)>,
}

#[derive(Clone, Default)]
pub(crate) struct Tracker(Arc<Mutex<Tickets>>);

impl Tracker {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Tickets> {
        self.0.lock()
    }

    pub(crate) fn open(&self, id: &str, title: &str) {
        let ticket = Ticket { id: id.to_owned(), title: title.to_owned(), state: "open".to_owned() };
        self.lock().by_id.insert(id.to_owned(), ticket);
    }
}

impl Capability for Tracker {
    fn calls(&self) -> Vec<CallRow> {
        let find = CallSpec::new(PACKAGE, "tickets.find", CallKind::Reads, "lists tickets");
        let close = CallSpec::new(PACKAGE, "tickets.close", CallKind::Acts, "closes a ticket")
            .on(&[Attribute::App, Attribute::Environment, Attribute::Named("ticket")], EnvironmentFrom::Target);
        vec![CallRow::new(find, Find(self.clone())), CallRow::new(close, Close(self.clone()))]
    }
}

struct Find(Tracker);

impl HostCall for Find {
    type Params = (String,);
    type Answer = Vec<Ticket>;
    type Error = Error;

    async fn perform(&self, _: &mut Invocation, (query,): &(String,)) -> Result<Vec<Ticket>, Error> {
        let matches = |ticket: &&Ticket| ticket.id.contains(query) || ticket.title.contains(query);
        Ok(self.0.lock().by_id.values().filter(matches).cloned().collect())
    }
}

struct Close(Tracker);

impl HostCall for Close {
    type Params = (CloseRequest,);
    type Answer = Ticket;
    type Error = Error;

    async fn attributes(&self, _: &Invocation, (request,): &Self::Params) -> Attributes {
        Attributes::from([
            (Attribute::App, vec![request.app.clone()]),
            (Attribute::Environment, vec![request.environment.clone()]),
            (Attribute::Named("ticket"), vec![request.id.clone()]),
        ])
    }

    async fn perform(&self, invocation: &mut Invocation, (request,): &Self::Params) -> Result<Ticket, Error> {
        let mut tracker = self.0.lock();
        let ticket =
            tracker.by_id.get_mut(&request.id).ok_or_else(|| Error::new("not-found", "the ticket does not exist"))?;
        ticket.state = "closed".to_owned();
        let ticket = ticket.clone();
        tracker.closed.push((invocation.key(), request.id.clone()));
        Ok(ticket)
    }

    fn dry_run(&self, _: &mut Invocation, (request,): &Self::Params, _: &str) -> Option<Result<Ticket, Error>> {
        Some(Ok(Ticket { id: request.id.clone(), title: String::new(), state: "closed".to_owned() }))
    }

    async fn recover(&self, doubt: &InDoubt<'_>) -> Recovered<Ticket> {
        let tracker = self.0.lock();
        match tracker.closed.iter().find(|(key, _)| *key == doubt.key()) {
            Some((_, id)) => Recovered::Happened(tracker.by_id[id].clone()),
            None => Recovered::NotHappened,
        }
    }
}
