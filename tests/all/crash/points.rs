//! Runs the same story once for each point of it, a few at a time.

use std::{
    io::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::{Result, anyhow};

/// Most of the time a run waits for a disk or a script, so there are more than cores.
const AT_ONCE: usize = 4;

/// Does something for each of these; gives what each came to, in the same order.
///
/// # Errors
/// All that went wrong, each with what it was for.
pub(super) fn for_each_point<T: Sync, R: Send>(
    what: &str,
    all: &[T],
    name: impl Fn(&T) -> String + Sync,
    run: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let began = Instant::now();
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<R>)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = all.get(index) else { return };
                    let ran = run(one);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((index, ran));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    let (good, bad): (Vec<_>, Vec<_>) = done.into_iter().partition(|(_, ran)| ran.is_ok());
    // Not by the macro, whose words are shown only where a test fails.
    let took = began.elapsed().as_secs_f32();
    let _ = writeln!(std::io::stderr(), "{what}: {} points in {took:.0} s", all.len());
    if bad.is_empty() {
        return good.into_iter().map(|(_, ran)| ran).collect();
    }
    let faults =
        bad.into_iter().filter_map(|(index, ran)| Some(format!("--- {}\n{:#}", name(&all[index]), ran.err()?)));
    let faults: Vec<String> = faults.collect();
    Err(anyhow!("{} of {} went wrong\n{}", faults.len(), all.len(), faults.join("\n")))
}
