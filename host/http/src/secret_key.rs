//! The keys of a hook: the bytes of its token or secret, and of the one before a rotation.
//!
//! Invariant: a secret with which no delivery can be authenticated is an error when the host starts. The error never
//! contains the secret.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use parking_lot::Mutex;
use wardroom::{
    base::SecretRef,
    trigger::{Hook, HookAuth as Scheme},
};

/// Time after which a cached secret is read from its file again. An operator can therefore replace the secret without a
/// restart of the host. The host rejects the old secret after at most this time.
const CACHE_TTL: Duration = Duration::from_secs(10);
/// Minimum length of a key that was decoded from `whsec_`, in bytes. A shorter one is a part of a secret.
const MIN_DECODED_BYTES: usize = 16;
/// Libraries write base64 with and without padding.
const CONFIG: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: [GeneralPurpose; 2] =
    [GeneralPurpose::new(&alphabet::STANDARD, CONFIG), GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG)];

/// The keys that can be in use. A secret can have more than one meaning as a key.
pub(crate) type Keys = Arc<[Vec<u8>]>;

pub(crate) struct SecretKeys {
    hook: String,
    scheme: Scheme,
    secrets: Vec<SecretRef>,
    cache: Mutex<(Keys, Instant)>,
}

impl SecretKeys {
    /// Reads the secrets of a hook. If one is from a secret store and cannot be used yet, logs a warning and returns no key,
    /// so that every delivery is refused until it can.
    ///
    /// # Errors
    /// A secret cannot be read, or no delivery can be authenticated with it. The error has the line to write.
    pub(crate) fn new(hook: &Hook) -> anyhow::Result<Self> {
        let secrets: Vec<SecretRef> = [hook.auth.secret()].into_iter().chain(&hook.previous).cloned().collect();
        let keys = match read_all(&secrets, &hook.auth) {
            Err(error) if secrets.iter().any(|secret| matches!(secret, SecretRef::Stored { .. })) => {
                tracing::warn!(
                    hook = hook.name,
                    error = format!("{error:#}"),
                    "the deliveries of the hook are refused until its secret has a value"
                );
                Keys::from([])
            }
            keys => keys?,
        };
        let (hook, scheme) = (hook.name.clone(), hook.auth.clone());
        Ok(Self { hook, scheme, secrets, cache: Mutex::new((keys, Instant::now())) })
    }

    /// Returns the keys from the cache. If a secret is from a file or a secret store and was read more than [`CACHE_TTL`] ago, reads all
    /// secrets again. If that fails, logs a warning and returns the cached keys.
    pub(crate) fn get(&self) -> Keys {
        let mut cache = self.cache.lock();
        // A variable cannot change while the host runs.
        let can_change = self.secrets.iter().any(|secret| !matches!(secret, SecretRef::Env(_)));
        // The value of a secret store can have ended.
        if self.secrets.first().is_some_and(is_awaited) {
            cache.0 = Keys::from([]);
        } else if cache.0.is_empty() {
            cache.0 = read_all(&self.secrets, &self.scheme).unwrap_or_default();
            cache.1 = Instant::now();
        } else if can_change && cache.1.elapsed() >= CACHE_TTL {
            cache.1 = Instant::now();
            match read_all(&self.secrets, &self.scheme) {
                Ok(keys) => cache.0 = keys,
                // The file can be incomplete while a secret rotation writes it.
                Err(error) => tracing::warn!(
                    hook = self.hook,
                    error = format!("{error:#}"),
                    "cannot reload the hook's secret; the previous secret stays in use; retrying at a later delivery"
                ),
            }
        }
        cache.0.clone()
    }

    /// Marks the cached keys as expired, so that the next delivery reads the secrets again.
    #[cfg(test)]
    pub(crate) fn expire_cache(&self) {
        let mut cache = self.cache.lock();
        cache.1 = cache.1.checked_sub(CACHE_TTL).unwrap_or(cache.1);
    }
}

/// Returns whether a secret store has no value for a secret yet.
fn is_awaited(secret: &SecretRef) -> bool {
    matches!(secret, SecretRef::Stored { slot, .. } if !slot.has_value())
}

