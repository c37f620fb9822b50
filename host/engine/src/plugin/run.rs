//! Runs one invocation: a new wasmtime store with its own limits, one call of `run`, and the end of the guest.

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
    /// The guest returned its reply.
    Reply(commands::Reply),
    /// The guest returned a failure.
    Failure(commands::Failure),
    /// The guest reached a limit.
    Limit(LimitReached),
    /// The guest trapped, or a host function failed. Holds the reason in one line.
    Trap(String),
    /// The host ended the guest without an error of the guest.
    Stopped(S),
}

/// The outcome of a guest run.
pub(crate) struct GuestRun<D: GuestData> {
    /// How the guest ended.
    pub(crate) end: GuestEnd<D::GuestStop>,
    /// The store's data, with the counters and pending writes.
    pub(crate) invocation: D,
}

/// Runs one invocation to its end. The future is safe to drop: that ends the guest, and its intents are in the journal.
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
        Ok(Err(error)) => guest_end::<D::GuestStop>(&error, limits.bytes_out),
        // The reply counts against the limit on bytes too.
        Ok(Ok(answer)) => match (store.data_mut().meter().bytes(size(&answer)), answer) {
            (Err(error), _) => guest_end::<D::GuestStop>(&error, limits.bytes_out),
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

/// Limits processor time. The guest yields at every [`TICK`], so that it cannot block a thread, and traps when its time
/// is used up. The time is rounded up to whole ticks.
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

/// Limits the bytes that the host copies from a guest in one call. The meter counts only after the copy, and a list of
/// a thousand strings can point to the same megabytes a thousand times.
pub(crate) fn limit_copies<T: 'static>(store: &mut Store<T>, limits: &Limits) {
    // The meter counts the serialized form, which can be smaller than the copy. The factor 4 leaves room for that.
    store.set_hostcall_fuel(limits.bytes_out.saturating_mul(4));
}

/// The end that a guest's error stands for: a stop by the host, a limit or a trap.
fn guest_end<S: std::error::Error + Clone + Send + Sync + 'static>(
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

/// The reason of a trap in one line. It is cleaned, because the text may be hostile. The log gets the full error with
/// its backtrace, at level debug.
pub(crate) fn why(error: &wasmtime::Error) -> String {
    tracing::debug!(error = format!("{error:?}"), "a guest failed");
    if let Some(limit) = error.downcast_ref::<LimitReached>() {
        return limit.to_string();
    }
    match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None if is_too_much_at_once(error) => "it handed over too much at once".to_owned(),
        None => crate::base::clean(error.root_cause().to_string().lines().next().unwrap_or("it broke")),
    }
}

/// Whether the limit of [`limit_copies`] was reached. Wasmtime exports no type for this error, so its text is compared.
fn is_too_much_at_once(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().contains("fuel allocated for hostcalls")
}

impl GuestInvocation {
    /// Converts it to the contract's types.
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
