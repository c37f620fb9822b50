//! A capability: a WIT package whose functions plugins can import in addition to the contract.
//!
//! The host checks and records a capability's calls in the same way as the calls of the contract: grants, roles,
//! approvals, dry runs, the journal, replay and the audit apply to them.

use super::table::CallRow;
use crate::base::{Key, Table};

/// A WIT package of host calls. A program that embeds the engine passes it to the engine's builder.
///
/// ```
/// use wardroom::{
///     hostcall::{CallRow, Error, HostCall, Invocation},
///     model::{CallKind, CallSpec},
///     prelude::*,
/// };
///
/// /// The package `acme:weather`, with one call that reads.
/// struct Weather;
///
/// struct Today;
///
/// impl HostCall for Today {
///     type Params = ();
///     type Answer = String;
///     type Error = Error;
///
///     async fn perform(&self, _: &mut Invocation, (): &()) -> Result<String, Error> {
///         Ok("sunny".to_owned())
///     }
/// }
///
/// impl Capability for Weather {
///     fn calls(&self) -> Vec<CallRow> {
///         let spec = CallSpec::new("acme:weather@0.1.0", "weather.today", CallKind::Reads, "reads the weather");
///         vec![CallRow::new(spec, Today)]
///     }
/// }
///
/// let calls = Engine::builder().capability(Weather).calls().unwrap();
/// assert!(calls.iter().any(|call| call.name == "weather.today"));
/// ```
pub trait Capability: Send + Sync + 'static {
    /// Returns the capability's host calls, as rows of the call table. Each row names the capability's WIT package,
    /// such as `acme:tickets@0.1.0`.
    fn calls(&self) -> Vec<CallRow>;

    /// Returns the top-level keys that the capability adds to `plugins.toml`, usually one table. They must differ from
    /// the keys of the engine and of other capabilities. By default, none.
    fn keys(&self) -> &'static [Key] {
        &[]
    }

    /// Reads the capability's keys of `plugins.toml`. `root` contains only these keys. The implementation reports
    /// configuration problems through `root`. It must not connect to a system or resolve secrets.
    fn read(&self, _root: &mut Table) {}
}
