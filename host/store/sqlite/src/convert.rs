//! Between the engine's types and columns, and from SQLite's errors to the engine's.

use std::path::Path;

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Row, sqlite::SqliteRow};
use wardroom::{
    Timestamp,
    message::Person,
    port::store::{InboxKey, StoreError},
};

use crate::OpenError;

/// A time as it stands in a column: always nine digits of a second, so that text sorts as time.
pub(crate) fn time(at: Timestamp) -> String {
    format!("{at:.9}")
}

/// A value as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Failed(format!("cannot be written as JSON: {error}")))
}

/// The word that a value without fields goes by.
pub(crate) fn word(value: &impl Serialize) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        other => Err(StoreError::Failed(format!("cannot be written as a word: {other:?}"))),
    }
}

/// Columns of a row. An error means that something else than this crate wrote it.
pub(crate) trait Columns {
    fn text(&self, column: &str) -> Result<String, StoreError>;
    fn maybe(&self, column: &str) -> Result<Option<String>, StoreError>;
    fn number<N: TryFrom<i64>>(&self, column: &str) -> Result<N, StoreError>;
    fn flag(&self, column: &str) -> Result<bool, StoreError>;
    fn time(&self, column: &str) -> Result<Timestamp, StoreError>;
    fn maybe_time(&self, column: &str) -> Result<Option<Timestamp>, StoreError>;
    fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError>;
    fn maybe_json<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>, StoreError>;
    fn word<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError>;

    /// The key that stands in `network`, `room` and `event`.
    fn inbox_key(&self) -> Result<InboxKey, StoreError> {
        Ok(InboxKey { network: self.text("network")?, room: self.text("room")?, event: self.text("event")? })
    }

    /// The person that stands in two columns.
    fn person(&self, id: &str, name: &str) -> Result<Person, StoreError> {
        Ok(Person { id: self.text(id)?, name: self.text(name)? })
    }
}

impl Columns for SqliteRow {
    fn text(&self, column: &str) -> Result<String, StoreError> {
        self.try_get(column).map_err(|error| store(&error))
    }

    fn maybe(&self, column: &str) -> Result<Option<String>, StoreError> {
        self.try_get(column).map_err(|error| store(&error))
    }

    fn number<N: TryFrom<i64>>(&self, column: &str) -> Result<N, StoreError> {
        let number: i64 = self.try_get(column).map_err(|error| store(&error))?;
        N::try_from(number).map_err(|_| unreadable(column, "a number out of range"))
    }

    fn flag(&self, column: &str) -> Result<bool, StoreError> {
        self.try_get(column).map_err(|error| store(&error))
    }

    fn maybe_time(&self, column: &str) -> Result<Option<Timestamp>, StoreError> {
        let text = self.maybe(column)?;
        text.map(|text| text.parse().map_err(|error| unreadable(column, error))).transpose()
    }

    fn time(&self, column: &str) -> Result<Timestamp, StoreError> {
        self.text(column)?.parse().map_err(|error| unreadable(column, error))
    }

    fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|error| unreadable(column, error))
    }

    fn maybe_json<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>, StoreError> {
        let text = self.maybe(column)?;
        text.map(|text| serde_json::from_str(&text).map_err(|error| unreadable(column, error))).transpose()
    }

    fn word<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        serde_json::from_value(self.text(column)?.into()).map_err(|error| unreadable(column, error))
    }
}

fn unreadable(column: &str, reason: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(format!("the column `{column}` cannot be read: {reason}"))
}

/// What an error of SQLite means for the engine. What time or the operator can heal is
/// [`StoreError::Unavailable`]: a full disk, a lock held by another process, a disk that fails, no memory or files left.
pub(crate) fn store(error: &sqlx::Error) -> StoreError {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const NOMEM: i32 = 7;
    const IOERR: i32 = 10;
    const FULL: i32 = 13;
    const CANTOPEN: i32 = 14;
    match error {
        sqlx::Error::PoolTimedOut => StoreError::Unavailable("no connection was free in time".into()),
        sqlx::Error::Database(inner) => match primary(inner.as_ref()) {
            Some(BUSY | LOCKED | NOMEM | IOERR | FULL | CANTOPEN) => StoreError::Unavailable(inner.to_string()),
            _ => StoreError::Failed(inner.to_string()),
        },
        other => StoreError::Failed(other.to_string()),
    }
}

/// SQLite's result code without what its upper bytes add.
fn primary(error: &dyn sqlx::error::DatabaseError) -> Option<i32> {
    error.code()?.parse::<i32>().ok().map(|code| code & 0xff)
}

/// Why a database was not opened.
pub(crate) fn database(file: &Path, error: &sqlx::Error) -> OpenError {
    OpenError::Database { file: file.to_owned(), reason: error.to_string() }
}
