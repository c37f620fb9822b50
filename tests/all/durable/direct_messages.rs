//! What is asked for in a direct message is shown in the app's room: as it begins and as it ends, whatever crashes between.

use anyhow::{Result, ensure};
use wardroom::port::{Body, Outcome};

use super::{
    harness::{ROOM, Harness},
    replay,
};

/// The configuration of the guest `scripted`, where the app is talked about in this room.
fn config(room: &str) -> String {
    replay::config(replay::ALL).replacen("[app.cms]", &format!("[app.cms]\nroom = \"{room}\""), 1)
}

/// What was said in a room, each message once.
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
fn the_room_of_the_app_sees_how_it_begins_and_how_it_ends_over_every_crash() -> Result<()> {
    let config = config("#ops:example.org");
    for calls in (0..48).step_by(2) {
        let harness = Harness::new(Some(Outcome::Succeeded))?;
        harness.run(&config, &[TYPED], Some(calls))?;
        if !harness.has_received()? {
            continue;
        }
        ensure!(harness.run(&config, &[], None)?, "after {calls} calls it does not come to rest");
        let said = said_in(&harness, "#ops:example.org");
        let job = &harness.jobs()[0];
        let begins = format!("In a direct message: `{}` (job {}, asked by operator)", job.line, job.id);
        let ends = job.end.as_ref().map(|end| end.summary.clone()).unwrap_or_default();
        ensure!(said == [begins, ends], "after {calls} calls: {said:?}");
    }
    Ok(())
}

#[test]
fn what_is_typed_in_the_room_of_the_app_is_not_said_there_again() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    harness.run(&config(ROOM), &[TYPED], None)?;
    let said = said_in(&harness, ROOM);
    ensure!(!said.iter().any(|words| words.contains("In a direct message")), "{said:?}");
    ensure!(harness.jobs().len() == 1 && said.len() == 2, "the card and the closing line: {said:?}");
    Ok(())
}

#[test]
fn an_app_that_nobody_typed_is_shown_when_it_is_touched() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    let typed = "script trigger:cms/staging:1.0 wait trigger:cms/staging:2.0 wait";
    harness.run(&config("#ops:example.org"), &[typed], None)?;
    let said = said_in(&harness, "#ops:example.org");
    let job = &harness.jobs()[0];
    let touched =
        format!("In a direct message: `{}` (job {}, asked by operator), which now touches cms", job.line, job.id);
    let ends = job.end.as_ref().map(|end| end.summary.clone()).unwrap_or_default();
    ensure!(said == [touched, ends], "{said:?}");
    Ok(())
}
