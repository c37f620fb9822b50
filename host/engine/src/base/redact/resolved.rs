//! The secrets that this process has resolved, and the redactor for all of them.
//!
//! The set belongs to the process and not to an engine, because the log belongs to the process, and because adapters
//! resolve secrets at any time, for example at the start of a pipeline run.
//! Invariant: a secret is in the set before its first user gets it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::LazyLock,
};

use parking_lot::Mutex;

use super::{MIN_SECRET_LENGTH, Redactor};
use crate::base::Secret;

/// The number of values of one secret that are redacted. An operator can replace a secret while the host runs, and
/// earlier output contains the earlier values.
const KEPT_VALUES: usize = 32;

static RESOLVED: LazyLock<Mutex<Resolved>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Resolved {
    /// The newest values of each secret by the name of the secret.
    values: BTreeMap<String, VecDeque<Secret>>,
    /// `None` after a change of `values`.
    redactor: Option<Redactor>,
}

/// Returns the redactor for all secrets that this process has resolved so far.
pub fn redactor() -> Redactor {
    let mut resolved = RESOLVED.lock();
    let Resolved { values, redactor } = &mut *resolved;
    redactor.get_or_insert_with(|| Redactor::new(values.values().flatten())).clone()
}

/// Adds a secret to the secrets that [`redactor`] redacts, for example a token that a server issued after a login. The
/// value of a reference in the configuration is added by [`SecretRef::resolve`](crate::base::SecretRef::resolve). `name`
/// is shown in a warning if the secret is too short.
pub fn remember_secret(name: &str, secret: &Secret) {
    remember(name, secret);
}

/// Adds a secret as [`remember_secret`] does. Returns whether the value is new.
pub(crate) fn remember(name: &str, secret: &Secret) -> bool {
    let mut resolved = RESOLVED.lock();
    if !add(resolved.values.entry(name.to_owned()).or_default(), secret) {
        return false;
    }
    resolved.redactor = None;
    // The log uses the redactor, so the lock must be free.
    drop(resolved);
    if secret.expose().trim().len() < MIN_SECRET_LENGTH {
        tracing::warn!(
            secret = name,
            "the secret has fewer than {MIN_SECRET_LENGTH} characters, so it is not redacted in messages, logs and run output; hint: use a longer secret"
        );
    }
    true
}

/// Makes a value the newest one. Returns whether it is a new value.
fn add(values: &mut VecDeque<Secret>, secret: &Secret) -> bool {
    // A value that is set again is in use again, so it must not be the next one to be removed.
    let known = values.iter().position(|value| value == secret).and_then(|index| values.remove(index));
    values.push_back(secret.clone());
    if values.len() > KEPT_VALUES {
        values.pop_front();
    }
    known.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_set_again_is_kept_as_the_newest_one() {
        let mut values = VecDeque::new();
        let secret = |number: usize| Secret::new(format!("secret {number}"));
        assert!((0..KEPT_VALUES).all(|number| add(&mut values, &secret(number))));
        assert!(!add(&mut values, &secret(0)));
        assert!(add(&mut values, &secret(KEPT_VALUES)));
        assert_eq!(values.len(), KEPT_VALUES);
        assert!(values.contains(&secret(0)) && !values.contains(&secret(1)));
    }
}
