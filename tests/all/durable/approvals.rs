//! Tests random sequences of request, approval, withdrawal, denial and crash: no effect happens without the required
//! approvals, and no answer is lost.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, ensure};
use proptest::{prelude::*, test_runner::TestCaseError};
use wardroom::{
    adapter::{Body, Outgoing},
    model::Outcome,
    store::{EntryKind, JobOutcome, JobPhase, Store as _},
};

use super::harness::Harness;

/// Returns a configuration in which three people can approve and `bob` deploys.
fn config(count: u32, within: &str) -> String {
    format!(
        r#"
[bot.marvin.memory]

[people]
admins = ["operator"]

[role.deployer]
members      = ["bob", "carol", "dave"]
commands     = ["script-app"]
apps         = ["*"]
environments = ["production"]

[environment.production]
approval = {{ count = {count}, from = "deployer", within = "{within}" }}

[app.cms]
[app.cms.deploy.production]
memory     = true
parameters = {{ version = '[0-9.]+' }}

[plugin.scripted]
module = "{{guests}}/scripted.wasm"
allow  = [
  {{ call = ["pipelines.trigger", "jobs.later", "jobs.cancel"], beyond = ["app", "environment", "version", "parameter"] }},
  {{ call = ["pipelines.*", "catalog.*", "jobs.list", "store.*"] }},
]
"#
    )
}

/// A group whose file does not exist.
const GROUP: &str = "\n[group.oncall]\nfile = \"missing.txt\"\nmax_age = \"1h\"\n";

const ASKS: &str = "bob> script-app cms production 1.0 trigger:cms/production:1.0 wait";