fn read_all(secrets: &[SecretRef], scheme: &Scheme) -> anyhow::Result<Keys> {
    let mut keys = Vec::new();
    for (place, secret) in secrets.iter().enumerate() {
        match read(secret, scheme) {
            // The secret before the current one can be gone from its store.
            Err(error) if place > 0 && matches!(secret, SecretRef::Stored { .. }) => {
                tracing::warn!(error = format!("{error:#}"), "an earlier secret of a hook is not used");
            }
            read => keys.extend(read?),
        }
    }
    Ok(keys.into())
}

fn read(secret: &SecretRef, scheme: &Scheme) -> anyhow::Result<Vec<Vec<u8>>> {
    let value = secret.resolve()?;
    let value = value.expose();
    // A byte order mark or a second line comes from an editor and is not part of the secret that the sender has.
    ensure!(
        !value.contains(['\n', '\r', '\0', '\u{feff}']),
        "the secret {secret} contains a byte order mark or a line break, so no delivery can be authenticated; write: \
         printf %s 'SECRET' > FILE"
    );
    match scheme {
        Scheme::Token { header, .. } => token(secret, value, header.is_none()).map(|key| vec![key]),
        Scheme::Hub { .. } => Ok(vec![value.into()]),
        Scheme::Standard { .. } => standard(secret, value),
    }
}

/// Returns a token as a key. A header contains only visible ASCII characters and blanks.
fn token(secret: &SecretRef, value: &str, is_bearer: bool) -> anyhow::Result<Vec<u8>> {
    ensure!(
        value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()),
        "the token {secret} has characters that an HTTP header cannot contain, so no delivery can be authenticated; \
         write a token of letters and digits, for example the output of: openssl rand -hex 32"
    );
    let scheme = value.split_once(' ').map(|(scheme, _)| scheme);
    ensure!(
        !(is_bearer && scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"))),
        "the token {secret} begins with `Bearer`, which the host expects in front of the token; write the token without \
         `Bearer`"
    );
    Ok(value.into())
}

