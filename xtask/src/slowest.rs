//! Lists the slowest tests.
//!
//! A test program prints durations only with the option `--report-time`, and a stable Rust accepts the option only with
//! `RUSTC_BOOTSTRAP=1` in the environment. Cargo starts the test programs through [`RUNNER`], which sets the option and
//! the variable only for the test programs. With the variable in its own environment, cargo would rebuild everything.

use std::time::Duration;

/// The cargo configuration that runs test programs with durations. Other programs run unchanged.
pub(crate) const RUNNER: &str = r#"target."cfg(all())".runner = ["sh", "-c", "case $1 in */deps/*) RUSTC_BOOTSTRAP=1 exec \"$@\" -Z unstable-options --report-time;; *) exec \"$@\";; esac", "sh"]"#;

/// Number of tests in the list.
const LISTED: usize = 10;

#[derive(Debug, Default)]
pub(crate) struct Slowest {
    /// Slowest first.
    tests: Vec<(Duration, String)>,
}

impl Slowest {
    /// Adds a line such as `test door::tests::it_opens ... ok <1.234s>`.
    pub(crate) fn add(&mut self, line: &str) {
        self.tests.extend(parse(line));
        self.tests.sort_by(|one, other| other.cmp(one));
        self.tests.truncate(LISTED);
    }

    /// Formats the list, one line per test; empty if no durations were printed.
    pub(crate) fn table(&self) -> String {
        let row = |(took, name): &(Duration, String)| format!("{:>9.1} s  {name}\n", took.as_secs_f64());
        let rows = self.tests.iter().map(row).collect::<String>();
        if rows.is_empty() { rows } else { format!("\nslowest tests\n{rows}") }
    }
}

fn parse(line: &str) -> Option<(Duration, String)> {
    let (test, took) = line.strip_suffix("s>")?.rsplit_once('<')?;
    let name = test.strip_prefix("test ")?.rsplit_once(" ... ")?.0;
    let took = Duration::try_from_secs_f64(took.parse().ok()?).ok()?;
    Some((took, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fixture;
    use crate::workspace;

    #[test]
    fn the_slowest_tests_are_listed_slowest_first() {
        let mut slowest = Slowest::default();
        slowest.add("running 3 tests");
        slowest.add("test door::tests::it_opens ... ok <1.234s>");
        slowest.add("test door::tests::it_breaks - should panic ... FAILED <20.000s>");
        slowest.add("test without_a_time ... ok");
        for number in 0..20 {
            slowest.add(&format!("test fast_{number} ... ok <0.{number:03}s>"));
        }
        let table = slowest.table();
        let lines = table.lines().skip(2).collect::<Vec<_>>();
        assert_eq!(lines.len(), LISTED);
        assert_eq!(lines[0], "     20.0 s  door::tests::it_breaks - should panic");
        assert_eq!(lines[1], "      1.2 s  door::tests::it_opens");
        assert_eq!(lines[2], "      0.0 s  fast_19");
    }

    #[test]
    fn test_programs_print_times_and_are_not_built_again() {
        let folder = fixture(&[
            ("Cargo.toml", "[package]\nname = \"made-up\"\nedition = \"2024\"\n[workspace]\n"),
            ("src/lib.rs", "#[test]\nfn it_runs() {}\n"),
        ]);
        let test = |arguments: &[&str]| {
            let mut cargo = workspace::cargo().unwrap();
            cargo.current_dir(&folder).env("CARGO_TARGET_DIR", folder.path().join("target"));
            let output = cargo.args(["test", "--tests", "--offline"]).args(arguments).output().unwrap();
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
        };
        let (_, built) = test(&["--no-run"]);
        assert!(built.contains("Compiling made-up"), "{built}");
        let (printed, built) = test(&["--config", RUNNER]);
        assert!(!built.contains("Compiling"), "{built}");
        let mut slowest = Slowest::default();
        printed.lines().for_each(|line| slowest.add(line));
        assert!(slowest.table().ends_with(" s  it_runs\n"), "{printed}{built}");
    }

    #[test]
    fn without_times_there_is_no_list() {
        assert_eq!(Slowest::default().table(), "");
    }
}
