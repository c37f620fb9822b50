//! Reads the tables `[identity.NAME]` of `plugins.toml`.
//!
//! Invariant: reading a table opens no connection and resolves no secret.

use std::{path::PathBuf, time::Duration};

use reqwest::Url;
use wardroom::base::{Key, SecretRef, Table, TableKeys};
use wardroom_account::read_server_url;

/// The shortest and the longest time for which a link counts.
const KEEPS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(7 * 24 * 3600));
const EXAMPLE: &str = "https://id.example.org/realms/corp";
/// The scope that makes the provider return an ID token (OpenID Connect Core, section 3.1.2.1).
const OPENID: &str = "openid";

/// The top-level keys of the file.
pub(crate) const FILE_KEYS: &[Key] =
    &[Key::tables("identity", &IDENTITY_KEYS, "The identity providers whose accounts people can link.")];

pub(crate) static IDENTITY_KEYS: TableKeys = TableKeys {
    path: "identity.NAME",
    about: "An OpenID Connect provider with the device flow. People link their accounts with the command `link`. A \
            `[group.NAME]` with the key `identity` has the people whose account has a group. The table requires a host \
            that is built with the feature `oidc`.",
    keys: &[
        Key::string(
            "issuer",
            "The issuer of the provider, as its discovery document has it. A slash at the end does not matter.",
        )
        .required(),
        Key::string("client_id", "The id of the client that is registered at the provider.").required(),
        Key::secret("client_secret", "The secret of the client. Without this key, the client is a public one."),
        Key::string("ca", "A PEM file with certificates that are trusted in addition to the system's certificates."),
        Key::strings(
            "scopes",
            "The scopes that the host asks for. `openid` is always added. Without this key, the host asks for `openid`, \
             `profile` and `groups`.",
        ),
        Key::string(
            "groups_claim",
            "The claim of the ID token with the groups: a name, or a JSON pointer such as `/realm_access/roles`.",
        )
        .default("groups"),
        Key::duration("keep", "How long a link counts. After that time, the person links the account again.")
            .between(KEEPS.0, KEEPS.1)
            .default("24h"),
    ],
};

/// An `[identity.NAME]` table.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The path of the table: `identity.NAME`.
    pub(crate) name: String,
    /// The issuer without a slash at its end.
    pub(crate) issuer: String,
    pub(crate) url: Url,
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<SecretRef>,
    pub(crate) ca: Option<PathBuf>,
    /// The scopes, separated by spaces.
    pub(crate) scope: String,
    pub(crate) groups_claim: String,
    pub(crate) keep: Duration,
}

impl Settings {
    /// Reads a table. Returns `None` if a key is missing or invalid; the configuration problems are added to the table.
    pub(crate) fn read(mut table: Table) -> Option<Self> {
        let before = table.problems().count();
        let url = read_server_url(&mut table, "issuer", EXAMPLE, |url| {
            let is_document = url.path().contains("/.well-known/");
            is_document.then_some("is the URL of the discovery document; write the issuer itself")
        });
        let client_id = table.required_string("client_id", "\"wardroom\"").map(|text| text.value);
        let client_secret = table.secret("client_secret").map(|secret| secret.value);
        let ca = table.string("ca").map(|path| table.folder().join(path.value));
        let scopes = table.strings("scopes").map(|list| list.value);
        for scope in scopes.iter().flatten() {
            let is_scope = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
            if !is_scope(&scope.value) {
                let message = format!("`{}.scopes` has an entry that is not one scope", table.path());
                table.problem(&scope.at, message, "scopes = [\"openid\", \"groups\"]".to_owned());
            }
        }
        let claim_at = table.at_key("groups_claim");
        let groups_claim = table.string_or_default("groups_claim");
        if groups_claim.is_empty() {
            let message = format!("`{}.groups_claim` is empty", table.path());
            table.problem(&claim_at, message, "groups_claim = \"groups\"".to_owned());
        }
        let keep = table.duration_or_default("keep");
        let name = table.path().to_owned();
        let problems = table.problems().clone();
        table.finish();
        let scopes: Vec<String> = match scopes {
            Some(scopes) => scopes.into_iter().map(|scope| scope.value).collect(),
            None => vec![OPENID.to_owned(), "profile".to_owned(), "groups".to_owned()],
        };
        let missing = (!scopes.iter().any(|scope| scope == OPENID)).then(|| OPENID.to_owned());
        let scope = missing.into_iter().chain(scopes).collect::<Vec<_>>().join(" ");
        let url = url?;
        let settings = Self {
            name,
            issuer: url.as_str().trim_end_matches('/').to_owned(),
            url,
            client_id: client_id?,
            client_secret,
            ca,
            scope,
            groups_claim,
            keep,
        };
        (problems.count() == before).then_some(settings)
    }
}
