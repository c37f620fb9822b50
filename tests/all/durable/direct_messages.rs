//! A job from a direct message is announced in the app's room at its start and at its end, even if the host crashes
//! between.

use anyhow::{Result, ensure};
use wardroom::{adapter::Body, model::Outcome};

use super::{
    harness::{Harness, ROOM},
    replay,
};

/// Returns the configuration of the guest `scripted`, with this room for the app.
fn config(room: &str) -> String {
    replay::config(replay::ALL).replacen("[app.cms]", &format!("[app.cms]\nroom = \"{room}\""), 1)
}

/// Returns the messages in a room, without edits.
fn said_in(harness: &Harness, room: &str) -> Vec<String> {
    let here = harness.chat.sent().into_iter().filter(|message| message.room == room);
    here.filter_map(|message| match message.body {
        Body::Say { text, .. } => Some(text.plain()),
        Body::Edit { .. } | Body::React { .. } => None,
    })
    .collect()
}

const TYPED: &str = "script-app cms staging 1.0 trigger:cms/staging:1.0 wait";

#[test]
fn the_apps_room_is_told_the_start_and_end_once_over_a_crash_at_each_call() -> Result<()> {
    let config = config("#ops:example.org");
    for calls in (0..48).step_by(2) {
        let harness = Harness::new(Some(Outcome::Succeeded))?;
        harness.run(&config, &[TYPED], Some(calls))?;
        if !harness.has_received()? {
            continue;
        }
        ensure!(harness.run(&config, &[], None)?, "after a crash at call {calls}, the host does not become idle");
        let said = said_in(&harness, "#ops:example.org");
        let job = &harness.jobs()[0];
        let begins = format!("`{}` (job {}, requested by operator) was started in a direct message.", job.line, job.id);
        let ends = job.end.as_ref().map(|end| end.summary.clone()).unwrap_or_default();
        ensure!(said == [begins, ends], "after a crash at call {calls}: {said:?}");
    }
    Ok(())
}

#[test]
fn a_job_of_the_apps_own_room_is_not_announced_there() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    harness.run(&config(ROOM), &[TYPED], None)?;
    let said = said_in(&harness, ROOM);
    ensure!(!said.iter().any(|words| words.contains("in a direct message")), "{said:?}");
    ensure!(harness.jobs().len() == 1 && said.len() == 1, "only the closing line: {said:?}");
    Ok(())
}

#[test]
fn an_app_that_was_not_typed_is_announced_at_its_first_effect() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    let typed = "script trigger:cms/staging:1.0 wait trigger:cms/staging:2.0 wait";
    harness.run(&config("#ops:example.org"), &[typed], None)?;
    let said = said_in(&harness, "#ops:example.org");
    let job = &harness.jobs()[0];
    let touched = format!(
        "`{}` (job {}, requested by operator) was started in a direct message. The job now changes cms.",
        job.line, job.id
    );
    let ends = job.end.as_ref().map(|end| end.summary.clone()).unwrap_or_default();
    ensure!(said == [touched, ends], "{said:?}");
    Ok(())
}
