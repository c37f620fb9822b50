//! The server of a chat account or of a pipeline backend: its URL in `plugins.toml`, the HTTP client for it, and
//! certificates that are trusted in addition to the system's.

use std::{fs, path::Path, time::Duration};

use reqwest::{Certificate, Client, ClientBuilder, Url, redirect::Policy};
use wardroom::base::Table;

use crate::error_chain;

/// The `User-Agent` header of every request: `wardroom/VERSION`.
const USER_AGENT: &str = concat!("wardroom/", env!("CARGO_PKG_VERSION"));

/// Maximum time for connecting to a server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns a builder of an HTTP client for an account. `ca` is the path of the additional certificates in the
/// configuration key `ca`. The client does not follow redirects, because a password or a token must not be sent to
/// another server.
///
/// # Errors
/// The certificates cannot be used. The error contains the path and a hint.
pub fn http_client(ca: Option<&Path>) -> Result<ClientBuilder, String> {
    let builder = Client::builder().user_agent(USER_AGENT).connect_timeout(CONNECT_TIMEOUT).redirect(Policy::none());
    Ok(match ca {
        Some(path) => builder.tls_certs_merge(load_certificates(path)?),
        None => builder,
    })
}

/// Reads a required URL from the key `key` of a configuration table. The URL must be http or https, without user,
/// password, query and fragment. `check` is an additional rule of the chat network: it returns `None` for an allowed
/// URL, and the reason for a rejected URL. The reason is worded as the end of a sentence, for example `is the URL of
/// the API`. `example` is a valid URL for the hint.
///
/// Returns `None` and adds a configuration problem to the table if the URL is missing or invalid. The problem does not
/// show the URL, because it can contain a password.
pub fn read_server_url(
    table: &mut Table,
    key: &str,
    example: &str,
    check: impl Fn(&Url) -> Option<&'static str>,
) -> Option<Url> {
    let text = table.required_string(key, &format!("\"{example}\""))?;
    let url = Url::parse(&text.value);
    let why = match &url {
        Ok(url) if !matches!(url.scheme(), "http" | "https") || url.host().is_none() => {
            Some("is not an http or https URL")
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Some("contains a user name or a password, which is not allowed")
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            Some("contains a query or a fragment, which is not allowed")
        }
        Ok(url) => check(url),
        Err(_) => Some("is not a URL"),
    };
    if let Some(why) = why {
        let message = format!("`{}.{key}` {why}", table.path());
        table.problem(&text.at, message, format!("{key} = \"{example}\""));
        return None;
    }
    url.ok()
}

/// Loads the certificates from the PEM file that the key `ca` names.
///
/// # Errors
/// An error message for the operator, if the file cannot be read or holds no certificate.
fn load_certificates(path: &Path) -> Result<Vec<Certificate>, String> {
    let problem = |why: &str| {
        let path = path.display();
        format!("the certificates in `{path}` cannot be used: {why}; hint: set `ca` to a file with PEM certificates")
    };
    let pem = fs::read(path).map_err(|error| problem(&error.to_string()))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| problem(&error_chain(&error)))?;
    if certificates.is_empty() {
        return Err(problem("the file holds no certificate"));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_rejected_with_its_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.pem");
        let load = || load_certificates(&path).expect_err("no certificate");
        assert!(load().contains("ca.pem"), "{}", load());
        fs::write(&path, "").expect("written");
        assert!(load().contains("holds no certificate"), "{}", load());
    }
}