/// A step of a sequence.
#[derive(Debug, Clone)]
enum Step {
    /// A person's command or reaction.
    Says(&'static str, &'static str),
    /// A clean restart.
    Restarts,
    /// A crash after this many calls of adapters and store, then a restart.
    Crashes(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let who = prop_oneof![Just("bob"), Just("carol"), Just("dave"), Just("eve"), Just("operator")];
    let what = prop_oneof![
        4 => Just("approve"),
        4 => Just("👍"),
        2 => Just("-"),
        1 => Just("deny no"),
        1 => Just("👎"),
    ];
    prop_oneof![
        6 => (who, what).prop_map(|(who, what)| Step::Says(who, what)),
        1 => Just(Step::Restarts),
        1 => (3..40_u32).prop_map(Step::Crashes),
    ]
}

/// The expected state after some steps: the approvals that count, and the decision.
#[derive(Debug, Default)]
struct Model {
    given: BTreeSet<&'static str>,
    by_reaction: BTreeSet<&'static str>,
    decided: Option<bool>,
}

impl Model {
    fn does(&mut self, who: &'static str, what: &str, count: usize) {
        if self.decided.is_some() || !["carol", "dave"].contains(&who) {
            return;
        }
        match what {
            "approve" | "👍" => {
                match (self.given.insert(who), what) {
                    (true, "👍") => drop(self.by_reaction.insert(who)),
                    // A typed approval counts even if the person's reaction is withdrawn.
                    (_, "approve") => drop(self.by_reaction.remove(who)),
                    _ => {}
                }
                if self.given.len() >= count {
                    self.decided = Some(true);
                }
            }
            "-" if self.by_reaction.remove(who) => {
                self.given.remove(who);
            }
            "-" => {}
            _ => self.decided = Some(false),
        }
    }
}

/// Checks that each effect in the journal has enough approvals before it, and no denial.
fn check_approvals(harness: &Harness, count: usize) -> Result<()> {
    for job in harness.jobs() {
        let mut given: BTreeSet<String> = BTreeSet::new();
        let mut approved = false;
        for sealed in harness.entries(&job.id)? {
            let body = &sealed.entry.body;
            match (sealed.entry.kind, body["event"].as_str()) {
                (EntryKind::Event, Some("approval-given")) => {
                    let who = body["by"]["id"].as_str().unwrap_or_default().to_owned();
                    ensure!(["carol", "dave"].contains(&who.as_str()), "{who} counted");
                    // A typed approval and a reaction of the same person count once.
                    ensure!(given.insert(who.clone()) || body["by"]["reaction"].is_null(), "{who} counted twice");
                }
                (EntryKind::Event, Some("approval-withdrawn")) => {
                    given.remove(body["by"].as_str().unwrap_or_default());
                }
                (EntryKind::Event, Some("approved")) => {
                    ensure!(given.len() >= count, "approved by {given:?}");
                    approved = true;
                }
                (EntryKind::Event, Some("not-approved")) => approved = false,
                (EntryKind::Intent, _) => ensure!(approved, "an effect of {} happened without an approval", job.id),
                _ => {}
            }
        }
    }
    Ok(())
}

fn failure(error: anyhow::Error) -> TestCaseError {
    TestCaseError::fail(format!("{error:#}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, max_shrink_iters: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_effect_happens_without_its_approvals_and_no_answer_is_lost(count in 1..3_usize, steps in prop::collection::vec(step(), 0..8)) {
        let harness = Harness::new(Some(Outcome::Succeeded)).map_err(failure)?;
        let config = config(u32::try_from(count).expect("a number"), "5m");
        prop_assert!(harness.run(&config, &[ASKS], None).map_err(failure)?);
        let mut model = Model::default();
        let mut typed: Vec<String> = Vec::new();
        let mut sure = true;
        for step in &steps {
            let calls = match step {
                Step::Says(who, what) => {
                    typed.push(format!("{who}> {what}"));
                    model.does(who, what, count);
                    continue;
                }
                Step::Restarts => None,
                Step::Crashes(calls) => Some(*calls),
            };
            let lines: Vec<&str> = typed.iter().map(String::as_str).collect();
            // A host that crashed may not have received the lines, so the expected state is unknown.
            sure &= harness.run(&config, &lines, calls).map_err(failure)? || lines.is_empty();
            typed.clear();
        }
        let lines: Vec<&str> = typed.iter().map(String::as_str).collect();
        prop_assert!(harness.run(&config, &lines, None).map_err(failure)?);
        prop_assert!(harness.run(&config, &[], None).map_err(failure)?);
        harness.verify().map_err(failure)?;
        check_approvals(&harness, count).map_err(failure)?;
        let jobs = harness.jobs();
        let job = jobs.first().ok_or_else(|| TestCaseError::fail("no job"))?;
        let runs = harness.pipelines.runs().len();
        match &job.end {
            None => prop_assert!(job.status.phase == JobPhase::Approval && runs == 0, "{:?}", job.status),
            Some(end) => prop_assert_eq!(runs, usize::from(end.outcome == JobOutcome::Succeeded), "{:?}", end),
        }
        if sure {
            let decided = job.end.as_ref().map(|end| end.outcome == JobOutcome::Succeeded);
            prop_assert_eq!(decided, model.decided, "{:?}: {:?}", job, harness.chat.words());
        }
    }
}

#[test]
fn an_approval_expires_during_downtime() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    let config = config(1, "1s");
    ensure!(harness.run(&config, &[ASKS], None)?);
    harness.clock.set(2);
    ensure!(harness.run(&config, &["carol> 👍", "carol> approve"], None)?);
    let job = &harness.jobs()[0];
    let outcome = job.end.as_ref().map(|end| end.outcome);
    ensure!(outcome == Some(JobOutcome::NotApproved) && harness.pipelines.runs().is_empty(), "{job:?}");
    check_approvals(&harness, 1)?;
    harness.verify()
}

#[test]
fn setting_the_wall_clock_does_not_expire_an_approval() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    let config = config(1, "10m");
    // Set the clock one hour ahead while the job waits, then answer.
    let clock = harness.clock.clone();
    let jump = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1200));
        clock.set(3600);
    });
    harness.run(&config, &[ASKS, "(2500)", "carol> approve"], None)?;
    let _ = jump.join();
    ensure!(harness.pipelines.runs().len() == 1, "{:?}", harness.chat.words());
    check_approvals(&harness, 1)
}

/// The configuration `config` after Carol has lost the role, which Eve has now.
fn without_carol(config: &str) -> String {
    config.replace("\"bob\", \"carol\", \"dave\"", "\"bob\", \"dave\", \"eve\"")
}

