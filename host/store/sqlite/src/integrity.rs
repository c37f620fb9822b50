//! Finds faults of the database itself: a changed schema, a damaged file, and an index that does not match its table.

use sqlx::{AssertSqlSafe, SqliteConnection};
use wardroom::store::StoreError;

use crate::{convert::store_error, schema};

/// Returns a description of the first fault of the database, in one line. Reads the whole file.
pub(crate) async fn fault(connection: &mut SqliteConnection) -> Result<Option<String>, StoreError> {
    if let Some(fault) = schema::fault(connection).await? {
        return Ok(Some(fault));
    }
    let check = sqlx::query_scalar("pragma integrity_check(1)").fetch_one(&mut *connection);
    let result: String = check.await.map_err(store_error)?;
    if result != "ok" {
        return Ok(Some(format!("the database file is damaged: {}", result.replace('\n', " "))));
    }
    // SQLite's check does not find superfluous entries of a partial index.
    for (index, table, condition) in partial_indexes(connection).await? {
        let equal = format!(
            "select (select count(*) from \"{table}\" indexed by \"{index}\" where {condition})
             = (select count(*) from \"{table}\" not indexed where {condition})"
        );
        let equal = sqlx::query_scalar(AssertSqlSafe(equal)).fetch_one(&mut *connection);
        if !equal.await.map_err(store_error)? {
            return Ok(Some(format!("the database file is damaged: the index `{index}` does not match its table")));
        }
    }
    Ok(None)
}

/// Returns the name, the table and the condition of each partial index. The schema must be that of the migrations.
async fn partial_indexes(connection: &mut SqliteConnection) -> Result<Vec<(String, String, String)>, StoreError> {
    sqlx::query_as(
        "select name, tbl_name, substr(sql, instr(sql, ' where ') + 7) from sqlite_schema
         where type = 'index' and instr(sql, ' where ') > 0",
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MachineClaim, open};

    #[tokio::test]
    async fn every_partial_index_is_checked() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut connection, _lock) =
            open::open_writer(&folder.path().join("wardroom.db"), &MachineClaim::default()).await.expect("opens");
        let all = "select count(*) from sqlite_schema as object, pragma_index_list(object.name) as list
                   where object.type = 'table' and list.partial";
        let all: i64 = sqlx::query_scalar(all).fetch_one(&mut connection).await.expect("a number");
        let found = partial_indexes(&mut connection).await.expect("indexes");
        assert!(all > 0);
        assert_eq!(i64::try_from(found.len()), Ok(all), "{found:?}");
        assert_eq!(fault(&mut connection).await.expect("a readable database"), None);
    }
}
