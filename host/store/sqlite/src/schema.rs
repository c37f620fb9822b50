//! The versions of the schema, and whether a database is one that this build understands.
//!
//! Architecture Invariant: a migration that was released never changes; the next one goes into a new file,
//! listed in [`VERSIONS`].

use std::path::Path;

use sqlx::{
    SqlSafeStr, SqliteConnection,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use crate::{OpenError, convert::database};

/// Number, name and statements of every version, oldest first.
const VERSIONS: &[(i64, &str, &str)] = &[
    (1, "first", include_str!("../migrations/0001_first.sql")),
    (2, "durable", include_str!("../migrations/0002_durable.sql")),
    (3, "rights", include_str!("../migrations/0003_rights.sql")),
    (4, "identities", include_str!("../migrations/0004_identities.sql")),
    (5, "names", include_str!("../migrations/0005_names.sql")),
];

/// The newest version that this build knows.
fn newest() -> i64 {
    VERSIONS.last().map_or(0, |(number, ..)| *number)
}

/// Brings a database up to this build's version. A newer one is refused and left as it is.
pub(crate) async fn migrate(connection: &mut SqliteConnection, file: &Path) -> Result<(), OpenError> {
    let migrations = VERSIONS.iter().map(|(number, name, sql)| {
        Migration::new(*number, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    match Migrator::with_migrations(migrations.collect()).run_direct(None, connection, false).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(found)) => {
            Err(OpenError::Newer { file: file.to_owned(), found, known: newest() })
        }
        Err(error) => Err(OpenError::Database { file: file.to_owned(), reason: error.to_string() }),
    }
}

/// Whether a database that must not be changed is of this build's version.
pub(crate) async fn check(connection: &mut SqliteConnection, file: &Path) -> Result<(), OpenError> {
    let found: Result<Option<i64>, _> =
        sqlx::query_scalar("select max(version) from _sqlx_migrations").fetch_one(connection).await;
    let found = match found {
        Ok(found) => found.unwrap_or(0),
        Err(error) => return Err(database(file, &error)),
    };
    match found.cmp(&newest()) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(OpenError::Newer { file: file.to_owned(), found, known: newest() }),
        std::cmp::Ordering::Less => Err(OpenError::Older { file: file.to_owned(), found, known: newest() }),
    }
}
