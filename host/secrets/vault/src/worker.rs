//! The task of one server: it logs in, fetches the secrets, renews what has a lease, and tries again after an outage.
//!
//! Invariant: the requests of a server run one after the other, and each failed one is followed by a growing delay, so
//! that a server that fails is never flooded.
//! Invariant: a value without a lease is kept while the server is down. A value with a lease is removed when its lease
//! ends.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use wardroom::{
    CancellationToken,
    base::{Backoff, Secret},
};
use wardroom_account::Outage;

use crate::{
    login::{LoginError, Unwrapped, credentials},
    plan::Plan,
    read::{Fields, ReadError, find_mount, read, renew, schedule},
    server::ServerState,
    session::{Kept, Session},
};

/// Why a turn of the task stopped: the server does not answer, or refuses the login.
struct Stopped {
    reason: String,
    is_outage: bool,
    retry_after: Option<Duration>,
}

/// The task of a server.
pub(crate) struct Worker {
    server: Arc<ServerState>,
    session: Option<Session>,
    unwrapped: Unwrapped,
    plans: Vec<Plan>,
    /// The plan whose turn is the next.
    first: usize,
    /// A given token that the server does not accept, while the token before it is still valid.
    rejected: Option<Secret>,
    backoff: Backoff,
    /// The delays after a refused login.
    login_backoff: Backoff,
    /// The credentials of a refused login, and why it was refused.
    refused: Option<(Vec<Secret>, String)>,
    /// No request before this time, after an outage or a refused login.
    pause_until: Option<Instant>,
    outage: Outage,
    /// Whether the task logged in during this turn. A token is replaced at most once in a turn.
    has_logged_in: bool,
}

impl Worker {
    pub(crate) fn new(server: Arc<ServerState>) -> Self {
        let timing = server.timing;
        let plans = server.entries().into_iter().map(|entry| Plan::new(entry, &timing)).collect();
        let outage = Outage::new("the Vault server", server.config.name.clone());
        let backoff = Backoff::new(timing.server_retry.0, timing.server_retry.1);
        let login_backoff = Backoff::new(timing.login_retry.0, timing.login_retry.1);
        let (session, unwrapped, pause_until, refused) = (None, Unwrapped::default(), None, None);
        Self {
            server,
            session,
            unwrapped,
            plans,
            first: 0,
            rejected: None,
            backoff,
            login_backoff,
            refused,
            pause_until,
            outage,
            has_logged_in: false,
        }
    }

