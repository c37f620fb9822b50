//! Stores and removes freezes, and the roles that people grant in chat. Stores people's accounts at identity providers.

use wardroom::{
    Timestamp,
    store::{Freeze, Grant, IdentityLink, Link, LinkKind, StoreError},
};

use crate::{
    convert::{json_column, time_column},
    transaction::Transaction,
};

impl Transaction<'_, '_> {
    pub(super) async fn grant(&mut self, grant: &Grant) -> Result<(), StoreError> {
        let query = sqlx::query(
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
        .bind(grant.until.map(time_column));
        if self.execute(query).await? > 0 {
            self.write_link(LinkKind::Grant, &grant.id, &Link::row_digest(grant), grant.at).await?;
        }
        Ok(())
    }

    pub(super) async fn revoke(&mut self, id: &str) -> Result<(), StoreError> {
        if self.execute(sqlx::query("delete from granted where id = ?").bind(id)).await? > 0 {
            self.write_link(LinkKind::Revoke, id, "", Timestamp::now()).await?;
        }
        Ok(())
    }

    pub(super) async fn freeze(&mut self, freeze: &Freeze) -> Result<(), StoreError> {
        let query = sqlx::query(
            "insert into freeze (environment, until, reason, by_id, by_name, at) values (?, ?, ?, ?, ?, ?)
             on conflict (environment) do update set until = excluded.until, reason = excluded.reason,
             by_id = excluded.by_id, by_name = excluded.by_name, at = excluded.at",
        )
        .bind(&freeze.environment)
        .bind(freeze.until.map(time_column))
        .bind(&freeze.reason)
        .bind(&freeze.by.id)
        .bind(&freeze.by.name)
        .bind(time_column(freeze.at));
        self.execute(query).await?;
        self.write_link(LinkKind::Freeze, &freeze.environment, &Link::row_digest(freeze), freeze.at).await.map(drop)
    }

    pub(super) async fn unfreeze(&mut self, environment: &str) -> Result<(), StoreError> {
        if self.execute(sqlx::query("delete from freeze where environment = ?").bind(environment)).await? > 0 {
            self.write_link(LinkKind::Unfreeze, environment, "", Timestamp::now()).await?;
        }
        Ok(())
    }

    pub(super) async fn link_identity(&mut self, row: &IdentityLink) -> Result<(), StoreError> {
        let query = sqlx::query(
            "insert into identity_link (person_id, person_name, provider, issuer, subject, groups, at, until)
             values (?, ?, ?, ?, ?, ?, ?, ?)
             on conflict (person_id, provider, issuer, subject) do update set person_name = excluded.person_name,
             groups = excluded.groups, at = excluded.at, until = excluded.until",
        )
        .bind(&row.person.id)
        .bind(&row.person.name)
        .bind(&row.provider)
        .bind(&row.issuer)
        .bind(&row.subject)
        .bind(json_column(&row.groups)?)
        .bind(time_column(row.at))
        .bind(time_column(row.until));
        self.execute(query).await?;
        self.write_link(LinkKind::Identity, &row.key(), &Link::row_digest(row), row.at).await.map(drop)
    }
}
