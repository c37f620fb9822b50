//! The command `status`: the connections of accounts and pipeline systems, the open jobs and the overdue jobs.
//!
//! Invariant: a person sees only the accounts of the bot that they address, and the pipeline systems of apps on which
//! they have rights. Only admins see the secret stores. Only admins see the reason of an outage, because the reason can contain names and addresses of
//! computers.

use super::jobs::read_failed;
use crate::{
    adapter::{BackendHealth, BlockedRoom, LinkState, SecretStoreHealth},
    base::{clean, elapsed_text, utc_text},
    command::Asker,
    engine::{health::AccountHealth, host::Host, verdict::Refusal},
    model::{App, Person},
    store::JobPhase,
};

impl Host {
    pub(crate) async fn status(&self, person: &Person, asker: Asker<'_>) -> Result<String, Refusal> {
        let admin = self.context.access.is_admin(asker.id);
        let addressed = asker.bot.and_then(|bot| self.context.access.bots.get(bot)).map(|bot| &bot.name);
        let mut lines: Vec<String> = self
            .accounts()
            .iter()
            .filter(|account| admin || addressed == Some(&account.bot))
            .flat_map(|account| {
                let blocked = account.blocked_rooms.iter().map(|room| blocked_text(account, room, admin));
                std::iter::once(account_text(account, admin)).chain(blocked.collect::<Vec<_>>())
            })
            .collect();
        for (id, backend) in self.context.backends.iter() {
            let pipelines = self.context.catalog.apps().flat_map(App::pipelines);
            let mut own = pipelines.filter(|deployment| deployment.backend == id);
            let sees = |app: &str, environment: &str| self.context.access.sees(asker, Some(app), Some(environment));
            if admin || own.any(|deployment| sees(&deployment.app, &deployment.environment)) {
                lines.push(format!("pipelines of {}: {}", backend.name(), backend_text(&backend.health(), admin)));
            }
        }
        if admin {
            lines.extend(self.context.secrets.health().iter().flat_map(store_lines));
        }
        let jobs = self.open_jobs(person).await?;
        let count = |phase: JobPhase| (phase, jobs.iter().filter(|job| job.status.phase == phase).count());
        let counts: Vec<String> = JobPhase::ALL
            .into_iter()
            .map(count)
            .filter(|(_, count)| *count > 0)
            .map(|(phase, count)| format!("{count} {}", phase_text(phase, count)))
            .collect();
        lines.push(match counts.as_slice() {
            [] => "No job is open.".to_owned(),
            counts => format!("Open jobs: {}.", counts.join(", ")),
        });
        let late = self.overdue(|job| self.may_see(person, job)).await.map_err(read_failed)?;
        lines.push(match late.and_then(|late| Some((late.job.status.wake?, late.job))) {
            None => "No job is overdue.".to_owned(),
            Some((wake, job)) => {
                let since = elapsed_text(wake, self.context.monotonic.now());
                format!("Job {} (`{}`) is overdue by {since}.", job.id, job.line)
            }
        });
        Ok(lines.join("\n"))
    }
}

fn account_text(account: &AccountHealth, admin: bool) -> String {
    let state = match &account.link {
        None => "up".to_owned(),
        Some(LinkState::Up { since }) => format!("up since {}", utc_text(*since)),
        Some(LinkState::Down { since, reason }) => {
            let why = if admin { format!(": {}", clean(reason)) } else { String::new() };
            format!("down since {}{why}", utc_text(*since))
        }
    };
    format!("{} on {}: {state}", account.bot, account.network)
}

/// Returns the line about a room to which an account may not send. Only admins see the room and the reason, because not
/// everyone may know of the room.
fn blocked_text(account: &AccountHealth, blocked: &BlockedRoom, admin: bool) -> String {
    let (bot, network, since) = (&account.bot, account.network, utc_text(blocked.since));
    match admin {
        true => {
            let (room, why) = (clean(&blocked.room), clean(&blocked.reason));
            format!("{bot} on {network}: may not send to `{room}` since {since}: {why}")
        }
        false => format!("{bot} on {network}: may not send to a room since {since}"),
    }
}

