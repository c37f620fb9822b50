//! Opens the database file: connection options, file modes and errors.

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
    convert::open_error,
    lease::{self, MachineClaim},
    lock::{self, FolderLock},
    schema,
};

/// The reasons why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another host on this computer uses the state folder. Two hosts would both reply to every message.
    #[error("another host uses the folder `{}`; stop that host, or set another `url` in `[store]`", folder.display())]
    InUse {
        /// The state folder.
        folder: PathBuf,
    },
    /// A host on another computer used the database. Two hosts would both run every job.
    #[error("the database `{}` was used on another computer, where a host last started at {since}; if that host is stopped for good, take over its database with `wardroom run --adopt`", file.display())]
    OtherMachine {
        /// The database file.
        file: PathBuf,
        /// The time at which a host on the other computer last opened the database.
        since: Timestamp,
    },
    /// The database file does not exist, and a read-only store does not create it.
    #[error("the database `{}` does not exist; `wardroom run` creates it", file.display())]
    Missing {
        /// The database file.
        file: PathBuf,
    },
    /// A newer build migrated the database to a schema that this build does not support.
    #[error("the database `{}` has version {found}, but this build supports versions up to {known}; use the newer build", file.display())]
    Newer {
        /// The database file.
        file: PathBuf,
        /// The schema version of the database.
        found: i64,
        /// The newest schema version that this build supports.
        known: i64,
    },
    /// An older build wrote the database, and a read-only store does not migrate it.
    #[error("the database `{}` has version {found}, but this build reads version {known}; start `wardroom run` of this build once to migrate it", file.display())]
    Older {
        /// The database file.
        file: PathBuf,
        /// The schema version of the database.
        found: i64,
        /// The schema version that this build reads.
        known: i64,
    },
    /// The state folder, or a file in this folder, cannot be created or opened.
    #[error("`{}` cannot be used", path.display())]
    Folder {
        /// The folder or file that cannot be created or opened.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// SQLite cannot open or migrate the database file, or the file's schema is not the schema of this build.
    #[error("the database `{}` cannot be opened: {reason}", file.display())]
    Database {
        /// The database file.
        file: PathBuf,
        /// SQLite's error message.
        reason: String,
    },
}

/// Maximum time that an SQL statement waits for another process, such as a backup, to unlock the database. It is also
/// the maximum time that a query waits until a connection of the pool of reading connections is free. After this time,
/// the statement or query fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the writing connection of a host, in these steps: locks the folder of the database file, checks that no host
/// on another computer last opened the database (the lease), migrates the database, checks its schema, and stores the
/// machine id of `claim` in the lease.
pub(crate) async fn open_writer(
    file: &Path,
    claim: &MachineClaim,
) -> Result<(SqliteConnection, FolderLock), OpenError> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let lock = FolderLock::acquire(folder).await?;
    let failed = |path: &Path, source| OpenError::Folder { path: path.to_owned(), source };
    // SQLite copies the mode of the database file to its other files.
    drop(lock::open_private(file).map_err(|source| failed(file, source))?);
    let mut connection = options(file).connect().await.map_err(|error| open_error(file, &error))?;
    // Check before the migration, because another computer may still use the database.
    lease::check(&mut connection, file, claim).await?;
    schema::prepare(&mut connection, file).await?;
    lease::take(&mut connection, file, claim).await?;
    // Sync the folder, so that the name of a new database file survives a power failure.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| failed(folder, source))?;
    Ok((connection, lock))
}

/// Returns the options of the writing connection.
pub(crate) fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // SQLite truncates the write-ahead log to 16 MiB after a burst.
        .pragma("journal_size_limit", "16777216")
        .disable_statement_logging()
}

/// Returns a pool of up to four reading connections, each opened on demand.
pub(crate) fn reader_pool(file: &Path) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(4)
        .acquire_timeout(BUSY_TIMEOUT)
        .idle_timeout(Duration::from_secs(60))
        .test_before_acquire(false)
        .connect_lazy_with(read_only_options(file))
}

/// Checks that the database file exists and has exactly the schema version of this build. Changes nothing.
pub(crate) async fn check_readable(file: &Path) -> Result<(), OpenError> {
    match file.try_exists() {
        Ok(true) => {}
        Ok(false) => return Err(OpenError::Missing { file: file.to_owned() }),
        Err(source) => return Err(OpenError::Folder { path: file.to_owned(), source }),
    }
    let mut connection = read_only_options(file).connect().await.map_err(|error| open_error(file, &error))?;
    schema::check(&mut connection, file).await
}

fn read_only_options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(file).read_only(true).busy_timeout(BUSY_TIMEOUT).disable_statement_logging()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn commits_are_synced() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut connection, _lock) =
            open_writer(&folder.path().join("wardroom.db"), &MachineClaim::default()).await.expect("opens");
        let query = "select synchronous, journal_mode, foreign_keys
                     from pragma_synchronous, pragma_journal_mode, pragma_foreign_keys";
        let row: (i64, String, i64) = sqlx::query_as(query).fetch_one(&mut connection).await.expect("a row");
        assert_eq!(row, (2, "wal".to_owned(), 1), "full sync, write-ahead log, foreign keys");
    }
}