#[test]
fn the_approval_of_a_person_who_lost_the_role_does_not_count() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    let config = config(2, "10m");
    ensure!(harness.run(&config, &[ASKS], None)?);
    ensure!(harness.run(&config, &["carol> approve"], None)?);
    ensure!(harness.jobs()[0].status.about.contains("1 of 2"), "{:?}", harness.jobs());
    let later = without_carol(&config);
    ensure!(harness.run(&later, &["dave> approve"], None)?);
    ensure!(harness.pipelines.runs().is_empty(), "{:?}", harness.chat.words());
    ensure!(harness.jobs()[0].status.about.contains("1 of 2"), "{:?}", harness.jobs());
    ensure!(harness.run(&later, &["eve> approve"], None)?);
    ensure!(harness.pipelines.runs().len() == 1, "{:?}", harness.chat.words());
    harness.verify()
}

#[test]
fn an_effect_asks_again_if_its_approver_lost_the_role() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    let config = config(1, "10m");
    let script = "bob> script-app cms production 1.0 trigger:cms/production:1.0 wait after:60000 sleep \
                  trigger:cms/production:1.0 wait";
    ensure!(harness.run(&config, &[script], None)?);
    harness.run_until(&config, &["carol> approve"], |harness| {
        harness.jobs().first().is_some_and(|job| job.status.phase == JobPhase::Time)
    })?;
    ensure!(harness.pipelines.runs().len() == 1, "{:?}", harness.chat.words());
    harness.clock.set(120);
    let later = without_carol(&config);
    ensure!(harness.run(&later, &[], None)?);
    ensure!(harness.pipelines.runs().len() == 1, "{:?}", harness.chat.words());
    ensure!(harness.jobs()[0].status.about.contains("0 of 1"), "{:?}", harness.jobs());
    let approve = format!("eve> approve {}-2", harness.jobs()[0].id);
    ensure!(harness.run(&later, &[&approve], None)?);
    ensure!(harness.pipelines.runs().len() == 2, "{:?}", harness.chat.words());
    harness.verify()
}

#[test]
fn an_approval_of_several_apps_is_asked_for_in_the_room_of_the_typed_app() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    let deploy = "deploy.production]\nmemory     = true\nparameters = { version = '[0-9.]+' }\n";
    let config = config(1, "10m").replace("[app.cms]\n", "[app.cms]\nroom = \"cms\"\n")
        + format!("[app.aaa]\nroom = \"aaa\"\n[app.aaa.{deploy}").as_str();
    let script = |apps: [&str; 2]| {
        format!(
            "bob> script-app cms production 1.0 trigger:{}/production:1.0 trigger:{}/production:1.0",
            apps[0], apps[1]
        )
    };
    for (apps, room) in [(["aaa", "cms"], "cms"), (["aaa", "aaa"], "aaa")] {
        let before = harness.chat.sent().len();
        ensure!(harness.run(&config, &[&script(apps)], None)?);
        let sent = harness.chat.sent();
        let asks =
            |message: &&Outgoing| matches!(&message.body, Body::Say { text, .. } if text.plain().contains("The plan:"));
        let asked: Vec<&str> = sent[before..].iter().filter(asks).map(|message| message.room.as_str()).collect();
        ensure!(asked == [room], "{apps:?}: {asked:?}");
    }
    Ok(())
}

#[test]
fn a_late_answer_to_a_running_job_is_refused_at_once() -> Result<()> {
    // The runs of this harness do not end by themselves.
    let harness = Harness::new(None)?;
    let config = config(1, "10m");
    ensure!(harness.run(&config, &[ASKS], None)?);
    let typed = ["carol> 👍", "(400)", "dave> 👍", "dave> approve", "eve> 👎", "operator> whoami"];
    harness.run_until(&config, &typed, |harness| {
        let said = harness.chat.words();
        let over = said.iter().filter(|text| text.contains("does not wait for approval: it was approved")).count();
        over >= 2 && said.iter().any(|text| text.contains("You are operator"))
    })?;
    let said = harness.chat.words();
    ensure!(!said.iter().any(|text| text.contains("the database is unavailable")), "{said:?}");
    ensure!(harness.pipelines.runs().len() == 1);
    check_approvals(&harness, 1)
}