    /// Works until `stop` is cancelled, and then logs out.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        while let Some(next) = stop.run_until_cancelled(self.turn()).await {
            if stop.run_until_cancelled(tokio::time::sleep_until(next)).await.is_none() {
                break;
            }
        }
        if let Some(session) = self.session {
            session.close().await;
        }
    }

    /// Does what is due. Returns the time of the next turn.
    async fn turn(&mut self) -> Instant {
        self.has_logged_in = false;
        let has_other_credentials = || {
            let config = &self.server.config;
            self.refused.as_ref().is_some_and(|(refused, _)| *refused != credentials(config))
        };
        if self.pause_until.is_none_or(|until| until <= Instant::now()) || has_other_credentials() {
            match self.work().await {
                Ok(()) => {
                    (self.pause_until, self.refused) = (None, None);
                    self.backoff.reset();
                    self.login_backoff.reset();
                    self.outage.record_recovery();
                    self.server.link.up();
                }
                Err(stopped) => {
                    let reason = stopped.reason.clone();
                    self.pause(stopped);
                    self.server.link.down(&*reason);
                    let now = Instant::now();
                    self.plans.iter().filter(|plan| plan.due <= now).for_each(|plan| plan.entry.fail(&reason));
                }
            }
            self.server.tried.send_replace(true);
        }
        self.expire();
        let ends = self.plans.iter().filter_map(|plan| plan.ends).min();
        let work = match self.pause_until {
            Some(until) => Some(until),
            None => {
                let due = self.plans.iter().map(|plan| plan.due);
                due.chain(self.session.as_ref().and_then(Session::due)).min()
            }
        };
        let latest = Instant::now() + self.server.timing.login_poll;
        work.into_iter().chain(ends).fold(latest, Instant::min)
    }

    /// Delays the next attempt after an outage or a refused login.
    fn pause(&mut self, stopped: Stopped) {
        let Stopped { reason, is_outage, retry_after } = stopped;
        let backoff = if is_outage { &mut self.backoff } else { &mut self.login_backoff };
        self.pause_until = Some(Instant::now() + backoff.next_delay_or(retry_after));
        if is_outage {
            self.refused = None;
            self.outage.record_failure(&reason);
            return;
        }
        let config = &self.server.config;
        if self.refused.as_ref().is_none_or(|(_, logged)| *logged != reason) {
            tracing::warn!(server = config.name, error = reason, "cannot log in to the Vault server; retrying");
        }
        self.refused = Some((credentials(config), reason));
    }

    async fn work(&mut self) -> Result<(), Stopped> {
        self.ensure_session().await?;
        let (count, first) = (self.plans.len(), self.first);
        for index in (0..count).map(|turn| (first + turn) % count) {
            if self.plans.get(index).is_some_and(|plan| plan.due <= Instant::now()) {
                // If the server fails on this secret, the others come first at the next attempt.
                self.first = (index + 1) % count;
                self.fetch(index).await?;
            }
        }
        Ok(())
    }

    /// Logs in, or renews the token if it is due.
    async fn ensure_session(&mut self) -> Result<(), Stopped> {
        let (config, timing) = (&self.server.config, &self.server.timing);
        let given = self.session.as_ref().and_then(|session| session.replacement(config));
        let is_new = given.is_some() && given != self.rejected;
        if let Some(session) = self.session.as_mut().filter(|_| !is_new) {
            match session.keep(timing).await.map_err(stopped)? {
                Kept::Valid => return Ok(()),
                Kept::Ending => {}
                Kept::Gone => self.session = None,
            }
        }
        let opened = Session::open(config, &mut self.unwrapped, timing).await;
        let session = match (opened, &mut self.session) {
            (Ok(session), _) => session,
            // The earlier token is still valid.
            (Err(error), Some(session)) if !error.is_outage => {
                let (server, error) = (&config.name, error.reason);
                tracing::warn!(server, error, "the token cannot be replaced; the earlier one stays in use");
                if is_new {
                    self.rejected = given;
                } else {
                    session.postpone(timing.login_retry.1);
                }
                return Ok(());
            }
            (Err(error), _) => {
                let LoginError { reason, is_outage, retry_after } = error;
                return Err(Stopped { reason, is_outage, retry_after });
            }
        };
        tracing::info!(server = config.name, policies = session.policies.join(", "), "logged in to the Vault server");
        self.session = Some(session);
        self.has_logged_in = true;
        // The leases of the earlier token end with it. A failed read can succeed with the new token.
        for plan in &mut self.plans {
            if plan.lease.take().is_some() || plan.logged.is_some() {
                plan.due = Instant::now();
            }
        }
        Ok(())
    }

    /// Reads or renews one secret. If its token is gone, logs in again and tries once more.
    async fn fetch(&mut self, index: usize) -> Result<(), Stopped> {
        let mut result = self.read(index).await;
        if let (Err(ReadError::Denied { .. }), Some(session), false) = (&result, &self.session, self.has_logged_in)
            && session.is_gone().await.map_err(stopped)?
        {
            tracing::warn!(server = self.server.config.name, "the token is no longer valid; logging in again");
            self.session = None;
            self.ensure_session().await?;
            result = self.read(index).await;
        }
        let (refresh, floor) = (self.server.config.refresh, self.server.timing.min_renewal);
        let Some(plan) = self.plans.get_mut(index) else { return Ok(()) };
        let now = Instant::now();
        let problem = match result {
            Ok(Read::Renewed(duration)) => {
                let (due, ends) = schedule(duration, floor);
                (plan.due, plan.ends) = (due, Some(ends));
                None
            }
            Ok(Read::New(fields)) => {
                let lifetime = fields.lease.as_ref().map(|lease| lease.duration).or(fields.lifetime);
                match lifetime {
                    Some(lifetime) => {
                        let (due, ends) = schedule(lifetime, floor);
                        (plan.due, plan.ends) = (due, Some(ends));
                    }
                    None => (plan.due, plan.ends) = (now + refresh, None),
                }
                let problem = plan.entry.set(&fields);
                plan.lease = fields.lease;
                problem
            }
            Err(ReadError::Outage { reason, retry_after }) => {
                return Err(Stopped { reason, is_outage: true, retry_after });
            }
            Err(ReadError::Denied { reason } | ReadError::Failed { reason }) => {
                plan.entry.fail(&reason);
                plan.due = now + refresh;
                // The secrets engine may have been replaced by another version.
                plan.mount = None;
                plan.lease = None;
                Some(reason)
            }
        };
        match &problem {
            Some(_) => plan.due = plan.due.min(now + plan.backoff.next_delay()),
            None => plan.backoff.reset(),
        }
        plan.log(&self.server.config.name, problem);
        Ok(())
    }

    async fn read(&mut self, index: usize) -> Result<Read, ReadError> {
        let (Some(plan), Some(session)) = (self.plans.get_mut(index), &self.session) else {
            return Err(ReadError::Failed { reason: "not logged in".to_owned() });
        };
        let (client, token, source) = (&session.client, &session.token, &plan.entry.source);
        if let Some(lease) = &plan.lease
            && let Some(duration) = renew(client, token, lease).await?
        {
            return Ok(Read::Renewed(duration));
        }
        let mount = match &plan.mount {
            Some(mount) => mount.clone(),
            None => find_mount(client, token, source).await?,
        };
        let fields = read(client, token, source, &mount).await?;
        plan.mount = Some(mount);
        Ok(Read::New(fields))
    }

    /// Removes the values whose lease has ended.
    fn expire(&mut self) {
        let now = Instant::now();
        for plan in self.plans.iter_mut().filter(|plan| plan.ends.is_some_and(|ends| ends <= now)) {
            plan.ends = None;
            plan.lease = None;
            plan.entry.expire();
            plan.log(&self.server.config.name, Some("its lease has ended and it could not be replaced".to_owned()));
        }
    }
}

/// The result of reading a secret.
enum Read {
    /// The lease of the value was renewed.
    Renewed(Duration),
    New(Fields),
}

fn stopped(error: crate::error::VaultError) -> Stopped {
    match ReadError::from(error) {
        ReadError::Outage { reason, retry_after } => Stopped { reason, is_outage: true, retry_after },
        ReadError::Denied { reason } | ReadError::Failed { reason } => {
            Stopped { reason, is_outage: true, retry_after: None }
        }
    }
}
