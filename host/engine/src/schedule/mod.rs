//! Moments that come again, and moments as people type them, in a time zone.
//!
//! Pure: nothing here looks at a clock, and what is asked for is asked for a moment.
//!
//! Not here: what happens at such a moment (`approval::freeze` for freezes).

mod cron;
mod typed;
mod zone;

pub use cron::{Cron, CronError};
pub use typed::{NoMoment, Typed, typed};
pub use zone::{show, zone};
