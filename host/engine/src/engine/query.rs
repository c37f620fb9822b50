//! Queries of plugins, and dry runs of actions. Both run at once, are never replayed, and leave one audit record.

use std::sync::Arc;

use super::host::Host;
use crate::{
    base::Text,
    hostcall::{Invocation, Plugin, ReplayState, RunMode, Tally, asked, draw_id},
    job::{Replay, plan_lines},
    plugin::GuestEnd,
    policy::{Authorized, Need},
    runner::refusals,
    store::AuditRecord,
};

impl Host {
    /// Runs an action without its effects. Returns the plan as text, and the audit record.
    pub(crate) async fn dry_run(&self, plugin: &Arc<Plugin>, authorized: &Authorized) -> (Text, AuditRecord) {
        let Ok(_turn) = self.query_turns.acquire().await else { unreachable!("the semaphore is never closed") };
        let replay = ReplayState::new(Replay::default(), plugin.settings.to_vec());
        let asked = asked(authorized, &draw_id());
        let ran = self.jobs.dry_run(plugin, authorized.request(), replay, plugin.limits, &asked).await;
        let (plan, invocation) = match ran {
            Ok(ran) => ran,
            Err(error) => {
                let text = Text::lines(format!("The dry run failed: {error}. Try again."));
                return (text, self.line_of(plugin, authorized, &Tally::default()));
            }
        };
        let mut text = Text::lines(format!("Dry run of `{}`:", authorized.command().spec().name));
        for line in plan_lines(&plan) {
            text.push_lines(format!("  {line}"));
        }
        let mut wants = Vec::new();
        for effect in &plan.effects {
            Need::join(&mut wants, &effect.needs);
        }
        for need in &wants {
            text.push_lines(format!(
                "It would wait for approval by {} of {} ({}).",
                need.count,
                need.from.join(" or "),
                need.rule
            ));
        }
        text.append(refusals(&invocation.tally.denied));
        text.push_lines("Nothing was changed.");
        (text, self.line_of(plugin, authorized, &invocation.tally))
    }

    /// Runs a query. Returns its answer and the audit record.
    pub(crate) async fn query(&self, plugin: &Arc<Plugin>, authorized: &Authorized) -> (Text, AuditRecord) {
        let Ok(_turn) = self.query_turns.acquire().await else { unreachable!("the semaphore is never closed") };
        let invocation = Invocation::new(
            self.context.clone(),
            authorized.request().clone(),
            RunMode::Query,
            plugin.clone(),
            plugin.limits,
        );
        let mut ran = crate::plugin::run(plugin, invocation, &asked(authorized, "query")).await;
        let name = &authorized.command().spec().name;
        let mut text = Text::default();
        for said in ran.invocation.take_said() {
            text.append(said);
        }
        // Only the messages before the reply are truncated, so that the reply itself is always shown.
        let message = authorized.message();
        let most = self.context.outbox.longest_plugin_text(&message.bot, &message.key.network);
        let mut text = text.clamped(most);
        match &ran.end {
            GuestEnd::Reply(reply) => text.push_lines(&reply.text),
            GuestEnd::Failure(failure) => text.push_lines(format!("`{name}`: {}", failure.message)),
            GuestEnd::Limit(limit) => text.push_lines(format!("`{name}` was stopped: {limit}")),
            GuestEnd::Stopped(why) => text.push_lines(format!("`{name}` was stopped: {why}")),
            GuestEnd::Trap(why) => text.push_lines(format!("`{name}` crashed: {why}")),
        }
        text.append(refusals(&ran.invocation.tally.denied));
        (text, self.line_of(plugin, authorized, &ran.invocation.tally))
    }

    /// The audit record of a plugin's run, with its calls and denials.
    fn line_of(&self, plugin: &Plugin, authorized: &Authorized, tally: &Tally) -> AuditRecord {
        let denied = tally.denied.iter();
        let denials = denied.map(|denied| format!("{} {}: {}", denied.call, denied.about, denied.texts())).collect();
        self.line(authorized.message(), Some(plugin.name.to_string()), tally.counts(), denials)
    }
}
