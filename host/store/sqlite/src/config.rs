//! Reads the `url` of `[store]`: which database, and where.

use std::path::{Path, PathBuf};

/// The database file that a `url` such as `sqlite:state/wardroom.db` names; `folder` is what a relative path is
/// relative to.
///
/// # Errors
/// One line that says what is wrong and what to write instead.
pub fn parse_url(url: &str, folder: &Path) -> Result<PathBuf, String> {
    const EXAMPLE: &str = "`sqlite:state/wardroom.db`";
    let Some((scheme, path)) = url.split_once(':') else {
        return Err(format!("the store `{url}` names no kind of database; write for example {EXAMPLE}"));
    };
    if scheme != "sqlite" {
        // Only the scheme is repeated: what follows it may hold a password.
        return Err(format!("this build has no store of the kind `{scheme}`; it has `sqlite`, for example {EXAMPLE}"));
    }
    if path.starts_with("//") {
        return Err(format!("the store `{url}` names a server, and SQLite is a file; write for example {EXAMPLE}"));
    }
    if path.contains(":memory:") {
        return Err(format!("the store `{url}` would forget everything at the end; write for example {EXAMPLE}"));
    }
    if path.contains(['?', '#', '\0']) {
        return Err(format!("the store `{url}` takes no options; write for example {EXAMPLE}"));
    }
    if path.is_empty() || path.ends_with(['/', '.']) {
        return Err(format!("the store `{url}` names no file; write for example {EXAMPLE}"));
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
    fn what_is_no_sqlite_file_is_refused_with_what_to_write() {
        for (url, reason) in [
            ("state/wardroom.db", "names no kind of database"),
            ("postgres://marvin:secret@db/wardroom", "this build has no store of the kind `postgres`"),
            ("sqlite://state/wardroom.db", "SQLite is a file"),
            ("sqlite::memory:", "would forget everything"),
            ("sqlite:wardroom.db?mode=ro", "takes no options"),
            ("sqlite:", "names no file"),
            ("sqlite:state/", "names no file"),
            ("sqlite:..", "names no file"),
        ] {
            let error = parse_url(url, Path::new("/srv")).expect_err(url);
            assert!(error.contains(reason), "{url}: {error}");
            assert!(error.contains("`sqlite:state/wardroom.db`"), "{url}: {error}");
            assert!(!error.contains("secret"), "{url}: {error}");
        }
    }
}
