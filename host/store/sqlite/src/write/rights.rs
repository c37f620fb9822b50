//! Executes the writes of grants made in chat, and of freezes.

use sqlx::SqliteConnection;
use wardroom::store::{Freeze, Grant, StoreError};

use super::done;
use crate::convert::time_column;

pub(super) async fn grant(connection: &mut SqliteConnection, grant: &Grant) -> Result<(), StoreError> {
    let result = sqlx::query(
        "insert into granted (id, person_id, person_name, role, app, environment, by_id, by_name, bot, at, until)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (id) do nothing",
    )
    .bind(&grant.id)
    .bind(&grant.person.id)
    .bind(&grant.person.name)
    .bind(&grant.role)
    .bind(&grant.app)
    .bind(&grant.environment)
    .bind(&grant.by.id)
    .bind(&grant.by.name)
    .bind(&grant.bot)
    .bind(time_column(grant.at))
    .bind(grant.until.map(time_column))
    .execute(connection)
    .await;
    done(result)
}

pub(super) async fn revoke(connection: &mut SqliteConnection, id: &str) -> Result<(), StoreError> {
    done(sqlx::query("delete from granted where id = ?").bind(id).execute(connection).await)
}

pub(super) async fn freeze(connection: &mut SqliteConnection, freeze: &Freeze) -> Result<(), StoreError> {
    let result = sqlx::query(
        "insert into freeze (environment, until, reason, by_id, by_name, at) values (?, ?, ?, ?, ?, ?)
         on conflict (environment) do update set until = excluded.until, reason = excluded.reason,
         by_id = excluded.by_id, by_name = excluded.by_name, at = excluded.at",
    )
    .bind(&freeze.environment)
    .bind(freeze.until.map(time_column))
    .bind(&freeze.reason)
    .bind(&freeze.by.id)
    .bind(&freeze.by.name)
    .bind(time_column(freeze.at))
    .execute(connection)
    .await;
    done(result)
}

pub(super) async fn unfreeze(connection: &mut SqliteConnection, environment: &str) -> Result<(), StoreError> {
    done(sqlx::query("delete from freeze where environment = ?").bind(environment).execute(connection).await)
}
