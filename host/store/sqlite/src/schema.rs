//! The versions of the database schema: migrates a database, and checks its schema version.
//!
//! Invariant: after a version of Wardroom with a migration file is published, the file never changes. Each change of
//! the schema is a new migration file, which is listed in [`VERSIONS`].

use std::{cmp::Ordering, path::Path};

use sqlx::{
    SqlSafeStr, SqliteConnection,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use crate::{OpenError, convert::open_error};

/// The number, the name and the SQL statements of every schema version, oldest first.
const VERSIONS: &[(i64, &str, &str)] = &[
    (1, "first", include_str!("../migrations/0001_first.sql")),
    (2, "durable", include_str!("../migrations/0002_durable.sql")),
    (3, "rights", include_str!("../migrations/0003_rights.sql")),
    (4, "identities", include_str!("../migrations/0004_identities.sql")),
    (5, "names", include_str!("../migrations/0005_names.sql")),
    (6, "authority", include_str!("../migrations/0006_authority.sql")),
];

/// Returns the newest schema version that this build supports.
fn newest_version() -> i64 {
    VERSIONS.last().map_or(0, |(number, ..)| *number)
}

/// Migrates a database to the newest schema version of this build. If a newer build has migrated the database, changes
/// nothing and returns [`OpenError::Newer`].
pub(crate) async fn migrate(connection: &mut SqliteConnection, file: &Path) -> Result<(), OpenError> {
    let migrations = VERSIONS.iter().map(|(number, name, sql)| {
        Migration::new(*number, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    match Migrator::with_migrations(migrations.collect()).run_direct(None, connection, false).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(found)) => {
            Err(OpenError::Newer { file: file.to_owned(), found, known: newest_version() })
        }
        Err(error) => Err(open_error(file, &error)),
    }
}

/// Checks that a database has the newest schema version of this build. Changes nothing.
pub(crate) async fn check(connection: &mut SqliteConnection, file: &Path) -> Result<(), OpenError> {
    let found: Option<i64> = sqlx::query_scalar("select max(version) from _sqlx_migrations")
        .fetch_one(connection)
        .await
        .map_err(|error| open_error(file, &error))?;
    let (found, known) = (found.unwrap_or(0), newest_version());
    match found.cmp(&known) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(OpenError::Newer { file: file.to_owned(), found, known }),
        Ordering::Less => Err(OpenError::Older { file: file.to_owned(), found, known }),
    }
}
