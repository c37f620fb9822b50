//! Configuration problems: the errors in configuration files, each with its position, its description and the line to
//! write instead.

use std::{fmt, sync::Arc};

/// The position of a line: a configuration file and a line number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At {
    /// The path of the file, as the user wrote it.
    pub file: Arc<str>,
    /// The number of the line; the first line is 1.
    pub line: usize,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}", self.file, self.line)
    }
}

/// A configuration problem: an error in a configuration file.
///
/// ```
/// use std::path::Path;
/// use wardroom::prelude::*;
///
/// let builder = Engine::builder().chat(MemoryChat::new(ChatFeatures::PLAIN));
/// let error = builder.read_text("[bot.marvin.memroy]", Path::new(".")).err().unwrap();
/// let problem: &Problem = &error.0[0];
/// assert_eq!(problem.at.line, 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The line that has the error.
    pub at: At,
    /// The description of the error, in one line.
    pub message: String,
    /// The line to write instead, or another instruction. Printed after `write:`. `None` if the host has no suggestion.
    pub fix: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.at.file, self.at.line, self.message)?;
        if let Some(fix) = &self.fix {
            write!(f, "\n    write: {fix}")?;
        }
        Ok(())
    }
}

/// A list of configuration problems. All clones share one list.
#[derive(Debug, Clone, Default)]
pub struct Problems(Arc<parking_lot::Mutex<Vec<Problem>>>);

impl Problems {
    /// Adds a configuration problem at the line `at`. `fix` is the line to write instead; `None` if the caller has no
    /// suggestion.
    pub fn add(&self, at: &At, message: impl Into<String>, fix: Option<String>) {
        self.0.lock().push(Problem { at: at.clone(), message: message.into(), fix });
    }

    /// Returns the number of configuration problems, including duplicates.
    pub fn count(&self) -> usize {
        self.0.lock().len()
    }

    /// Returns all configuration problems, sorted by file and line and without duplicates.
    pub fn sorted(&self) -> Vec<Problem> {
        let mut all = self.0.lock().clone();
        all.sort();
        all.dedup();
        all
    }
}
