//! The host call `settings.all`.

use crate::{
    hostcall::{host_call::HostCall, invocation::Invocation},
    plugin::bindings::types,
};

/// The host call `settings.all`, which returns the plugin's settings.
pub(crate) struct All;

impl HostCall for All {
    type Params = ();
    type Answer = Vec<types::Entry>;
    type Error = types::Error;

    async fn perform(&self, invocation: &mut Invocation, (): &()) -> Result<Vec<types::Entry>, types::Error> {
        let entry = |(name, value): &(String, String)| types::Entry { name: name.clone(), value: value.clone() };
        Ok(invocation.settings().iter().map(entry).collect())
    }
}
