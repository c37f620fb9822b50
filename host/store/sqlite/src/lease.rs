//! The lease of a database: a row with the machine id of the computer whose host last opened the database. The folder's
//! lock excludes a second host on the same computer. The lease excludes a host on another computer that shares the
//! folder or has a copy of it.
//!
//! Invariant: if a host on another computer last opened the database, this host does not change the database until an
//! operator takes it over with `wardroom run --adopt`.

use std::path::Path;

use sqlx::SqliteConnection;
use wardroom::{Timestamp, store::digest};

use crate::{
    OpenError,
    convert::{open_error, time_column},
};

/// The computer that opens a database, and whether it may take the database over from another computer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MachineClaim {
    /// The computer's machine id, see [`machine_id`]. If it is `None`, the host neither reads nor changes the lease.
    pub machine: Option<String>,
    /// If true, the host also opens a database that another computer used, and stores its own machine id in the lease.
    pub adopt: bool,
}

/// Returns a digest of the operating system's machine id; `None` if the system has no machine id. The id itself is
/// confidential and is not stored.
pub fn machine_id() -> Option<String> {
    let files = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
    files.iter().find_map(|file| hashed(&std::fs::read_to_string(file).ok()?))
}

fn hashed(id: &str) -> Option<String> {
    let id = id.trim();
    // `uninitialized` is the content in a system image that was never booted.
    (!id.is_empty() && id != "uninitialized").then(|| digest(format!("wardroom store {id}").as_bytes()))
}

/// Checks that the lease of the database does not belong to another computer.
///
/// Always succeeds if `claim` has no machine id, if `claim.adopt` is true, or if the database has no lease. In all
/// other cases, the machine id in the lease must be equal to the machine id of `claim`. If the ids differ, the check
/// returns [`OpenError::OtherMachine`].
pub(crate) async fn check(
    connection: &mut SqliteConnection,
    file: &Path,
    claim: &MachineClaim,
) -> Result<(), OpenError> {
    let Some(machine) = claim.machine.as_ref().filter(|_| !claim.adopt) else { return Ok(()) };
    let failed = |error: sqlx::Error| open_error(file, &error);
    let table: Option<i64> = sqlx::query_scalar("select 1 from sqlite_schema where type = 'table' and name = 'lease'")
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?;
    if table.is_none() {
        return Ok(());
    }
    let row: Option<(String, String)> =
        sqlx::query_as("select machine, at from lease").fetch_optional(connection).await.map_err(failed)?;
    match row {
        Some((other, at)) if other != *machine => {
            let since = at.parse().unwrap_or(Timestamp::UNIX_EPOCH);
            Err(OpenError::OtherMachine { file: file.to_owned(), since })
        }
        _ => Ok(()),
    }
}

/// Stores the machine id of `claim` and the current time in the lease. Does nothing if `claim` has no machine id.
pub(crate) async fn take(
    connection: &mut SqliteConnection,
    file: &Path,
    claim: &MachineClaim,
) -> Result<(), OpenError> {
    let Some(machine) = &claim.machine else { return Ok(()) };
    sqlx::query(
        "insert into lease (one, machine, at) values (1, ?, ?)
         on conflict (one) do update set machine = excluded.machine, at = excluded.at",
    )
    .bind(machine)
    .bind(time_column(Timestamp::now()))
    .execute(connection)
    .await
    .map(drop)
    .map_err(|error| open_error(file, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_id_is_hashed_and_may_be_missing() {
        let id = hashed("3f2a\n").expect("an id");
        assert!(!id.contains("3f2a"));
        assert_eq!(Some(id), hashed(" 3f2a "));
        assert_ne!(hashed("3f2a"), hashed("3f2b"));
        assert_eq!(hashed("\n"), None);
        assert_eq!(hashed("uninitialized\n"), None);
    }
}
