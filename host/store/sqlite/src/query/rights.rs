//! Queries for grants made in chat, and for freezes.

use sqlx::SqlitePool;
use wardroom::store::{Freeze, Grant, StoreError};

use super::all;
use crate::convert::Columns;

pub(crate) async fn grants(pool: &SqlitePool) -> Result<Vec<Grant>, StoreError> {
    let rows = sqlx::query("select * from granted order by seq");
    all(rows.fetch_all(pool).await, |row| {
        Ok(Grant {
            id: row.text("id")?,
            person: row.person("person_id", "person_name")?,
            role: row.text("role")?,
            app: row.text("app")?,
            environment: row.optional_text("environment")?,
            by: row.person("by_id", "by_name")?,
            bot: row.text("bot")?,
            at: row.time("at")?,
            until: row.optional_time("until")?,
        })
    })
}

pub(crate) async fn freezes(pool: &SqlitePool) -> Result<Vec<Freeze>, StoreError> {
    let rows = sqlx::query("select * from freeze order by environment");
    all(rows.fetch_all(pool).await, |row| {
        Ok(Freeze {
            environment: row.text("environment")?,
            until: row.optional_time("until")?,
            reason: row.text("reason")?,
            by: row.person("by_id", "by_name")?,
            at: row.time("at")?,
        })
    })
}
