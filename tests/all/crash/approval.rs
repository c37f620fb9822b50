//! A deployment that somebody else approves, with a crash at every place of it: approved once, done once, asked for in one message.

use anyhow::{Context as _, Result, ensure};
use wardroom::port::store::JobOutcome;

use super::{
    aftermath::kept,
    command::{SCRIPT, done_once, live_on, starts},
    life::{Life, live},
    points::each,
};
use crate::{house::House, journal::Journal};

const CONFIG: &str = r#"
[bot.marvin.console]
user = "operator"

[people]
admins = ["operator"]

[role.deployer]
members      = ["bob"]
commands     = ["deploy"]
apps         = ["*"]
environments = ["held"]

[environment.held]
approval = { from = "deployer", within = "1h" }

[app.it]

[app.it.deploy.held]
run        = ["./count.sh", "{version}"]
parameters = { version = '[0-9.]+' }

[plugin.deploy]
module = "{guests}/deploy.wasm"
allow  = [{ call = ["pipelines.*", "catalog.*"] }]
"#;

const TYPED: &str = "deploy it held 1.0\n/as bob\napprove\n";
/// What was not heard is said once more.
const AFTER: &str = "/as bob\napprove\n";

fn house() -> Result<House> {
    let house = House::new(CONFIG)?;
    house.script("count.sh", SCRIPT)?;
    Ok(house)
}

/// What must hold after any crash.
fn check(house: &House, lives: &[Life]) -> Result<()> {
    let kept = kept(house)?;
    kept.all_over()?;
    let mut journal = Journal::open(&house.path("state"))?;
    let heard = journal.count("select count(*) from inbox where text like 'deploy%'")?;
    ensure!(i64::try_from(kept.jobs.len())? == heard, "a job for each message: {heard} and {:?}", kept.jobs);
    for job in &kept.jobs {
        let outcome = done_once(house, &kept, job)?;
        ensure!(outcome == JobOutcome::Succeeded, "{outcome:?}");
        let asked = journal.count("select count(*) from outbox where key like '%/approval-%'")?;
        ensure!(asked == 1, "asked for in {asked} messages");
        for (query, wanted) in [
            ("select count(*) from entry where body ->> 'event' = 'approval-asked'", 1),
            ("select count(*) from entry where body ->> 'event' = 'approval-given'", 1),
            ("select count(*) from entry where body ->> 'event' = 'approved'", 1),
            ("select count(*) from entry where body ->> 'event' = 'not-approved'", 0),
        ] {
            let found = journal.count(query)?;
            ensure!(found == wanted, "{query}: {found}");
        }
        // What asks is said again in each of its states; how it ended is said once, or twice around a death.
        let summary = &job.end.as_ref().context("it is over")?.summary;
        let said = lives.iter().flat_map(|life| &life.said).filter(|line| *line == summary).count();
        let deaths = lives.iter().filter(|life| life.died() && life.said.last() == Some(summary)).count();
        ensure!((1..=1 + deaths).contains(&said), "said {said} times: {summary}");
    }
    Ok(())
}

#[test]
fn killed_at_any_place_an_approval_is_asked_for_and_counted_once() -> Result<()> {
    let untouched = house()?;
    let life = live(&untouched, TYPED, None)?;
    life.ended_well()?;
    let places = life.names();
    check(&untouched, &[life])?;
    ensure!(places.len() > 30, "too few places: {places:#?}");
    let ran = each("an approved deployment", &places, Clone::clone, |place| {
        let house = house()?;
        let first = live(&house, TYPED, Some(place))?;
        let died = first.died();
        let lives = live_on(&house, AFTER, vec![first])?;
        check(&house, &lives).with_context(|| format!("died: {died}\n{lives:#?}"))?;
        Ok((died, starts(&house, "1.0")))
    })?;
    let died = ran.iter().filter(|(died, _)| *died).count();
    ensure!(died + 6 >= places.len(), "a place is hardly ever missed: {died} of {}", places.len());
    ensure!(ran.iter().any(|(_, starts)| *starts == 1));
    Ok(())
}
