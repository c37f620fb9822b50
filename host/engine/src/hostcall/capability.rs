//! A capability: a WIT package whose functions plugins can import, in addition to the contract.
//!
//! A capability is built like the contract's own interfaces, and its calls pass the same gate. Grants, roles,
//! approvals, dry runs, the journal, replay and the audit therefore apply to them without a change to the engine.

use super::table::CallRow;
use crate::base::{Key, Table};

/// A WIT package of host calls. An embedder passes it to the engine's builder.
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
/// assert!(calls.get("weather.today").is_some());
/// ```
pub trait Capability: Send + Sync + 'static {
    /// The rows of the call table. Each names its WIT package, such as `acme:tickets@0.1.0`.
    fn calls(&self) -> Vec<CallRow>;

    /// The keys that it adds to `plugins.toml`, usually one table. They must differ from the engine's own keys.
    fn keys(&self) -> &'static [Key] {
        &[]
    }

    /// Reads its keys of `plugins.toml`; `root` contains no others. Report problems through the table. It must not
    /// connect to anything and must not resolve secrets.
    fn read(&self, _root: &mut Table) {}
}
