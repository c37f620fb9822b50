//! Plain data types: people, rooms, apps, environments, attributes, pipeline runs, host calls.

mod attribute;
mod bot;
mod call;
mod catalog;
mod job_id;
mod limits;
mod person;
mod room;
mod run;
mod value_pattern;

pub use attribute::{Attribute, Attributes};
pub use bot::BotIdentity;
pub(crate) use call::{CONTRACT, CallTable, NO_RULE};
pub use call::{CallKind, CallSpec, EnvironmentFrom, Risk};
pub(crate) use catalog::{App, BackendId, Catalog, Deployment, DirectPolicy, Environment, OpenPipelines};
pub(crate) use job_id::{ID_CHARACTERS, ID_LENGTH, is_job_id, parse_job_argument};
pub use limits::Limits;
pub use person::Person;
pub(crate) use person::{local_part, name_and_id};
pub use room::RoomName;
pub use run::{Outcome, RunKey};
pub(crate) use value_pattern::{MAX_PATTERN_SIZE, ValuePattern, check_pattern_length};
