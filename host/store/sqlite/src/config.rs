//! Parses the key `url` of the table `[store]`.

use std::path::{Path, PathBuf};

const EXAMPLE: &str = "`sqlite:state/wardroom.db`";

/// Returns the path of the database file in a URL such as `sqlite:state/wardroom.db`. A relative path is relative to
/// `folder`.
///
/// # Errors
/// The URL is not valid. The error is a text of one line with the problem and an example of a valid URL.
pub fn parse_url(url: &str, folder: &Path) -> Result<PathBuf, String> {
    let Some((scheme, path)) = url.split_once(':') else {
        return Err(format!("the store `{url}` must begin with the kind of database; write for example {EXAMPLE}"));
    };
    if scheme != "sqlite" {
        // The message leaves out the rest of the URL, which may contain a password.
        return Err(format!(
            "this build does not support a store of the kind `{scheme}`, only `sqlite`; write for example {EXAMPLE}"
        ));
    }
    if path.starts_with("//") {
        return Err(format!("the store `{url}` names a server, but SQLite uses a file; write for example {EXAMPLE}"));
    }
    if path.contains(":memory:") {
        return Err(format!("the store `{url}` would lose its data when the host stops; write for example {EXAMPLE}"));
    }
    if path.contains(['?', '#', '\0']) {
        return Err(format!("the store `{url}` has options, which are not supported; write for example {EXAMPLE}"));
    }
    if path.is_empty() || path.ends_with(['/', '.']) {
        return Err(format!("the store `{url}` must name a file; write for example {EXAMPLE}"));
    }
    Ok(folder.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_relative_to_the_folder() {
        let folder = Path::new("/srv/wardroom");
        assert_eq!(parse_url("sqlite:state/wardroom.db", folder), Ok(PathBuf::from("/srv/wardroom/state/wardroom.db")));
        assert_eq!(parse_url("sqlite:/var/lib/wardroom.db", folder), Ok(PathBuf::from("/var/lib/wardroom.db")));
    }

    #[test]
    fn an_invalid_url_is_refused_with_an_example() {
        for (url, reason) in [
            ("state/wardroom.db", "must begin with the kind of database"),
            ("postgres://marvin:secret@db/wardroom", "this build does not support a store of the kind `postgres`"),
            ("sqlite://state/wardroom.db", "SQLite uses a file"),
            ("sqlite::memory:", "would lose its data"),
            ("sqlite:wardroom.db?mode=ro", "has options"),
            ("sqlite:", "must name a file"),
            ("sqlite:state/", "must name a file"),
            ("sqlite:..", "must name a file"),
        ] {
            let error = parse_url(url, Path::new("/srv")).expect_err(url);
            assert!(error.contains(reason), "{url}: {error}");
            assert!(error.contains(EXAMPLE), "{url}: {error}");
            assert!(!error.contains("secret"), "{url}: {error}");
        }
    }
}
