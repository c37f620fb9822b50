//! Adds links to the hash chain for the grants, freezes, releases and messages that older builds stored without a link.
//!
//! The migration to schema version 6 lists these rows in the table `unlinked`.
//!
//! Invariant: the transaction that runs this migration also adds the links and removes the table. A table `unlinked`
//! that exists at any other time was made by somebody else, and is not read.

use sqlx::sqlite::SqliteRow;
use wardroom::{
    Timestamp,
    store::{InboxKey, Link, LinkKind, StoreError},
};

use crate::{
    convert::{Columns, store_error},
    query,
    transaction::Transaction,
};

impl Transaction<'_, '_> {
    /// Adds a link for each row in the table `unlinked`, and removes the table.
    ///
    /// # Errors
    /// The hash chain already has links of the kinds that version 6 introduced. Then the migration has run before, and
    /// somebody deleted its record so that forged rows get links.
    pub(crate) async fn link_unlinked(&mut self) -> Result<(), StoreError> {
        let newer = sqlx::query(
            "select 1 from link where kind not in ('open', 'close', 'lines', 'refusal', 'removal') limit 1",
        );
        if newer.fetch_optional(&mut *self.connection).await.map_err(store_error)?.is_some() {
            return Err(StoreError::Failed(
                "the table `_sqlx_migrations` was changed: the migration to version 6 has already added its links; \
                 restore a backup"
                    .to_owned(),
            ));
        }
        let rows = sqlx::query("select kind, subject from unlinked order by kind, subject");
        for row in rows.fetch_all(&mut *self.connection).await.map_err(store_error)? {
            let (kind, subject) = (row.variant("kind")?, row.text("subject")?);
            if let Some((digest, at)) = self.row_digest(kind, &subject).await? {
                self.write_link(kind, &subject, &digest, at).await?;
            }
        }
        self.execute(sqlx::query("drop table unlinked")).await.map(drop)
    }

    /// Returns the digest and the time of a row; `None` if the row was removed.
    async fn row_digest(&mut self, kind: LinkKind, subject: &str) -> Result<Option<(String, Timestamp)>, StoreError> {
        let mut one = async |statement: &'static str, values: &[&str]| -> Result<Option<SqliteRow>, StoreError> {
            let query = values.iter().fold(sqlx::query(statement), |query, value| query.bind(*value));
            query.fetch_optional(&mut *self.connection).await.map_err(store_error)
        };
        let found = match kind {
            LinkKind::Grant => {
                let row = one("select * from granted where id = ?", &[subject]).await?;
                row.as_ref().map(query::grant).transpose()?.map(|row| (Link::row_digest(&row), row.at))
            }
            LinkKind::Freeze => {
                let row = one("select * from freeze where environment = ?", &[subject]).await?;
                row.as_ref().map(query::freeze).transpose()?.map(|row| (Link::row_digest(&row), row.at))
            }
            LinkKind::Release => {
                let row = one("select * from release where run = ?", &[subject]).await?;
                row.as_ref().map(query::release).transpose()?.map(|row| (Link::row_digest(&row), row.ended))
            }
            _ => {
                let Ok(InboxKey { network, room, event }) = serde_json::from_str(subject) else { return Ok(None) };
                let statement = "select * from inbox where network = ? and room = ? and event = ?";
                let row = one(statement, &[&network, &room, &event]).await?;
                row.as_ref().map(query::message).transpose()?.map(|row| (Link::row_digest(&row), row.at))
            }
        };
        Ok(found)
    }
}
