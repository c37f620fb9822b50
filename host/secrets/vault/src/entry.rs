//! A referenced secret of a server: its fields with their slots, and why a field cannot be read.
//!
//! Invariant: all fields of a secret come from one read, so that a user name and a password with a lease belong together.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use wardroom::{adapter::SecretProblem, base::SecretSlot};

use crate::{
    read::Fields,
    reference::{Reference, Source},
};

/// A referenced secret.
pub(crate) struct Entry {
    pub(crate) source: Source,
    fields: Mutex<BTreeMap<String, Field>>,
}

/// A referenced field.
struct Field {
    /// The text of the reference, for people.
    text: String,
    slot: SecretSlot,
    /// Why the field cannot be read now; `None` if its value is current.
    problem: Option<String>,
    /// Whether the lease of the value has ended.
    has_expired: bool,
}

impl Entry {
    pub(crate) fn new(source: Source) -> Self {
        Self { source, fields: Mutex::default() }
    }

    /// Returns the slot of a field. The same field has the same slot.
    pub(crate) fn slot(&self, text: &str, reference: &Reference) -> SecretSlot {
        let mut fields = self.fields.lock();
        let new = || {
            let slot = SecretSlot::new(format!("{{ vault = \"{text}\" }}"));
            Field {
                text: text.to_owned(),
                slot,
                problem: Some("the value is not fetched yet".to_owned()),
                has_expired: false,
            }
        };
        fields.entry(reference.field.clone()).or_insert_with(new).slot.clone()
    }

    /// Removes the field with this slot. Returns whether no field is left.
    pub(crate) fn forget(&self, slot: &SecretSlot) -> bool {
        let mut fields = self.fields.lock();
        fields.retain(|_, field| field.slot != *slot);
        fields.is_empty()
    }

    /// Sets the values of the fields. Returns the first problem: a field that the secret does not have.
    pub(crate) fn set(&self, read: &Fields) -> Option<String> {
        let mut first = None;
        for (name, field) in self.fields.lock().iter_mut() {
            match read.get(&self.source, name) {
                Ok(value) => {
                    if field.slot.get().as_ref() != Ok(&value) {
                        field.slot.set(value);
                    }
                    (field.problem, field.has_expired) = (None, false);
                }
                Err(problem) => {
                    field.fail(&problem);
                    first.get_or_insert(problem);
                }
            }
        }
        first
    }

    /// Records why no field can be read. The values stay.
    pub(crate) fn fail(&self, problem: &str) {
        self.fields.lock().values_mut().for_each(|field| field.fail(problem));
    }

    /// Removes the values, because the lease of the secret has ended.
    pub(crate) fn expire(&self) {
        for field in self.fields.lock().values_mut() {
            let problem = field.problem.take().unwrap_or_else(|| "it was not renewed in time".to_owned());
            field.has_expired = true;
            field.slot.clear("its lease has ended");
            field.fail(&problem);
        }
    }

    /// Returns the texts of the references, each with the reason why it cannot be read.
    pub(crate) fn problems(&self) -> Vec<(String, Option<SecretProblem>)> {
        let problem = |field: &Field| {
            let (reference, has_value) = (field.text.clone(), field.slot.has_value());
            let problem = field.problem.clone().map(|reason| SecretProblem { reference, reason, has_value });
            (field.text.clone(), problem)
        };
        self.fields.lock().values().map(problem).collect()
    }
}

impl Field {
    fn fail(&mut self, problem: &str) {
        let problem = match self.has_expired {
            true => format!("its lease has ended and it could not be replaced: {problem}"),
            false => problem.to_owned(),
        };
        if !self.slot.has_value() {
            self.slot.clear(&*problem);
        }
        self.problem = Some(problem);
    }
}
