//! Which machine works with a database: a row in it. The lock on the folder keeps hosts of one machine apart; a folder
//! that two machines see, or a copy of it, is beyond what a lock can know.
//!
//! Invariant: a database that names another machine is not changed before somebody says that it is to be taken over.

use std::path::Path;

use sqlx::SqliteConnection;
use wardroom::{Timestamp, journal::digest};

use crate::{
    OpenError,
    convert::{database, time},
};

/// Who opens a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// What tells this machine from others; `None` where nothing does, and then nothing is compared.
    pub machine: Option<String>,
    /// Whether a database of another machine is taken over.
    pub adopt: bool,
}

/// What tells this machine from others: a digest of its own id, which is not for other eyes. `None` where it has none.
pub fn machine() -> Option<String> {
    let files = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
    files.iter().find_map(|file| named(&std::fs::read_to_string(file).ok()?))
}

fn named(id: &str) -> Option<String> {
    let id = id.trim();
    // An image that was never started has this word there.
    (!id.is_empty() && id != "uninitialized").then(|| digest(format!("wardroom store {id}").as_bytes()))
}

/// Whether a database may be opened by this machine. One without the row may.
pub(crate) async fn check(connection: &mut SqliteConnection, file: &Path, claim: &Claim) -> Result<(), OpenError> {
    let Some(machine) = claim.machine.as_ref().filter(|_| !claim.adopt) else { return Ok(()) };
    let failed = |error| database(file, &error);
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

/// Writes down that this machine has it from now on. A machine without an id leaves what stands there.
pub(crate) async fn take(connection: &mut SqliteConnection, file: &Path, claim: &Claim) -> Result<(), OpenError> {
    let Some(machine) = &claim.machine else { return Ok(()) };
    sqlx::query(
        "insert into lease (one, machine, at) values (1, ?, ?)
         on conflict (one) do update set machine = excluded.machine, at = excluded.at",
    )
    .bind(machine)
    .bind(time(Timestamp::now()))
    .execute(connection)
    .await
    .map(drop)
    .map_err(|error| database(file, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_not_shown_and_none_is_none() {
        let name = named("3f2a\n").expect("it has an id");
        assert!(!name.contains("3f2a"));
        assert_eq!(Some(name), named(" 3f2a "));
        assert_ne!(named("3f2a"), named("3f2b"));
        assert_eq!(named("\n"), None);
        assert_eq!(named("uninitialized\n"), None);
    }
}
