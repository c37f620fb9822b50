//! Runs the same scenario once for each crash point, some in parallel.

use std::{
    collections::BTreeMap,
    io::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::{Result, anyhow};

/// The number of parallel runs. It may exceed the number of cores, because a run mostly waits for a disk or a script.
const AT_ONCE: usize = 4;

/// Returns the crash points at which a message is read or sent, each with its count: all sending points, and the first
/// occurrence of each reading point. `passed` are all points of a run in their order.
pub(super) fn around_reading_and_sending(passed: &[String]) -> Vec<String> {
    let mut counts = BTreeMap::<&str, usize>::new();
    let mut points = Vec::new();
    for point in passed {
        let count = counts.entry(point).or_default();
        *count += 1;
        let reads = point.contains("receive") || point.contains("open");
        let sends =
            ["say card", "edit card", "say closing", "react", "commit sent"].iter().any(|word| point.contains(word));
        // The barrier command at the end does not count.
        if (reads && *count == 1) || sends {
            points.push(format!("{point}#{count}"));
        }
    }
    points
}

/// Calls `run` for each item. Returns the results in the same order, or all errors with the names of their items.
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
    // Do not use `eprintln!`, whose output is shown only for a failed test.
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