#[test]
fn changed_approval_rules_are_asked_for_once_and_can_be_met() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    ensure!(harness.run(&config(1, "10m"), &[ASKS], None)?);
    // The operator now requires two people, and the rule moves to another line.
    let stricter = format!("# a line more\n{}", config(2, "10m"));
    ensure!(harness.run(&stricter, &["carol> 👍"], None)?);
    ensure!(harness.pipelines.runs().is_empty(), "one approval is no longer enough");
    let again = harness.jobs()[0].status.about.clone();
    ensure!(again.contains("0 of 2"), "{again}");
    let id = harness.jobs()[0].id.clone();
    let typed = [format!("carol> approve {id}"), format!("carol> approve {id}-2"), format!("dave> approve {id}-2")];
    let typed: Vec<&str> = typed.iter().map(String::as_str).collect();
    ensure!(harness.run(&stricter, &typed, None)?);
    ensure!(harness.pipelines.runs().len() == 1, "{:?}", harness.chat.words());
    check_approvals(&harness, 1)
}

#[test]
fn an_effect_after_the_end_of_its_approval_asks_again() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    let config = config(1, "10m").replace("within = \"10m\"", "within = \"10m\", valid = \"1s\"");
    let steps = "trigger:cms/production:1.0 wait after:1500 sleep trigger:cms/production:2.0 wait";
    ensure!(harness.run(&config, &[&format!("bob> script-app cms production 1.0 {steps}")], None)?);
    let said = harness.chat.words().join("\n");
    let waits = "2. after a wait for the end of plan-1 and 1 s: pipelines.trigger cms/production version 2.0";
    ensure!(said.contains(waits), "the plan shows the waits: {said}");
    ensure!(harness.run(&config, &["carol> approve"], None)?);
    ensure!(harness.pipelines.runs().len() == 1, "{:?}", harness.chat.words());
    let id = harness.jobs()[0].id.clone();
    let about = harness.jobs()[0].status.about.clone();
    ensure!(about.contains("0 of 1"), "{about}");
    let asked = harness.entries(&id)?.into_iter().map(|sealed| sealed.entry.body.to_string());
    let reasons = asked.filter(|body| body.contains("the approval was valid until")).count();
    ensure!(reasons == 1, "the second request names its reason");
    ensure!(harness.run(&config, &[&format!("dave> approve {id}-2")], None)?);
    ensure!(harness.pipelines.runs().len() == 2, "{:?}", harness.chat.words());
    check_approvals(&harness, 1)
}

#[test]
fn a_reaction_that_is_removed_before_it_counts_never_counts() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    let config = config(1, "10m");
    // The request is in the room, and the host does not know its event id yet: the reaction waits.
    harness.slow_sends.set(Duration::from_millis(700));
    ensure!(harness.run(&config, &[ASKS, "(asked)", "carol> 👍", "(100)", "carol> -"], None)?);
    harness.slow_sends.set(Duration::ZERO);
    ensure!(harness.run(&config, &[], None)?);
    ensure!(harness.pipelines.runs().is_empty(), "{:?}", harness.chat.words());
    ensure!(harness.jobs()[0].status.about.contains("0 of 1"), "{:?}", harness.jobs());
    ensure!(harness.run(&config, &["carol> 👍"], None)?);
    ensure!(harness.pipelines.runs().len() == 1, "{:?}", harness.chat.words());
    harness.verify()
}

#[test]
fn a_reaction_that_is_older_than_the_request_does_not_count() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    let config = config(1, "10m");
    harness.clock.set(1800);
    ensure!(harness.run(&config, &[ASKS], None)?);
    ensure!(harness.run(&config, &["carol> 👍"], None)?);
    ensure!(harness.pipelines.runs().is_empty(), "{:?}", harness.chat.words());
    let said = harness.chat.words().join("\n");
    ensure!(said.contains("The reaction is older than the approval request of job"), "{said}");
    ensure!(harness.run(&config, &["carol> approve"], None)?);
    ensure!(harness.pipelines.runs().len() == 1, "{:?}", harness.chat.words());
    harness.verify()
}