/// Returns the keys that a Standard Webhooks secret can stand for. Libraries decode the text after `whsec_`, and a text
/// without that prefix, from base64; some senders use the whole text as the key.
fn standard(secret: &SecretRef, value: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    // Some senders show the version of the signature in front of the secret.
    let value = value.strip_prefix("v1,").unwrap_or(value);
    if value.starts_with("whsk_") || value.starts_with("whpk_") {
        bail!(
            "the secret {secret} is a key for asymmetric signatures (`v1a`), which the host does not verify; create a \
             symmetric secret in the sender, and write: secret = {secret} with the text that begins with `whsec_`"
        );
    }
    let decode = |text: &str| BASE64.iter().find_map(|base64| base64.decode(text).ok()).filter(|key| !key.is_empty());
    let mut keys = Vec::new();
    match value.strip_prefix("whsec_") {
        Some(encoded) => {
            let key = decode(encoded).with_context(|| {
                format!(
                    "the secret {secret} must hold base64 after `whsec_`; write: secret = {secret} with the text as the \
                     sender shows it"
                )
            })?;
            ensure!(
                key.len() >= MIN_DECODED_BYTES,
                "the secret {secret} has only {} bytes after `whsec_`, so it is not complete; write: secret = {secret} \
                 with the whole text that the sender shows",
                key.len()
            );
            keys.push(key);
        }
        None => keys.extend(decode(value)),
    }
    keys.push(value.into());
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use wardroom::base::{Secret, SecretSlot};

    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, SecretRef) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, text).unwrap();
        (folder, SecretRef::File(path))
    }

    fn keys(text: &str, scheme: impl Fn(SecretRef) -> Scheme) -> Result<Vec<Vec<u8>>, String> {
        let (_folder, secret) = file(text);
        let read = read(&secret, &scheme(secret.clone()));
        read.map_err(|error| format!("{error:#}").replace(&secret.to_string(), "SECRET"))
    }

    fn standard_scheme(secret: SecretRef) -> Scheme {
        Scheme::Standard { secret, tolerance: Duration::from_secs(300) }
    }

    #[test]
    fn a_standard_secret_is_accepted_in_every_form_in_which_libraries_create_it() {
        let key = [0xfb, 0xff].repeat(12);
        let padded = BASE64[0].encode([&key[..], b"x"].concat());
        let unpadded = padded.trim_end_matches('=').to_owned();
        let url_safe = unpadded.replace('+', "-").replace('/', "_");
        assert!(padded.ends_with('=') && padded.contains('/') && padded.contains('+'));
        for form in [&padded, &unpadded, &url_safe] {
            for text in [form.clone(), format!("whsec_{form}"), format!("v1,whsec_{form}"), format!("whsec_{form}\n")] {
                let keys = keys(&text, standard_scheme).unwrap();
                assert!(keys.contains(&[&key[..], b"x"].concat()), "{text}");
                // Some senders use the text itself as the key.
                let raw = text.trim_end().strip_prefix("v1,").unwrap_or(text.trim_end());
                assert!(keys.contains(&raw.as_bytes().to_vec()), "{text}");
            }
        }
        assert_eq!(keys("correct horse battery", standard_scheme), Ok(vec![b"correct horse battery".to_vec()]));
    }

    #[test]
    fn a_secret_that_cannot_authenticate_a_delivery_is_an_error_with_the_line_to_write() {
        let bearer = |token| Scheme::Token { token, header: None };
        let bare = |token| Scheme::Token { token, header: Some("X-Gitlab-Token".into()) };
        let hub = |secret| Scheme::Hub { secret, header: None };
        for (wrong, why) in [
            (keys("whsec_*", standard_scheme), "must hold base64 after `whsec_`; write: secret = SECRET with"),
            (keys("whsec_", standard_scheme), "must hold base64 after `whsec_`"),
            (keys("whsec_c2hvcnQ=", standard_scheme), "has only 5 bytes after `whsec_`"),
            (keys("whsk_AAAA", standard_scheme), "is a key for asymmetric signatures"),
            (keys("whpk_AAAA", standard_scheme), "is a key for asymmetric signatures"),
            (keys("\u{feff}abc", hub), "a byte order mark"),
            (keys(" \u{feff}abc", hub), "a byte order mark"),
            (keys("old\nnew\n", hub), "a line break"),
            (keys("schl\u{fc}ssel", bearer), "characters that an HTTP header cannot contain"),
            (keys("Bearer abc", bearer), "begins with `Bearer`"),
        ] {
            let error = wrong.unwrap_err();
            assert!(error.contains(why) && error.contains("write"), "{error}");
            assert!(!error.contains("abc") && !error.contains("AAAA"), "{error}");
        }
        for text in ["abc\n\n", "abc ", " abc"] {
            assert_eq!(keys(text, bearer), Ok(vec![b"abc".to_vec()]), "{text:?}");
        }
        // Harbor sends the whole value of the header `Authorization` as the operator typed it.
        assert_eq!(keys("Bearer abc\n", bare), Ok(vec![b"Bearer abc".to_vec()]));
        assert_eq!(keys("schl\u{fc}ssel\r\n", hub), Ok(vec!["schl\u{fc}ssel".into()]));
    }

    #[test]
    fn a_hook_whose_secret_has_no_value_yet_has_no_key() {
        let slot = SecretSlot::new("the hook");
        let stored = SecretRef::Stored { key: "vault", text: "prod:ci/hook#token".into(), slot: slot.clone() };
        let scheme = Scheme::Hub { secret: stored.clone(), header: None };
        let secrets = vec![stored];
        assert!(read_all(&secrets, &scheme).is_err() && secrets.iter().all(is_awaited));
        let cache = Mutex::new((Keys::from([]), Instant::now()));
        let keys = SecretKeys { hook: "build".into(), scheme, secrets, cache };
        assert!(keys.get().is_empty());
        slot.set(Secret::new("secret-of-the-hook"));
        assert_eq!(&*keys.get(), [b"secret-of-the-hook".to_vec()]);
    }
}
