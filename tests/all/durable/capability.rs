//! Tests the capability of `examples/capability`: its calls pass the same checks as the calls of the contract.

use anyhow::{Context as _, Result, ensure};
use wardroom::store::{EntryKind, JobOutcome, JobPhase, Store};

use super::harness::Harness;

#[path = "../../../host/engine/examples/capability/tickets.rs"]
pub(super) mod tickets;

const CONFIG: &str = r#"
[bot.marvin.memory]

[role.closer]
members      = ["bob", "carol"]
commands     = ["tickets", "close-ticket"]
apps         = ["*"]
environments = ["*"]

[environment.staging]
[environment.production]
approval = { count = 1, from = "closer", within = "5m" }

[app.cms]
[app.cms.deploy.staging]
memory = true
[app.cms.deploy.production]
memory = true

[plugin.tickets]
module = "{guests}/tickets.wasm"
allow  = [
  { call = "tickets.find" },
  { call = "tickets.close", environment = ["staging", "production"], ticket = ["OPS-*"] },
]
"#;

const CLOSE: &str = "bob> close-ticket cms staging OPS-17";
/// A number of calls of adapters and store that is larger than a job of this command needs.
const MOST: u32 = 60;

fn harness() -> Result<Harness> {
    let harness = Harness::new(None)?;
    harness.tracker.open("OPS-17", "Disk full");
    harness.tracker.open("WEB-1", "Typo");
    Ok(harness)
}

fn closed(harness: &Harness) -> Vec<String> {
    harness.tracker.lock().closed.iter().map(|(_, id)| id.clone()).collect()
}

fn outcome(harness: &Harness) -> Result<JobOutcome> {
    let job = harness.jobs().pop().context("a job")?;
    Ok(job.end.with_context(|| format!("the job is open: {:?}", job.status))?.outcome)
}

#[test]
fn a_query_reads_through_a_capability() -> Result<()> {
    let harness = harness()?;
    ensure!(harness.run(CONFIG, &["bob> tickets Disk"], None)?);
    ensure!(harness.chat.words() == ["| OPS-17 (open): Disk full"], "{:?}", harness.chat.words());
    ensure!(harness.store.all_lines().iter().any(|line| line.calls.iter().any(|count| count.call == "tickets.find")));
    harness.verify()
}

#[test]
fn a_grant_limits_the_attributes_of_a_capability() -> Result<()> {
    let harness = harness()?;
    ensure!(harness.run(CONFIG, &["bob> close-ticket cms staging WEB-1"], None)?);
    ensure!(closed(&harness).is_empty() && outcome(&harness)? != JobOutcome::Succeeded);
    let job = harness.jobs().pop().context("a job")?;
    let denied = harness.entries(&job.id)?.into_iter().find(|hashed| hashed.entry.kind == EntryKind::Denied);
    let denied = denied.context("the refusal is journaled")?.entry;
    ensure!(denied.call == "tickets.close", "{denied:?}");
    let said = harness.chat.words().join("\n");
    ensure!(said.contains("tickets.close") && said.contains("but the call has ticket `WEB-1`"), "{said}");
    harness.verify()
}

#[test]
fn a_role_limits_who_may_call_a_capability() -> Result<()> {
    let harness = harness()?;
    ensure!(harness.run(CONFIG, &["eve> close-ticket cms staging OPS-17", "eve> tickets"], None)?);
    ensure!(closed(&harness).is_empty() && harness.jobs().is_empty());
    harness.verify()
}

#[test]
fn an_effect_of_a_capability_waits_for_its_approval() -> Result<()> {
    let harness = harness()?;
    ensure!(harness.run(CONFIG, &["bob> close-ticket cms production OPS-17"], None)?);
    ensure!(closed(&harness).is_empty());
    let phase = harness.jobs().pop().context("a job")?.status.phase;
    ensure!(phase == JobPhase::Approval, "{phase:?}");
    let said = harness.chat.words().join("\n");
    ensure!(said.contains("tickets.close cms/production"), "{said}");
    // The person who typed the command cannot approve.
    ensure!(harness.run(CONFIG, &["bob> approve"], None)?);
    ensure!(closed(&harness).is_empty());
    ensure!(harness.run(CONFIG, &["carol> approve"], None)?);
    ensure!(closed(&harness) == ["OPS-17"] && outcome(&harness)? == JobOutcome::Succeeded);
    harness.verify()
}

