//! Tests a guest that reaches its wall limit while the store commits a change of the guest.

use std::time::Duration;

use anyhow::{Result, ensure};
use wardroom::store::EntryKind;

use super::{harness::Harness, rights};

#[test]
fn a_stored_role_is_applied_although_the_guest_reached_its_wall_limit() -> Result<()> {
    let harness = Harness::new(None)?;
    harness.slow_grants.set(Duration::from_secs(2));
    let config = format!("{}limits = {{ wall = \"1s\" }}\n", rights::CONFIG);
    ensure!(harness.run(&config, &["auth bob cms staging", "(4000)", "bob> whoami"], None)?);
    let (said, jobs) = (harness.chat.words(), harness.jobs());
    ensure!(said.iter().any(|text| text.contains("was stopped: it did not end within 1 s")), "{said:?}");
    ensure!(said.iter().any(|text| text.contains("Role deployer")), "{said:?}");
    // The result of the grant is stored before the end of the guest.
    let kinds: Vec<EntryKind> = harness.entries(&jobs[0].id)?.iter().map(|hashed| hashed.entry.kind).collect();
    let (result, end) = (EntryKind::Result, EntryKind::End);
    let at = |kind: EntryKind| kinds.iter().position(|other| *other == kind);
    ensure!(at(result).is_some() && at(result) < at(end), "{kinds:?}");
    harness.verify()
}
