//! The command `hook NAME again`, with which an admin asks for the redelivery of a webhook.
//!
//! Invariant: one request lets the newest accepted delivery of the hook start its command again, once, and only for a
//! limited time. A repeated older delivery starts nothing.

use super::jobs::text;
use crate::{
    base::{PREFIX, nearest, spoken_duration},
    engine::{
        REDELIVERY_TIMEOUT, Redelivery,
        host::Host,
        key_prefix,
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
            let meant = nearest(name, hooks()).map(|meant| format!(" Did you mean `{PREFIX}hook {meant} again`?"));
            let shown = crate::base::clean(name);
            return Err(Refusal::Malformed(format!("There is no hook `{shown}`.{}", meant.unwrap_or_default())));
        }
        let newest = self.context.store.newest_deduplication_key(&key_prefix(name)).await;
        let newest = newest.map_err(|error| {
            Refusal::Unable(format!("The deliveries of the hook `{name}` cannot be read: {error}. Try again."))
        })?;
        let Some((key, accepted)) = newest else {
            return Err(Refusal::Unable(format!(
                "The hook `{name}` has accepted no delivery that can come again. Send the delivery without this command."
            )));
        };
        let now = self.context.clock.now();
        let age = std::time::Duration::try_from(now.duration_since(accepted)).unwrap_or_default();
        let until = now.checked_add(REDELIVERY_TIMEOUT);
        let until = until.map_err(|_| Refusal::Unable("The host's clock is wrong.".to_owned()))?;
        let answer = format!(
            "Send the newest delivery to the hook `{name}` again within {}. It starts its command once more, although \
             the hook accepted it {} ago.",
            spoken_duration(REDELIVERY_TIMEOUT),
            spoken_duration(age)
        );
        // The request is in the audit record before it has an effect.
        let committed = self.context.store.commit(self.extra_writes(message, &answer)).await;
        committed.map_err(|error| Refusal::Unable(format!("The request was not stored: {error}. Try again.")))?;
        self.redeliveries.expect(name, Redelivery { key, until });
        Ok(Verdict::CarriedOut(answer))
    }
}
