//! Finds the lines `step: NAME`, with which a program reports its steps.

use wardroom::base::{TerminalLines, clean};

/// Maximum length of a step's name, in characters; a longer name is truncated.
const MAX_STEP_NAME: usize = 80;

/// Stores the name of the step that a program reported last with an output line `step: NAME`.
#[derive(Debug, Default)]
pub(crate) struct StepTracker {
    terminal: TerminalLines,
    last: Option<String>,
}

impl StepTracker {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let mut lines = Vec::new();
        self.terminal.push(bytes, &mut lines);
        self.end_lines(&lines);
    }

    fn end_lines(&mut self, lines: &[String]) {
        for line in lines {
            if let Some(name) = line.strip_prefix("step: ") {
                let name: String = clean(name).trim().chars().take(MAX_STEP_NAME).collect();
                if !name.is_empty() {
                    self.last = Some(name);
                }
            }
        }
    }

    /// Returns the name of the step that the program reported last; `None` if it reported no step. The last line of the
    /// output counts even if it does not end with a line break.
    pub(crate) fn finish(mut self) -> Option<String> {
        let mut lines = Vec::new();
        self.terminal.finish(&mut lines);
        self.end_lines(&lines);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_step_wins() {
        let mut steps = StepTracker::default();
        steps.feed(b"step: fetch\nfetching 10 %\rfetched\x1b[K\r\n\x1b[32mstep: mig");
        steps.feed(b"rate\x1b[1m \r\n a step: no\nstep: \n");
        assert_eq!(steps.finish().as_deref(), Some("migrate"));
    }
}
