//! The command `hook NAME again`, with which an admin asks for the redelivery of a webhook.
//!
//! Invariant: one request lets one known delivery start its command again, and only for a limited time.

use super::jobs::text;
use crate::{
    base::{nearest, spoken_duration},
    engine::{
        REDELIVERY_TIMEOUT,
        host::Host,
        verdict::{Refusal, Verdict},
    },
    policy::Authorized,
};

impl Host {
    /// Runs `hook NAME again`.
    pub(crate) async fn redeliver(&self, authorized: &Authorized) -> Result<Verdict, Refusal> {
        let (name, message) = (text(authorized, "name").unwrap_or_default(), authorized.message());
        let hooks = || self.triggers.hooks.iter().map(|hook| hook.name.as_str());
        if !hooks().any(|hook| hook == name) {
            let meant = nearest(name, hooks()).map(|meant| format!(" Did you mean `hook {meant} again`?"));
            let shown = crate::base::clean(name);
            return Err(Refusal::Malformed(format!("There is no hook `{shown}`.{}", meant.unwrap_or_default())));
        }
        let until = self.context.clock.now().checked_add(REDELIVERY_TIMEOUT);
        let until = until.map_err(|_| Refusal::Unable("The host's clock is wrong.".to_owned()))?;
        let answer = format!(
            "Send the delivery to the hook `{name}` again within {}. It starts its command once more, although the hook \
             accepted it before.",
            spoken_duration(REDELIVERY_TIMEOUT)
        );
        // The request is in the audit record before it has an effect.
        let committed = self.context.store.commit(self.extra_writes(message, &answer)).await;
        committed.map_err(|error| Refusal::Unable(format!("The request was not stored: {error}. Try again.")))?;
        self.redeliveries.expect(name, until);
        Ok(Verdict::CarriedOut(answer))
    }
}
