//! Runs a guest for one command: creates a wasmtime store with its own limits, calls the plugin's function `run` once,
//! and returns how the guest ended.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use wasmtime::{Store, Trap, UpdateDeadline};

use super::{host_functions::GuestData, limits::LimitReached, load::LoadedPlugin, runtime::TICK};
use crate::{
    base::size,
    command::Value,
    job::{GuestArgument, GuestInvocation},
    model::Limits,
    plugin::bindings::{commands, types},
};

/// The way in which a guest ended.
#[derive(Debug)]
pub(crate) enum GuestEnd<S> {
    Reply(commands::Reply),
    Failure(commands::Failure),
    /// The guest reached a limit.
    Limit(LimitReached),
    /// The guest trapped, or a host call failed with an unexpected error. The value is the reason in one line.
    Trap(String),
    /// The host stopped the guest for another reason, for example because the guest's job waits. The value is the
    /// reason.
    Stopped(S),
}

/// The result of a guest run.
pub(crate) struct GuestRun<D: GuestData> {
    pub(crate) end: GuestEnd<D::GuestStop>,
    /// The data that the host kept for the guest, with the usage counters and the changes that are not stored yet.
    pub(crate) invocation: D,
    /// The processor time of the guest, rounded up to whole ticks.
    pub(crate) cpu: Duration,
}

/// Runs a guest of `plugin` for the command `asked` until the guest ends. If the caller drops the future, the guest
/// ends at once. The journal then still shows every effect that may have begun, because the host stores an intent
/// before each effect. An intent is the journal entry that says that an effect is about to happen.
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
    let ticks = limit_cpu(&mut store, limits.cpu);
    let answer = async {
        let guest = plugin.pre.instantiate_async(&mut store).await?;
        guest.wardroom_plugin_commands().call_run(&mut store, asked).await
    };
    let ended = tokio::time::timeout(limits.wall, answer).await;
    let end = match ended {
        Err(_) => GuestEnd::Limit(LimitReached::Wall(limits.wall)),
        Ok(Err(error)) => guest_end::<D::GuestStop>(&error, limits.bytes_out),
        // The bytes of the reply count toward the limit `bytes_out`.
        Ok(Ok(answer)) => match (store.data_mut().meter().bytes(size(&answer)), answer) {
            (Err(error), _) => guest_end::<D::GuestStop>(&error, limits.bytes_out),
            (Ok(()), Ok(reply)) => GuestEnd::Reply(reply),
            (Ok(()), Err(failure)) => GuestEnd::Failure(failure),
        },
    };
    let ticks = u32::try_from(ticks.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
    GuestRun { end, invocation: store.into_data(), cpu: TICK.saturating_mul(ticks.saturating_add(1)) }
}

/// Limits the processor time of a guest to `cpu`, rounded up to whole ticks. The guest yields at every [`TICK`], so
/// that it cannot block a thread. At the limit, the guest ends with [`LimitReached::Cpu`]. Returns the counter of the
/// ticks that the guest has used.
pub(crate) fn limit_cpu<T: 'static>(store: &mut Store<T>, cpu: Duration) -> Arc<AtomicU64> {
    let most = u64::try_from(cpu.as_micros().div_ceil(TICK.as_micros())).unwrap_or(u64::MAX).max(1);
    let ticks = Arc::new(AtomicU64::new(0));
    let counter = ticks.clone();
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        if counter.fetch_add(1, Ordering::Relaxed) + 1 >= most {
            return Err(LimitReached::Cpu(cpu).into());
        }
        Ok(UpdateDeadline::Yield(1))
    });
    ticks
}

/// Limits the bytes that the host copies from a guest in one host call. The limits in [`Meter`] are not enough, because
/// `Meter` counts the bytes only after the copy. A guest could pass a list of a thousand strings that all point to the
/// same megabyte, and the host would copy this megabyte a thousand times before it counts.
pub(crate) fn limit_copies<T: 'static>(store: &mut Store<T>, limits: &Limits) {
    // The meter counts the serialized form, which can be smaller than the copy. The factor 4 allows for the difference.
    store.set_hostcall_fuel(limits.bytes_out.saturating_mul(4));
}

/// Converts the error with which a guest ended to a [`GuestEnd`]: a stop by the host, a reached limit or a trap.
/// `bytes_out` is the maximum number of bytes that the guest can pass to the host.
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
        None if is_copy_limit(error) => GuestEnd::Limit(LimitReached::BytesOut(bytes_out)),
        _ => GuestEnd::Trap(error_line(error)),
    }
}

/// Returns the error with which a guest ended, in one line. Removes control characters, because a hostile plugin can
/// choose the text. Logs the full error with its backtrace at level debug.
pub(crate) fn error_line(error: &wasmtime::Error) -> String {
    tracing::debug!(error = format!("{error:?}"), "a call of a plugin's function failed");
    if let Some(limit) = error.downcast_ref::<LimitReached>() {
        return limit.to_string();
    }
    match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None if is_copy_limit(error) => "it passed too many bytes to the host in one call".to_owned(),
        None => crate::base::clean(error.root_cause().to_string().lines().next().unwrap_or("unknown error")),
    }
}

/// Returns whether an error reports that a guest reached the limit of [`limit_copies`]. Searches the error's text,
/// because wasmtime exports no type for this error.
fn is_copy_limit(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().contains("fuel allocated for hostcalls")
}

impl GuestInvocation {
    fn to_contract(&self) -> commands::Invocation {
        let value = |value: &Value| match value {
            Value::Text(text) => commands::Value::Text(text.clone()),
            Value::Integer(number) => commands::Value::Integer(*number),
            Value::Boolean(yes) => commands::Value::Boolean(*yes),
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
