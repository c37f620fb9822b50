//! Runs one invocation: a fresh store with its own limits, one call, and everything dropped.

use std::time::Duration;

use wasmtime::{AsContextMut, Store, Trap, UpdateDeadline};

use super::{host_functions::GuestData, limits::LimitReached, load::LoadedPlugin, runtime::TICK};
use crate::{
    base::size,
    job::{GuestArgument, GuestInvocation, GuestValue},
    model::Limits,
    plugin::bindings::{Plugin, PluginPre, commands, types},
};

/// How a guest ended.
#[derive(Debug)]
pub(crate) enum GuestEnd<S> {
    /// It did its work.
    Reply(commands::Reply),
    /// It says that it did not.
    Failure(commands::Failure),
    /// It reached a limit and was ended.
    Limit(LimitReached),
    /// It broke.
    Trap(String),
    /// The host ended it, and runs it anew when it can go on.
    Stopped(S),
}

/// A guest that ended, and what it did.
pub(crate) struct GuestRun<D: GuestData> {
    /// How it ended.
    pub(crate) end: GuestEnd<D::GuestStop>,
    /// The host's side of it.
    pub(crate) invocation: D,
}

/// Runs one invocation to its end. Safe to drop: the guest is then gone, and what it began stands in the journal.
pub(crate) async fn run<D: GuestData>(
    plugin: &LoadedPlugin<D>,
    mut invocation: D,
    asked: &GuestInvocation,
) -> GuestRun<D> {
    let asked = &asked.to_contract();
    let limits = *invocation.meter().limits();
    let mut store = Store::new(plugin.pre.engine(), invocation);
    store.limiter(|invocation| invocation.meter());
    limit_copies(&mut store, &limits);
    limit_cpu(&mut store, limits.cpu);
    let ended = tokio::time::timeout(limits.wall, call(&plugin.pre, &mut store, asked)).await;
    let end = match ended {
        Err(_) => GuestEnd::Limit(LimitReached::Wall(limits.wall)),
        Ok(Err(error)) => broken::<D::GuestStop>(&error, limits.bytes_out),
        // What a guest answers is its words too.
        Ok(Ok(answer)) => match (store.data_mut().meter().bytes(size(&answer)), answer) {
            (Err(error), _) => broken::<D::GuestStop>(&error, limits.bytes_out),
            (Ok(()), Ok(reply)) => GuestEnd::Reply(reply),
            (Ok(()), Err(failure)) => GuestEnd::Failure(failure),
        },
    };
    GuestRun { end, invocation: store.into_data() }
}

async fn call<D: GuestData>(
    pre: &PluginPre<D>,
    store: &mut Store<D>,
    asked: &commands::Invocation,
) -> wasmtime::Result<Result<commands::Reply, commands::Failure>> {
    let plugin: Plugin = pre.instantiate_async(store.as_context_mut()).await?;
    plugin.wardroom_plugin_commands().call_run(store, asked).await
}

/// Yields at every tick, so that one guest never holds a thread, and traps when the budget is used up.
pub(crate) fn limit_cpu<T: 'static>(store: &mut Store<T>, cpu: Duration) {
    let ticks = u64::try_from(cpu.as_micros().div_ceil(TICK.as_micros())).unwrap_or(u64::MAX).max(1);
    let mut left = ticks;
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        left -= 1;
        if left == 0 {
            return Err(LimitReached::Cpu(cpu).into());
        }
        Ok(UpdateDeadline::Yield(1))
    });
}

/// Limits what the host copies out of a guest at one time, before anything is counted: a list of a thousand
/// strings can point to the same megabytes a thousand times.
pub(crate) fn limit_copies<T: 'static>(store: &mut Store<T>, limits: &Limits) {
    // What is counted is the written form, which is never shorter than a fraction of what is copied.
    store.set_hostcall_fuel(limits.bytes_out.saturating_mul(4));
}

fn broken<S: std::error::Error + Clone + Send + Sync + 'static>(
    error: &wasmtime::Error,
    bytes_out: usize,
) -> GuestEnd<S> {
    if let Some(stop) = error.downcast_ref::<S>() {
        return GuestEnd::Stopped(stop.clone());
    }
    if let Some(limit) = error.downcast_ref::<LimitReached>() {
        return GuestEnd::Limit(limit.clone());
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => GuestEnd::Limit(LimitReached::Stack),
        None if is_too_much_at_once(error) => GuestEnd::Limit(LimitReached::BytesOut(bytes_out)),
        _ => GuestEnd::Trap(why(error)),
    }
}

/// Why a guest broke, one line: its own words are hostile, and a backtrace is for the log.
pub(crate) fn why(error: &wasmtime::Error) -> String {
    tracing::debug!(error = format!("{error:?}"), "a guest broke");
    if let Some(limit) = error.downcast_ref::<LimitReached>() {
        return limit.to_string();
    }
    match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None if is_too_much_at_once(error) => "it handed over too much at once".to_owned(),
        None => crate::base::clean(error.root_cause().to_string().lines().next().unwrap_or("it broke")),
    }
}

/// Wasmtime has no type for it that can be named outside.
fn is_too_much_at_once(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().contains("fuel allocated for hostcalls")
}

impl GuestInvocation {
    /// In the contract's own types.
    fn to_contract(&self) -> commands::Invocation {
        let value = |value: &GuestValue| match value {
            GuestValue::Text(text) => commands::Value::Text(text.clone()),
            GuestValue::Integer(number) => commands::Value::Integer(*number),
            GuestValue::Boolean(yes) => commands::Value::Boolean(*yes),
        };
        let argument =
            |given: &GuestArgument| commands::Argument { name: given.name.clone(), value: value(&given.value) };
        commands::Invocation {
            job: self.job.clone(),
            command: self.command.clone(),
            arguments: self.arguments.iter().map(argument).collect(),
            caller: types::Person { id: self.caller.id.clone(), name: self.caller.name.clone() },
        }
    }
}
