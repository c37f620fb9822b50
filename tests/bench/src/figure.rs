//! One measured value with its unit and its limit.

use std::{fmt, time::Duration};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Microseconds,
    Milliseconds,
    Seconds,
    Mebibytes,
    /// A rate.
    PerSecond,
    /// A number of things.
    Count,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Against {
    /// A multiple of a baseline: the same work without the engine, measured in the same run.
    Bare {
        /// The measured baseline, in the unit of the figure.
        measured: f64,
        /// The maximum ratio of the measured value to the baseline.
        times: f64,
    },
    /// The maximum value, in the unit of the figure.
    Limit(f64),
    /// The minimum value, in the unit of the figure.
    AtLeast(f64),
}

/// A measured value, printed as one line: `query: 21.0 us, bare 17.1 us, 1.23 x`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) measured: f64,
    pub(crate) unit: Unit,
    pub(crate) against: Against,
}

impl Figure {
    /// Returns true if the value is within the limit.
    pub(crate) fn holds(&self) -> bool {
        match self.against {
            Against::Bare { times, .. } => self.ratio() <= times,
            Against::Limit(_) => self.ratio() <= 1.0,
            Against::AtLeast(_) => self.ratio() >= 1.0,
        }
    }

    /// Formats the limit.
    pub(crate) fn limit(&self) -> String {
        match self.against {
            Against::Bare { times, .. } => format!("at most {times} x"),
            Against::Limit(limit) => format!("at most {}", self.unit.limit(limit)),
            Against::AtLeast(limit) => format!("at least {}", self.unit.limit(limit)),
        }
    }

    fn ratio(&self) -> f64 {
        match self.against {
            Against::Bare { measured, .. } => self.measured / measured,
            Against::Limit(limit) | Against::AtLeast(limit) => self.measured / limit,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let against = match self.against {
            Against::Bare { measured, .. } => format!("bare {}", self.unit.measured(measured)),
            Against::Limit(limit) => format!("limit {}", self.unit.limit(limit)),
            Against::AtLeast(limit) => format!("at least {}", self.unit.limit(limit)),
        };
        write!(f, "{}: {}, {against}, {:.2} x", self.name, self.unit.measured(self.measured), self.ratio())
    }
}

impl Unit {
    fn measured(self, value: f64) -> String {
        self.text(value, if self == Self::Seconds { 2 } else { 1 })
    }

    fn limit(self, value: f64) -> String {
        self.text(value, 1)
    }

    fn text(self, value: f64, places: usize) -> String {
        match self {
            Self::Microseconds => format!("{value:.places$} us"),
            Self::Milliseconds => format!("{value:.places$} ms"),
            Self::Seconds => format!("{value:.places$} s"),
            Self::Mebibytes => format!("{value:.places$} MiB"),
            Self::PerSecond => format!("{value:.0} /s"),
            Self::Count => format!("{value:.0}"),
        }
    }
}

pub(crate) fn milliseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

/// Returns the median; NaN for no values. A few disturbed rounds do not change it.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Returns the value that is greater than the given share of all values; NaN for no values.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let place = ((values.len() as f64 * share).ceil() as usize).clamp(1, values.len().max(1)) - 1;
    values.get(place).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_has_its_format() {
        let bare = |times| Figure {
            name: "query",
            measured: 21.0,
            unit: Unit::Microseconds,
            against: Against::Bare { measured: 17.1, times },
        };
        assert_eq!(bare(1.5).to_string(), "query: 21.0 us, bare 17.1 us, 1.23 x");
        assert!(bare(1.5).holds() && !bare(1.2).holds());
        let limit = |name, measured, unit, limit| Figure { name, measured, unit, against: Against::Limit(limit) };
        let seconds = limit("100 plugins from the cache", 0.21, Unit::Seconds, 0.5);
        assert_eq!(seconds.to_string(), "100 plugins from the cache: 0.21 s, limit 0.5 s, 0.42 x");
        let memory = limit("resident memory", 41.0, Unit::Mebibytes, 60.0);
        assert_eq!(memory.to_string(), "resident memory: 41.0 MiB, limit 60.0 MiB, 0.68 x");
        assert!(memory.holds() && !limit("resident memory", 60.1, Unit::Mebibytes, 60.0).holds());
    }

    #[test]
    fn a_figure_without_a_value_does_not_hold() {
        let against = Against::Bare { measured: median(Vec::new()), times: 1.5 };
        assert!(!Figure { name: "query", measured: 1.0, unit: Unit::Microseconds, against }.holds());
        let rate = |measured| Figure { name: "rate", measured, unit: Unit::PerSecond, against: Against::AtLeast(2.0) };
        assert!(!rate(f64::NAN).holds());
    }

    #[test]
    fn a_rate_holds_from_its_minimum_on() {
        let rate = |measured| Figure {
            name: "queries a second",
            measured,
            unit: Unit::PerSecond,
            against: Against::AtLeast(78_000.0),
        };
        assert_eq!(rate(46_000.4).to_string(), "queries a second: 46000 /s, at least 78000 /s, 0.59 x");
        assert!(!rate(46_000.4).holds() && rate(78_000.0).holds());
        assert_eq!(rate(1.0).limit(), "at least 78000 /s");
    }

    #[test]
    fn the_99th_percentile_is_near_the_end() {
        let values: Vec<f64> = (1..=300).map(f64::from).collect();
        assert_eq!((percentile(&values, 0.5), percentile(&values, 0.99)), (150.0, 297.0));
        assert!(percentile(&[], 0.5).is_nan());
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 90.0]), 3.0);
    }
}
