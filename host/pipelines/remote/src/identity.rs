//! The client certificate with which the host signs in to a server: read from secrets, checked, and read again when it
//! changes.
//!
//! Invariant: a certificate that has expired or is not valid yet is reported before a request is sent with it.

use reqwest::Identity;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use wardroom::{
    Timestamp,
    base::{Secret, SecretRef},
};
use wardroom_account::error_chain;

use crate::{RemoteError, validity::Validity};

/// Where a client certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentitySource {
    /// The PEM certificates and the PEM key are in two secrets.
    Pair {
        /// The certificate, and then those of its issuers.
        certificate: SecretRef,
        /// The private key without a passphrase.
        key: SecretRef,
    },
    /// One secret holds the PEM certificates and the PEM key.
    Bundle(SecretRef),
}

/// A certificate with its key that was read. Two values are equal if the texts of their secrets are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoadedIdentity {
    pem: Secret,
}

impl IdentitySource {
    /// Reads the certificate and checks that it is valid now.
    ///
    /// # Errors
    /// The certificate cannot be read or used now. The request was not sent.
    pub(crate) fn load(&self) -> Result<LoadedIdentity, RemoteError> {
        let pem = self.read()?;
        let problem =
            |why: String| RemoteError::not_sent(format!("the client certificate in {} {why}", self.certificate()));
        let text = pem.expose();
        let certificate = CertificateDer::pem_slice_iter(text.as_bytes()).next();
        let Some(Ok(certificate)) = certificate else {
            return Err(problem(
                "cannot be used: it holds no PEM certificate (`-----BEGIN CERTIFICATE-----`)".to_owned(),
            ));
        };
        if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(problem(
                "cannot be used: its private key has a passphrase; store the key without one".to_owned(),
            ));
        }
        if PrivateKeyDer::from_pem_slice(text.as_bytes()).is_err() {
            return Err(problem("cannot be used: its secret holds no PEM private key".to_owned()));
        }
        // A certificate whose times cannot be read is judged by the server.
        if let Some(validity) = Validity::of(&certificate) {
            let now = Timestamp::now();
            let shown = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
            if now > validity.end {
                return Err(problem(format!("expired at {}; renew it", shown(validity.end))));
            }
            if now < validity.begin {
                return Err(problem(format!(
                    "is not valid before {}; check the clock of the host, or use another certificate",
                    shown(validity.begin)
                )));
            }
        }
        Ok(LoadedIdentity { pem })
    }

    fn read(&self) -> Result<Secret, RemoteError> {
        let resolve = |secret: &SecretRef| {
            let read = secret.resolve();
            read.map_err(|error| RemoteError::not_sent(format!("cannot read the client certificate: {error:#}")))
        };
        match self {
            Self::Bundle(secret) => resolve(secret),
            Self::Pair { certificate, key } => {
                let (certificate, key) = (resolve(certificate)?, resolve(key)?);
                Ok(Secret::new(format!("{}\n{}\n", certificate.expose(), key.expose())))
            }
        }
    }

    /// Returns the secret that holds the certificate.
    fn certificate(&self) -> &SecretRef {
        match self {
            Self::Bundle(secret) | Self::Pair { certificate: secret, .. } => secret,
        }
    }

    /// Reads the secrets, so that the host redacts them. An error is reported by the first request.
    pub fn redact(&self) {
        let _ = self.read();
    }
}

impl LoadedIdentity {
    /// Converts the certificate for the HTTP client.
    ///
    /// # Errors
    /// The certificate and the key cannot be used. The request was not sent.
    pub(crate) fn parse(&self) -> Result<Identity, RemoteError> {
        Identity::from_pem(self.pem.expose().as_bytes()).map_err(|error| {
            RemoteError::not_sent(format!("the client certificate cannot be used: {}", error_chain(&error)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(certificate: &str, key: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("client.pem"), folder.path().join("client.key"));
        std::fs::write(&one, certificate).unwrap();
        std::fs::write(&two, key).unwrap();
        let source = IdentitySource::Pair { certificate: SecretRef::File(one.clone()), key: SecretRef::File(two) };
        let reason = source.load().unwrap_err().reason().to_owned();
        reason.replace(&one.display().to_string(), "client.pem")
    }

    #[test]
    fn a_secret_that_holds_no_certificate_is_named() {
        let certificate = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----";
        let in_file = "the client certificate in { file = \"client.pem\" } cannot be used:";
        assert_eq!(
            reason("hello", "key"),
            format!("{in_file} it holds no PEM certificate (`-----BEGIN CERTIFICATE-----`)")
        );
        assert_eq!(reason(certificate, "key"), format!("{in_file} its secret holds no PEM private key"));
        let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----";
        assert_eq!(
            reason(certificate, locked),
            format!("{in_file} its private key has a passphrase; store the key without one")
        );
        let missing = IdentitySource::Bundle(SecretRef::Env("WARDROOM_TEST_NOT_SET".to_owned()));
        assert_eq!(
            missing.load().unwrap_err().reason(),
            "cannot read the client certificate: the environment variable `WARDROOM_TEST_NOT_SET` is not set or is not \
             valid UTF-8"
        );
    }
}
