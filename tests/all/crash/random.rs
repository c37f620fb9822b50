//! Reproducible random numbers: the seed is printed, and `WARDROOM_SEED` sets it.

use std::{collections::BTreeMap, io::Write as _, time::SystemTime};

/// Returns true if tests run all combinations instead of a random sample.
pub(super) fn runs_all() -> bool {
    std::env::var_os("WARDROOM_TEST_ALL").is_some()
}

/// Returns one random crash point of each name, or all points if [`runs_all`] is true.
pub(super) fn one_of_each_name(points: &[String]) -> Vec<String> {
    if runs_all() {
        return points.to_vec();
    }
    let mut by_name: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for point in points {
        by_name.entry(point.split('#').next().unwrap_or(point)).or_default().push(point);
    }
    let mut random = Random::new();
    by_name.into_values().map(|points| points[random.below(points.len())].clone()).collect()
}

/// A sequence of pseudo-random numbers.
pub(super) struct Random(u64);

impl Random {
    /// Takes the seed from `WARDROOM_SEED`, or from the clock if the variable is not set.
    pub(super) fn new() -> Self {
        let given = std::env::var("WARDROOM_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = || SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_millis() as u64);
        let seed = given.unwrap_or_else(now);
        // Do not use `eprintln!`, whose output is shown only for a failed test.
        let _ = writeln!(std::io::stderr(), "WARDROOM_SEED={seed}");
        Self(seed)
    }

    /// Returns a number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        // The algorithm is SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end.max(1) as u64) as usize
    }
}

#[test]
fn a_sample_has_one_point_of_each_name() {
    let points = ["before say#1", "after say#1", "before say#2"].map(str::to_owned);
    let sample = one_of_each_name(&points);
    assert!(runs_all() || sample.len() == 2, "{sample:?}");
    assert!(sample.contains(&points[1]) && sample.iter().all(|point| points.contains(point)), "{sample:?}");
}
