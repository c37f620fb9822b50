//! Helper code that does not depend on bots, jobs or plugins: text, times, durations, cron expressions, configuration
//! tables and their problems.

mod activity;
mod backoff;
mod cron;
mod duration;
mod json_size;
mod keys;
mod pattern;
mod prefix_mark;
mod problem;
mod raw_json;
mod redact;
mod secret;
mod table;
mod template;
mod terminal;
mod text;
mod time_zone;
mod tree;
mod typed_time;

pub(crate) use activity::{Activity, ActivityGuard};
pub use backoff::Backoff;
pub(crate) use cron::Cron;
pub use duration::spoken_duration;
pub(crate) use duration::{elapsed_text, parse_duration, written_duration};
pub(crate) use json_size::size;
pub use keys::{Key, KeyKind, TableKeys};
pub(crate) use keys::{Presence, find as find_key};
pub(crate) use pattern::Pattern;
pub(crate) use prefix_mark::{PREFIX, without_marks};
pub use problem::{At, Problem, Problems};
pub(crate) use raw_json::{JsonError, JsonPointer, JsonValue, RawJson};
pub use redact::{MIN_SECRET_LENGTH, RedactionStream, Redactor, redactor, remember_secret};
pub use secret::{Secret, SecretRef};
pub use table::{Located, Table};
pub use template::Template;
pub(crate) use template::TemplatePart;
pub use terminal::TerminalLines;
pub use text::{Block, Text, clean};
pub(crate) use text::{as_word, as_words, check_visible, clean_lines, in_quotes, is_invisible, nearest, one_line};
pub(crate) use time_zone::{utc_text, zone, zoned_text};
pub(crate) use tree::{Field, Node, Value, parse};
pub(crate) use typed_time::parse_end;
