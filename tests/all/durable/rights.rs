//! Roles that are granted and revoked in chat at the same time.

use std::time::Duration;

use anyhow::{Result, ensure};
use wardroom::{model::Outcome, store::Store as _};

use super::harness::Harness;

/// A configuration whose last table is that of the plugin `auth`.
pub(super) const CONFIG: &str = r#"
[bot.marvin.memory]

[people]
admins = ["operator"]

[person.bob]
ids = ["bob"]

[role.deployer]
commands      = ["deploy"]
apps          = ["*"]
environments  = ["*"]
grant_in_chat = true

[environment.staging]
[environment.production]

[app.cms]
[app.cms.deploy.staging]
memory = true
[app.cms.deploy.production]
memory = true

[plugin.auth]
module = "{guests}/auth.wasm"
allow  = [{ call = "access.*" }]
"#;

#[test]
fn two_revocations_at_the_same_time_leave_no_role() -> Result<()> {
    for second in ["auth revoke bob cms", "auth revoke bob cms production"] {
        let harness = Harness::new(Some(Outcome::Succeeded))?;
        ensure!(harness.run(CONFIG, &["auth bob cms"], None)?);
        // The first revocation stores a role for the other environment, and is applied late.
        harness.slow_grants.set(Duration::from_millis(300));
        ensure!(harness.run(CONFIG, &["auth revoke bob cms staging", "(100)", second], None)?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let left = runtime.block_on(harness.store.grants())?;
        ensure!(left.is_empty(), "{second}: {left:?}\n{:?}", harness.chat.words());
        harness.verify()?;
    }
    Ok(())
}
