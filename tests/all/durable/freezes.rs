//! A `[[freeze]]` window applies from its start to its end by the wall clock, even after restarts.

use anyhow::{Result, ensure};
use wardroom::{Timestamp, model::Outcome, store::JobOutcome};

use super::{harness::Harness, replay};

/// Deploys at a time. Returns the outcome.
fn deployed(harness: &Harness, config: &str, moment: &str) -> Result<JobOutcome> {
    let moment: Timestamp = moment.parse()?;
    harness.clock.set(moment.as_second() - Timestamp::now().as_second());
    let script = "script-app cms production 1.0 trigger:cms/production:1.0 wait";
    ensure!(harness.run(config, &[script], None)?, "the host did not become idle");
    let job = harness.jobs().pop();
    job.and_then(|job| job.end).map(|end| end.outcome).ok_or_else(|| anyhow::anyhow!("the job is open"))
}

#[test]
fn a_freeze_window_holds_in_its_own_time_zone() -> Result<()> {
    let window = r#"
[[freeze]]
environments = ["production"]
from         = "0 17 * * FRI"
until        = "0 8 * * MON"
time_zone    = "Europe/Berlin"
"#;
    let config = format!("{}{window}", replay::config(replay::ALL));
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    // The script continues after a denied call.
    let refused = JobOutcome::Warnings;
    for (moment, outcome) in [
        ("2026-12-04T15:59:30Z", JobOutcome::Succeeded),
        ("2026-12-04T16:00:00Z", refused),
        ("2026-12-07T06:59:30Z", refused),
        ("2026-12-07T07:00:00Z", JobOutcome::Succeeded),
        // Berlin's clocks go forward in the night before, so the window ends an hour earlier in UTC.
        ("2027-03-26T15:59:30Z", JobOutcome::Succeeded),
        ("2027-03-26T16:00:00Z", refused),
        ("2027-03-29T05:59:30Z", refused),
        ("2027-03-29T06:00:00Z", JobOutcome::Succeeded),
    ] {
        ensure!(deployed(&harness, &config, moment)? == outcome, "at {moment}");
    }
    Ok(())
}

#[test]
fn a_freeze_from_chat_expires_over_restarts() -> Result<()> {
    let config = replay::config(replay::ALL);
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    let at = |moment: &str| -> Result<()> {
        let moment: Timestamp = moment.parse()?;
        harness.clock.set(moment.as_second() - Timestamp::now().as_second());
        Ok(())
    };
    at("2026-12-04T12:00:00Z")?;
    harness.run(&config, &["freeze production until 14:00 reason lunch"], None)?;
    ensure!(harness.chat.words().iter().any(|said| said.contains("until 2026-12-04 14:00 UTC by operator: lunch.")));
    ensure!(deployed(&harness, &config, "2026-12-04T13:59:30Z")? == JobOutcome::Warnings);
    ensure!(deployed(&harness, &config, "2026-12-04T14:00:00Z")? == JobOutcome::Succeeded);
    // Set the wall clock back.
    ensure!(deployed(&harness, &config, "2026-12-04T13:00:00Z")? == JobOutcome::Warnings);
    Ok(())
}