#[test]
fn a_removal_of_a_message_that_the_host_does_not_know_is_not_stored() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    let config = config(1, "10m");
    ensure!(harness.run(&config, &[ASKS], None)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let links = || runtime.block_on(harness.store.links(0, 1_000)).map(|links| links.len());
    let before = links()?;
    // This reaction is on no approval request.
    ensure!(harness.run(&config, &["eve> 🎉", "eve> -"], None)?);
    ensure!(links()? == before, "a link for each removal");
    Ok(())
}

#[test]
fn a_cancellation_just_before_the_intent_counts() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    let config = config(1, "10m").replace("within = \"10m\"", "within = \"10m\", unless = \"known_good\"");
    ensure!(harness.run(&config, &[ASKS], None)?);
    ensure!(harness.run(&config, &["carol> approve"], None)?);
    ensure!(harness.pipelines.runs().len() == 1, "{:?}", harness.chat.words());
    // The gate reads the releases after it has checked whether the job is cancelled.
    harness.holds_releases.set(true);
    ensure!(harness.run(&config, &[ASKS, "(2 jobs)", "bob> cancel"], None)?);
    ensure!(harness.pipelines.runs().len() == 1, "{:?}", harness.chat.words());
    let said = harness.chat.words();
    ensure!(said.iter().any(|text| text.contains("error:cancelled")), "the plugin gets the error: {said:?}");
    harness.verify()
}

#[test]
fn an_approver_in_a_list_of_members_counts_only_as_long_as_the_list_has_the_id() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    let members = |direct: &str| config(2, "10m").replace("\"bob\", \"carol\", \"dave\"", direct);
    // A group of the role cannot be read, and has nothing to do with the approval.
    let before = members("\"bob\", \"carol\", \"dave\", \"group:oncall\"") + GROUP;
    let after = members("\"bob\", \"dave\", \"group:oncall\"") + GROUP;
    ensure!(harness.run(&before, &[ASKS], None)?);
    ensure!(harness.run(&before, &["carol> approve"], None)?);
    ensure!(harness.run(&after, &["dave> approve"], None)?);
    ensure!(harness.pipelines.runs().is_empty(), "{:?}", harness.chat.words());
    ensure!(harness.jobs()[0].status.about.contains("1 of 2"), "{:?}", harness.jobs());
    harness.verify()
}

#[test]
fn two_approval_rules_are_both_required_even_if_they_match_the_same_effects() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    let rule = |role: &str| format!("[[approval]]\nenvironment = [\"production\"]\nfrom = \"{role}\"\n");
    let security = "[role.security]\nmembers = [\"eve\"]\ncommands = []\napps = [\"*\"]\nenvironments = [\"*\"]\n";
    let without = config(1, "10m").replace("approval = { count = 1, from = \"deployer\", within = \"10m\" }\n", "");
    let config = format!("{without}\n{}{}{security}", rule("security"), rule("deployer"));
    ensure!(harness.run(&config, &[ASKS], None)?);
    ensure!(harness.run(&config, &["carol> approve"], None)?);
    ensure!(harness.pipelines.runs().is_empty(), "the rule for security was not met");
    let about = harness.jobs()[0].status.about.clone();
    ensure!(about.contains("0 of 1 (security) and 1 of 1 (deployer)"), "{about}");
    ensure!(harness.run(&config, &["eve> approve"], None)?);
    ensure!(harness.pipelines.runs().len() == 1, "{:?}", harness.chat.words());
    harness.verify()
}

#[test]
fn one_person_has_at_most_ten_open_requests() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    ensure!(harness.run(&config(1, "10m"), &[ASKS; 10], None)?);
    ensure!(harness.run(&config(1, "10m"), &[ASKS], None)?);
    let jobs = harness.jobs();
    let waiting = jobs.iter().filter(|job| job.end.is_none() && job.status.phase == JobPhase::Approval).count();
    ensure!(waiting == 10 && jobs.len() == 11, "{waiting} of {} jobs wait for approval", jobs.len());
    let said = harness.chat.words().join("\n");
    ensure!(said.contains("10 jobs of the same person already wait for approval, which is the limit"), "{said}");
    harness.verify()
}
