//! Converts the engine's types to database columns and back, and SQLite's errors to the engine's errors.

use std::{fmt::Display, path::Path};

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Row, sqlite::SqliteRow};
use wardroom::{
    Timestamp,
    model::Person,
    store::{InboxKey, StoreError},
};

use crate::OpenError;

/// Formats a time as text with nine digits for the fraction of the second, so that the texts sort in the order of the
/// times.
pub(crate) fn time_column(at: Timestamp) -> String {
    format!("{at:.9}")
}

pub(crate) fn json_column(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Failed(format!("cannot encode a value as JSON: {error}")))
}

/// Returns the serialized name of an enum variant without fields, for example `queued`.
pub(crate) fn enum_column(value: &impl Serialize) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => Ok(name),
        other => Err(StoreError::Failed(format!("cannot encode a value as the name of a variant: {other:?}"))),
    }
}

/// Reads the columns of a database row. An error means that another program changed the database.
pub(crate) trait Columns {
    fn text(&self, column: &str) -> Result<String, StoreError>;
    fn optional_text(&self, column: &str) -> Result<Option<String>, StoreError>;
    fn number<N: TryFrom<i64>>(&self, column: &str) -> Result<N, StoreError>;
    /// Reads the number of a row of a paged table, which is at least 1.
    fn row_number(&self, column: &str) -> Result<u64, StoreError>;
    fn flag(&self, column: &str) -> Result<bool, StoreError>;
    fn time(&self, column: &str) -> Result<Timestamp, StoreError>;
    fn optional_time(&self, column: &str) -> Result<Option<Timestamp>, StoreError>;
    fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError>;
    fn optional_json<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>, StoreError>;
    fn variant<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError>;

    /// Reads an inbox key from the columns `network`, `room` and `event`.
    fn inbox_key(&self) -> Result<InboxKey, StoreError> {
        Ok(InboxKey { network: self.text("network")?, room: self.text("room")?, event: self.text("event")? })
    }

    /// Reads a person from the columns with the names `id` and `name`.
    fn person(&self, id: &str, name: &str) -> Result<Person, StoreError> {
        Ok(Person { id: self.text(id)?, name: self.text(name)? })
    }
}

impl Columns for SqliteRow {
    fn text(&self, column: &str) -> Result<String, StoreError> {
        self.try_get(column).map_err(store_error)
    }

    fn optional_text(&self, column: &str) -> Result<Option<String>, StoreError> {
        self.try_get(column).map_err(store_error)
    }

    fn number<N: TryFrom<i64>>(&self, column: &str) -> Result<N, StoreError> {
        let number: i64 = self.try_get(column).map_err(store_error)?;
        N::try_from(number).map_err(|_| unreadable(column, "a number out of range"))
    }

    fn row_number(&self, column: &str) -> Result<u64, StoreError> {
        let number: i64 = self.number(column)?;
        let row = u64::try_from(number).ok().filter(|row| *row > 0);
        row.ok_or_else(|| unreadable(column, format!("{number} is not the number of a row")))
    }

    fn flag(&self, column: &str) -> Result<bool, StoreError> {
        self.try_get(column).map_err(store_error)
    }

    fn optional_time(&self, column: &str) -> Result<Option<Timestamp>, StoreError> {
        let text = self.optional_text(column)?;
        text.map(|text| text.parse().map_err(|error| unreadable(column, error))).transpose()
    }

    fn time(&self, column: &str) -> Result<Timestamp, StoreError> {
        self.text(column)?.parse().map_err(|error| unreadable(column, error))
    }

    fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|error| unreadable(column, error))
    }

    fn optional_json<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>, StoreError> {
        let text = self.optional_text(column)?;
        text.map(|text| serde_json::from_str(&text).map_err(|error| unreadable(column, error))).transpose()
    }

    fn variant<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        serde_json::from_value(self.text(column)?.into()).map_err(|error| unreadable(column, error))
    }
}

fn unreadable(column: &str, reason: impl Display) -> StoreError {
    StoreError::Failed(format!("the column `{column}` cannot be read: {reason}"))
}

/// Converts an error of SQLite. A temporary error becomes [`StoreError::Unavailable`], after which the engine retries.
/// Every other error becomes [`StoreError::Failed`].
///
/// Temporary errors are: a full or failing disk, a database that another process locks, too little memory, too few file
/// descriptors, and no free reading connection.
pub(crate) fn store_error(error: sqlx::Error) -> StoreError {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const NOMEM: i32 = 7;
    const IOERR: i32 = 10;
    const FULL: i32 = 13;
    const CANTOPEN: i32 = 14;
    match error {
        sqlx::Error::PoolTimedOut => StoreError::Unavailable("no database connection became free in time".into()),
        sqlx::Error::Database(inner) => match primary_code(inner.as_ref()) {
            Some(BUSY | LOCKED | NOMEM | IOERR | FULL | CANTOPEN) => StoreError::Unavailable(inner.to_string()),
            _ => StoreError::Failed(inner.to_string()),
        },
        other => StoreError::Failed(other.to_string()),
    }
}

/// Returns SQLite's primary result code: the lowest byte of the extended result code of `error`. Returns `None` if
/// `error` has no numeric code.
fn primary_code(error: &dyn sqlx::error::DatabaseError) -> Option<i32> {
    error.code()?.parse::<i32>().ok().map(|code| code & 0xff)
}

pub(crate) fn open_error(file: &Path, error: &impl Display) -> OpenError {
    OpenError::Database { file: file.to_owned(), reason: error.to_string() }
}
