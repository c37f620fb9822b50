//! The HTTP endpoints of the configured hooks. Each endpoint has its own authentication and rate limit.

use std::collections::HashMap;

use anyhow::Context as _;
use wardroom::trigger::Hook;

use crate::{auth::HookAuth, rate_limit::TokenBucket};

pub(crate) struct Endpoint {
    pub(crate) hook: Hook,
    pub(crate) auth: HookAuth,
    /// Limits the number of authenticated deliveries to this hook per minute.
    pub(crate) rate: TokenBucket,
}

/// Creates an endpoint for each hook, and reads the hook's secret. Returns the endpoints by hook name.
///
/// # Errors
/// A secret cannot be read or decoded. The error names the hook.
pub(crate) fn endpoints(hooks: &[Hook]) -> anyhow::Result<HashMap<String, Endpoint>> {
    let endpoint = |hook: &Hook| {
        let auth = HookAuth::new(hook).with_context(|| format!("hook `{}` ({})", hook.name, hook.at))?;
        let rate = TokenBucket::per_minute(hook.most_a_minute);
        Ok((hook.name.clone(), Endpoint { hook: hook.clone(), auth, rate }))
    };
    hooks.iter().map(endpoint).collect()
}