/// Returns the line about a secret store, and one for each secret that cannot be read.
fn store_lines(store: &SecretStoreHealth) -> Vec<String> {
    let state = match &store.link {
        LinkState::Up { since } => format!("up since {}", utc_text(*since)),
        LinkState::Down { since, reason } => format!("down since {}: {}", utc_text(*since), clean(reason)),
    };
    let mut lines = vec![format!("secrets of {}: {state}", store.name)];
    lines.extend(store.problems.iter().map(|problem| {
        let kept = if problem.has_value { "; its last value is in use" } else { "; it has no value" };
        format!("secret `{}` cannot be read: {}{kept}", clean(&problem.reference), clean(&problem.reason))
    }));
    lines
}

fn backend_text(health: &BackendHealth, admin: bool) -> String {
    match health {
        BackendHealth { answered: None, unavailable: None } => "no request since the host started".to_owned(),
        BackendHealth { answered: Some(at), unavailable: None } => format!("last answer at {}", utc_text(*at)),
        BackendHealth { unavailable: Some((at, why)), answered } => {
            let why = if admin { format!(" ({why})") } else { String::new() };
            let before = answered.map_or_else(String::new, |at| format!("; the last answer was at {}", utc_text(at)));
            format!("no answer at {}{why}{before}", utc_text(*at))
        }
    }
}

/// Returns the words that follow a number of jobs in a phase, for example `wait for approval` after `2`.
fn phase_text(phase: JobPhase, count: usize) -> &'static str {
    let several = count > 1;
    match phase {
        JobPhase::Run if several => "wait for their pipeline runs",
        JobPhase::Run => "waits for its pipeline run",
        JobPhase::Time if several => "wait for a timer",
        JobPhase::InDoubt if several => "wait for an answer",
        JobPhase::Approval if several => "wait for approval",
        _ => phase.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Timestamp, adapter::SecretProblem};

    #[test]
    fn a_secret_that_cannot_be_read_has_a_line() {
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        let problem = |has_value| SecretProblem {
            reference: "prod:secret/ci#token".into(),
            reason: "permission denied".into(),
            has_value,
        };
        let store = SecretStoreHealth {
            name: "vault.prod".into(),
            link: LinkState::Down { since: at, reason: "the server is sealed".into() },
            problems: vec![problem(true), problem(false)],
            current: 1,
        };
        assert_eq!(
            store_lines(&store),
            [
                "secrets of vault.prod: down since 2023-11-14 22:13:20 UTC: the server is sealed",
                "secret `prod:secret/ci#token` cannot be read: permission denied; its last value is in use",
                "secret `prod:secret/ci#token` cannot be read: permission denied; it has no value",
            ]
        );
        assert!(!store.is_ready());
    }

    #[test]
    fn only_admins_see_the_reason_of_an_outage() {
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        let account = AccountHealth {
            bot: "marvin".into(),
            network: "matrix",
            link: Some(LinkState::Down { since: at, reason: "no route to 10.0.0.1".into() }),
            blocked_rooms: Vec::new(),
            reconnects: 0,
        };
        assert_eq!(
            account_text(&account, true),
            "marvin on matrix: down since 2023-11-14 22:13:20 UTC: no route to 10.0.0.1"
        );
        assert_eq!(account_text(&account, false), "marvin on matrix: down since 2023-11-14 22:13:20 UTC");
        let blocked = BlockedRoom { room: "!ops:x".into(), since: at, reason: "needs the power level 50".into() };
        assert_eq!(
            blocked_text(&account, &blocked, true),
            "marvin on matrix: may not send to `!ops:x` since 2023-11-14 22:13:20 UTC: needs the power level 50"
        );
        assert_eq!(
            blocked_text(&account, &blocked, false),
            "marvin on matrix: may not send to a room since 2023-11-14 22:13:20 UTC"
        );
        let health = BackendHealth { answered: Some(at), unavailable: Some((at, "no route to 10.0.0.1".into())) };
        assert!(backend_text(&health, true).contains("10.0.0.1"));
        assert!(!backend_text(&health, false).contains("10.0.0.1"));
    }
}
