//! The hooks of the configuration as endpoints: each with its authentication, its rate limit and its concurrency limit.

use std::collections::HashMap;

use anyhow::Context as _;
use tokio::sync::Semaphore;
use wardroom::trigger::Hook;

use crate::{auth::HookAuth, rate_limit::TokenBucket};

/// Bodies of one hook that are read at the same time.
const CONCURRENT_BODIES: usize = 16;

/// All endpoints, by the name of their hook.
pub(crate) struct Endpoints(HashMap<String, Endpoint>);

pub(crate) struct Endpoint {
    pub(crate) hook: Hook,
    pub(crate) auth: HookAuth,
    /// Authenticated deliveries to this hook.
    pub(crate) rate: TokenBucket,
    /// Limits the memory of bodies that are being read.
    pub(crate) bodies: Semaphore,
}

impl Endpoints {
    /// Resolves the secret of every hook.
    ///
    /// # Errors
    /// The first secret that cannot be read or decoded.
    pub(crate) fn new(hooks: &[Hook]) -> anyhow::Result<Self> {
        let endpoint = |hook: &Hook| {
            let auth = HookAuth::new(hook).with_context(|| format!("hook `{}` ({})", hook.name, hook.at))?;
            let rate = TokenBucket::per_minute(hook.most_a_minute);
            let bodies = Semaphore::new(CONCURRENT_BODIES);
            Ok((hook.name.clone(), Endpoint { hook: hook.clone(), auth, rate, bodies }))
        };
        hooks.iter().map(endpoint).collect::<anyhow::Result<_>>().map(Self)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Endpoint> {
        self.0.get(name)
    }
}