#[test]
fn a_dry_run_shows_the_effect_of_a_capability_and_has_none() -> Result<()> {
    let harness = harness()?;
    ensure!(harness.run(CONFIG, &["bob> close-ticket cms staging OPS-17 --dry-run"], None)?);
    ensure!(closed(&harness).is_empty() && harness.jobs().is_empty());
    ensure!(harness.tracker.lock().by_id["OPS-17"].state == "open");
    let said = harness.chat.words().join("\n");
    ensure!(said.contains("tickets.close cms/staging"), "{said}");
    harness.verify()
}

/// Crashes at each call of adapters and store. A crash after the intent leaves the effect in doubt, before or after it
/// happened.
#[test]
fn an_effect_of_a_capability_happens_once_through_a_crash_at_every_call() -> Result<()> {
    let (mut before, mut after) = (0, 0);
    // Messages are sent concurrently, so the number of a call varies. After the first round, try until a crash leaves an
    // effect in doubt that happened.
    for (round, calls) in (0..10).flat_map(|round| (1..MOST).map(move |calls| (round, calls))) {
        if round > 0 && after > 0 {
            break;
        }
        let harness = harness()?;
        harness.run(CONFIG, &[CLOSE], Some(calls))?;
        if !harness.has_received()? {
            continue;
        }
        if let Some(job) = harness.jobs().pop()
            && let Some(last) = harness.entries(&job.id)?.pop()
            && last.entry.kind == EntryKind::Intent
        {
            *if closed(&harness).is_empty() { &mut before } else { &mut after } += 1;
        }
        ensure!(harness.run(CONFIG, &[], None)?, "crash at {calls}");
        ensure!(closed(&harness) == ["OPS-17"], "crash at {calls}: {:?}", closed(&harness));
        ensure!(outcome(&harness)? == JobOutcome::Succeeded, "crash at {calls}");
        harness.verify()?;
    }
    ensure!(after > 0, "no crash left an effect in doubt that had happened ({before} that had not)");
    Ok(())
}

#[test]
fn reports_know_the_calls_of_a_capability() -> Result<()> {
    let harness = harness()?;
    ensure!(harness.run(CONFIG, &[CLOSE, "bob> close-ticket cms staging WEB-1", "bob> tickets"], None)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let config = |text: &str| text.replace("{guests}", &crate::test_host::guests().display().to_string());
        let builder = || harness.builder().cache(crate::test_host::code());
        let folder = std::path::Path::new(".");
        let review = builder().review(builder().read_text(&config(CONFIG), folder)?).await?;
        ensure!(review.problems().is_empty(), "{:?}", review.problems());
        // Check the audit report.
        let audit = review.audit(Some(&*harness.store as &dyn Store)).await?;
        let json = serde_json::to_value(&audit)?;
        let row = |call: &str| {
            let calls = json["plugins"].as_array()?.iter().flat_map(|plugin| plugin["calls"].as_array());
            let row = calls.flatten().find(|row| row["call"] == call)?;
            Some((row["kind"].as_str()?.to_owned(), row["did"].as_u64()?, row["refused"].as_u64()?))
        };
        ensure!(row("tickets.close") == Some(("acts".to_owned(), 1, 1)), "{audit}");
        ensure!(row("tickets.find") == Some(("reads".to_owned(), 1, 0)), "{audit}");
        ensure!(audit.to_string().contains("ticket [\"OPS-*\"]"), "{audit}");
        // Check the lock file, a question about rights, and the description of the plugin's file.
        ensure!(review.lock().text().contains("\"tickets.close\""), "{}", review.lock().text());
        let (_, explained) =
            review.can("bob", "close-ticket cms production OPS-17", None).map_err(anyhow::Error::msg)?;
        let explained = explained.to_string();
        ensure!(
            explained.contains("may call tickets.close") && explained.contains("requires approvals: 1 from"),
            "{explained}"
        );
        let file = crate::test_host::guests().join("tickets.wasm");
        let inspected = builder().inspect(&file).await.map_err(anyhow::Error::msg)?.to_string();
        ensure!(inspected.contains("tickets.close        acts   closes a ticket"), "{inspected}");
        // Grants with a wrong call or attribute are problems.
        let error = builder().read_text(&config(&CONFIG.replace("tickets.close", "tickets.clsoe")), folder).err();
        let error = error.context("an unknown call is a problem")?;
        ensure!(error.0[0].fix.as_ref().is_some_and(|fix| fix.contains("tickets.close")), "{error:?}");
        let error = builder().read_text(&config(&CONFIG.replace("ticket = [", "tciket = [")), folder).err();
        ensure!(error.context("an unknown attribute is a problem")?.to_string().contains("tciket"));
        // Without the capability the plugin does not load.
        let alone = wardroom::Engine::builder().inspect(&file).await.err().context("an unknown import is refused")?;
        ensure!(alone.contains("acme:tickets"), "{alone}");
        Ok(())
    })
}
