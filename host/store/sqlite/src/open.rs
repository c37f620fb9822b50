//! Opens the database file: who may read it, how it is written, and why it was not opened.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    ConnectOptions, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use wardroom::Timestamp;

use crate::{
    convert::database,
    lease::{self, Claim},
    lock::{self, Lock},
    schema,
};

/// Why a database was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another host works on this state folder. Two hosts on one folder would both answer every message.
    #[error("the folder `{}` is in use by another host; stop that one first, or give this one a store of its own", folder.display())]
    InUse {
        /// The state folder.
        folder: PathBuf,
    },
    /// The database was used on another machine. Two hosts on one database would both do everything.
    #[error("the database `{}` was used on another machine, last started there at {since}; if that host is stopped for good, take its database over with `wardroom run --adopt`", file.display())]
    OtherMachine {
        /// The database file.
        file: PathBuf,
        /// When a host was last started there.
        since: Timestamp,
    },
    /// There is nothing to look at.
    #[error("there is no database `{}`; no host has run here yet", file.display())]
    Missing {
        /// The database file.
        file: PathBuf,
    },
    /// A newer build wrote it; this one would misread it.
    #[error("the database `{}` is of version {found}, and this build knows versions up to {known}; use the newer build", file.display())]
    Newer {
        /// The database file.
        file: PathBuf,
        /// The version that it has.
        found: i64,
        /// The newest version that this build knows.
        known: i64,
    },
    /// An older build wrote it, and it was opened for reading only.
    #[error("the database `{}` is of version {found}, and this build reads version {known}; start a host of this build once", file.display())]
    Older {
        /// The database file.
        file: PathBuf,
        /// The version that it has.
        found: i64,
        /// The version that this build reads.
        known: i64,
    },
    /// The folder or a file in it cannot be made or opened.
    #[error("`{}` cannot be used: {source}", path.display())]
    Folder {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite does not take it.
    #[error("the database `{}` cannot be opened: {reason}", file.display())]
    Database {
        /// The database file.
        file: PathBuf,
        /// SQLite's own words.
        reason: String,
    },
}

/// How long a statement waits for another process, such as a backup, to let go of the database.
const BUSY: Duration = Duration::from_secs(5);

/// Opens the one connection that writes, on a folder that is then this process's own.
pub(crate) async fn writing(file: &Path, claim: &Claim) -> Result<(SqliteConnection, Lock), OpenError> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let lock = Lock::take(folder).await?;
    let failed = |path: &Path, source| OpenError::Folder { path: path.to_owned(), source };
    // SQLite gives its other files the rights of this one.
    drop(lock::private(file).map_err(|source| failed(file, source))?);
    let mut connection = connect(&options(file)).await.map_err(|error| database(file, &error))?;
    // Before anything is changed: what another machine may still use is left as it is.
    lease::check(&mut connection, file, claim).await?;
    schema::migrate(&mut connection, file).await?;
    lease::take(&mut connection, file, claim).await?;
    // The new file's name is on disk too, from here on.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| failed(folder, source))?;
    Ok((connection, lock))
}

/// How the writing connection is opened.
pub(crate) fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // After a burst the log of writes shrinks back to this many bytes.
        .pragma("journal_size_limit", "16777216")
        .disable_statement_logging()
}

/// Connects; apart so that every connection of this crate comes from here.
pub(crate) async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    options.connect().await
}

/// Opens the connections that read, when they are needed.
pub(crate) fn reading(file: &Path) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(4)
        .acquire_timeout(BUSY)
        .idle_timeout(Duration::from_secs(60))
        .test_before_acquire(false)
        .connect_lazy_with(looking(file))
}

/// Whether a database is there and can be read by this build.
pub(crate) async fn readable(file: &Path) -> Result<(), OpenError> {
    match file.try_exists() {
        Ok(true) => {}
        Ok(false) => return Err(OpenError::Missing { file: file.to_owned() }),
        Err(source) => return Err(OpenError::Folder { path: file.to_owned(), source }),
    }
    let mut connection = connect(&looking(file)).await.map_err(|error| database(file, &error))?;
    schema::check(&mut connection, file).await
}

fn looking(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(file).read_only(true).busy_timeout(BUSY).disable_statement_logging()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_committed_is_synced() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut connection, _lock) =
            writing(&folder.path().join("wardroom.db"), &Claim::default()).await.expect("opens");
        let query = "select synchronous, journal_mode, foreign_keys
                     from pragma_synchronous, pragma_journal_mode, pragma_foreign_keys";
        let row: (i64, String, i64) = sqlx::query_as(query).fetch_one(&mut connection).await.expect("a row");
        assert_eq!(row, (2, "wal".to_owned(), 1), "full sync, write-ahead log, foreign keys");
    }
}
