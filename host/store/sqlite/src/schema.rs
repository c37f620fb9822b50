//! The versions of the database schema: migrates a database, and checks its schema version and its schema.
//!
//! Invariant: after a version of Wardroom with a migration file is published, the file never changes. Each change of
//! the schema is a new migration file, which is listed in [`VERSIONS`].

use std::{cmp::Ordering, path::Path};

use sqlx::{
    ConnectOptions, Connection, SqlSafeStr, SqliteConnection,
    migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator},
    sqlite::SqliteConnectOptions,
};
use wardroom::store::StoreError;

use crate::{
    OpenError,
    chain::ChainCache,
    convert::{open_error, store_error},
    transaction::Transaction,
};

/// The number, the name and the SQL statements of every schema version, oldest first.
const VERSIONS: &[(i64, &str, &str)] = &[
    (1, "first", include_str!("../migrations/0001_first.sql")),
    (2, "durable", include_str!("../migrations/0002_durable.sql")),
    (3, "rights", include_str!("../migrations/0003_rights.sql")),
    (4, "identities", include_str!("../migrations/0004_identities.sql")),
    (5, "names", include_str!("../migrations/0005_names.sql")),
    (6, "authority", include_str!("../migrations/0006_authority.sql")),
    (7, "identity_links", include_str!("../migrations/0007_identity_links.sql")),
];

/// The version whose migration creates the table `unlinked`. [`prepare`] removes the table.
const UNLINKED_VERSION: i64 = 6;
/// The table in which the migrator records the versions of a database.
const MIGRATIONS: &str = "_sqlx_migrations";

/// Returns the newest schema version that this build supports.
fn newest_version() -> i64 {
    VERSIONS.last().map_or(0, |(number, ..)| *number)
}

/// Migrates a database to the newest schema version of this build, in one transaction with the links that the migration
/// adds. Then checks the schema, because a view or a trigger that somebody added could change what the host reads or
/// writes.
///
/// # Errors
/// - [`OpenError::Newer`] if a newer build has migrated the database.
/// - [`OpenError::Database`] for errors of SQLite, and if the schema was changed.
///
/// After an error, the database is unchanged.
pub(crate) async fn prepare(connection: &mut SqliteConnection, file: &Path) -> Result<(), OpenError> {
    let failed = |error: sqlx::Error| open_error(file, &error);
    let migrating = |error| match error {
        MigrateError::VersionMissing(found) => {
            OpenError::Newer { file: file.to_owned(), found, known: newest_version() }
        }
        error => open_error(file, &error),
    };
    // `immediate` takes the write lock at once, so that no later statement fails because the database is busy.
    let mut transaction = connection.begin_with("begin immediate").await.map_err(failed)?;
    transaction.ensure_migrations_table(MIGRATIONS).await.map_err(migrating)?;
    let applied = transaction.list_applied_migrations(MIGRATIONS).await.map_err(migrating)?;
    migrate(&mut transaction).await.map_err(migrating)?;
    if applied.iter().all(|migration| migration.version != UNLINKED_VERSION) {
        let linked = Transaction::new(&mut transaction, &ChainCache::default()).link_unlinked().await;
        linked.map_err(|error| open_error(file, &error))?;
    }
    match fault(&mut transaction).await {
        Ok(None) => transaction.commit().await.map_err(failed),
        Ok(Some(fault)) => Err(open_error(
            file,
            &format!("{fault}; copy the folder of the database, and then undo the change or restore a backup"),
        )),
        Err(error) => Err(open_error(file, &error)),
    }
}

async fn migrate(connection: &mut SqliteConnection) -> Result<(), MigrateError> {
    let migrations = VERSIONS.iter().map(|(number, name, sql)| {
        Migration::new(*number, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect()).run_direct(None, connection, false).await
}

/// A row of `sqlite_schema`: the type, the name, the table and the SQL text of a table, an index, a view or a trigger.
type SchemaObject = (String, String, String, Option<String>);

/// Compares the schema of a database with the schema that the migrations of this build create. Returns a description of
/// the first difference, in one line.
pub(crate) async fn fault(connection: &mut SqliteConnection) -> Result<Option<String>, StoreError> {
    let expected = expected_objects().await?;
    let found = objects(connection).await.map_err(store_error)?;
    if let Some((kind, name, ..)) = found.iter().find(|object| !expected.contains(object)) {
        let is_known = expected.iter().any(|known| known.0 == *kind && known.1 == *name);
        return Ok(Some(match is_known {
            true => format!("the {kind} `{name}` of the database was changed"),
            false => format!("the {kind} `{name}` was added to the database"),
        }));
    }
    let missing = expected.iter().find(|object| !found.contains(object));
    Ok(missing.map(|(kind, name, ..)| format!("the {kind} `{name}` is missing from the database")))
}

/// Returns the schema of a new database, which the migrations create in memory.
async fn expected_objects() -> Result<Vec<SchemaObject>, StoreError> {
    let options = SqliteConnectOptions::new().in_memory(true).disable_statement_logging();
    let mut memory = options.connect().await.map_err(store_error)?;
    migrate(&mut memory).await.map_err(|error| StoreError::Failed(error.to_string()))?;
    sqlx::query("drop table unlinked").execute(&mut memory).await.map_err(store_error)?;
    let objects = objects(&mut memory).await.map_err(store_error)?;
    memory.close().await.map_err(store_error)?;
    Ok(objects)
}

/// Returns the schema of a database, without the tables that SQLite itself creates: views first, then triggers, tables
/// and indexes. Leaves out the SQL text of the migrator's table, which another version of the migrator can define
/// differently.
async fn objects(connection: &mut SqliteConnection) -> Result<Vec<SchemaObject>, sqlx::Error> {
    sqlx::query_as(
        "select type, name, tbl_name, iif(name = '_sqlx_migrations', null, sql) from sqlite_schema
         where type <> 'table' or name not in ('sqlite_sequence', 'sqlite_stat1', 'sqlite_stat4')
         order by type desc, name",
    )
    .fetch_all(connection)
    .await
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
