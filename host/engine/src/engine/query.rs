//! Runs the queries of plugins, and dry runs of actions. Each query and each dry run leaves an audit record. Queries
//! and dry runs have no journal, so a restart of the host ends them.

use std::{sync::Arc, time::Duration};

use tokio::sync::SemaphorePermit;

use super::{host::Host, verdict::Verdict};
use crate::{
    base::Text,
    hostcall::{Invocation, Plugin, ReplayState, RunMode, Tally, guest_invocation, random_job_id},
    job::{Replay, plan_lines},
    plugin::GuestEnd,
    policy::{Authorized, Need},
    runner::refusals,
    store::AuditRecord,
};

/// The maximum time for which a query waits for memory.
const MEMORY_TIMEOUT: Duration = Duration::from_secs(10);

impl Host {
    /// Runs an action without performing its effects. Returns the list of planned effects.
    pub(crate) async fn dry_run(&self, plugin: &Arc<Plugin>, authorized: &Authorized) -> Verdict {
        let Ok(_turn) = self.query_turns.acquire().await else { unreachable!("the semaphore is never closed") };
        let Some(_memory) = self.reserve_memory(plugin).await else { return self.no_memory(plugin, authorized) };
        let replay = ReplayState::new(Replay::default(), plugin.settings.to_vec());
        let invocation = guest_invocation(authorized, &random_job_id());
        let ran = self.jobs.dry_run(plugin, authorized.request(), replay, plugin.limits, &invocation).await;
        let (plan, invocation) = match ran {
            Ok(ran) => ran,
            Err(error) => {
                let text = Text::lines(format!("The dry run failed: {error}. Try again."));
                return self.answered_by(plugin, authorized, text, &Tally::default());
            }
        };
        let mut text = Text::lines(format!("Dry run of `{}`:", authorized.command().spec().name));
        for line in plan_lines(&plan) {
            text.push_lines(format!("  {line}"));
        }
        let mut needs = Vec::new();
        for effect in &plan.effects {
            Need::join(&mut needs, &effect.needs);
        }
        for need in &needs {
            text.push_lines(format!(
                "Approvals required: {} from {} ({}).",
                need.count,
                need.from.join(" or "),
                need.rule
            ));
        }
        text.append(refusals(&invocation.tally.denied));
        text.push_lines("Nothing was changed.");
        self.answered_by(plugin, authorized, text, &invocation.tally)
    }

    /// Runs a query. Returns its answer.
    pub(crate) async fn query(&self, plugin: &Arc<Plugin>, authorized: &Authorized) -> Verdict {
        let Ok(_turn) = self.query_turns.acquire().await else { unreachable!("the semaphore is never closed") };
        let Some(_memory) = self.reserve_memory(plugin).await else { return self.no_memory(plugin, authorized) };
        let invocation = Invocation::new(
            self.context.clone(),
            authorized.request().clone(),
            RunMode::Query,
            plugin.clone(),
            plugin.limits,
        );
        let mut ran = crate::plugin::run(plugin, invocation, &guest_invocation(authorized, "query")).await;
        let name = &authorized.command().spec().name;
        let mut text = Text::default();
        for message in ran.invocation.take_messages() {
            text.append(message);
        }
        // Truncate only the messages before the reply, so that the reply is always complete.
        let message = authorized.message();
        let most = self.context.outbox.longest_plugin_text(&message.bot, &message.key.network);
        let mut text = text.clamped(most);
        match &ran.end {
            GuestEnd::Reply(reply) => text.push_quote(&reply.text),
            GuestEnd::Failure(failure) => {
                text.push_lines(format!("`{name}` failed:"));
                text.push_quote(&failure.message);
            }
            GuestEnd::Limit(limit) => text.push_lines(format!("`{name}` was stopped: {limit}")),
            GuestEnd::Stopped(why) => text.push_lines(format!("`{name}` was stopped: {why}")),
            GuestEnd::Trap(why) => text.push_lines(format!("`{name}` crashed: {why}")),
        }
        text.append(refusals(&ran.invocation.tally.denied));
        self.answered_by(plugin, authorized, text, &ran.invocation.tally)
    }

    /// Reserves memory for a query's guest. Returns `None` if not enough memory becomes free within
    /// [`MEMORY_TIMEOUT`].
    async fn reserve_memory(&self, plugin: &Plugin) -> Option<SemaphorePermit<'_>> {
        let reserved = self.context.guest_memory.reserve_for_query(&plugin.limits);
        tokio::time::timeout(MEMORY_TIMEOUT, reserved).await.ok()
    }

    fn no_memory(&self, plugin: &Plugin, authorized: &Authorized) -> Verdict {
        let name = &authorized.command().spec().name;
        let text = format!("`{name}` did not run, because other commands use all memory for plugins. Try again.");
        self.answered_by(plugin, authorized, Text::lines(text), &Tally::default())
    }

    /// Returns the answer of one run of a plugin, with an audit record of the host calls that the plugin made and the
    /// reasons of refused calls.
    fn answered_by(&self, plugin: &Plugin, authorized: &Authorized, text: Text, tally: &Tally) -> Verdict {
        let denied = tally.denied.iter();
        let denials = denied.map(|denied| format!("{} {}: {}", denied.call, denied.about, denied.texts())).collect();
        let (plugin, calls) = (Some(plugin.name.to_string()), tally.counts());
        let line = AuditRecord { plugin, calls, denials, ..self.line(authorized.message()) };
        Verdict::Answered(text, Box::new(line))
    }
}
