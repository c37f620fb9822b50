//! Problems of a configuration: the position, the description, and the line to write instead.

use std::{fmt, sync::Arc};

/// A position in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At {
    /// The file, as it was named by the user.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}", self.file, self.line)
    }
}

/// A problem of a configuration.
///
/// ```
/// use std::path::Path;
/// use wardroom::prelude::*;
///
/// let builder = Engine::builder().chat(ReadyChat(MemoryChat::new(ChatFeatures::PLAIN)));
/// let error = builder.read_text("[bot.marvin.memroy]", Path::new(".")).err().unwrap();
/// let problem: &Problem = &error.0[0];
/// assert_eq!(problem.at.line, 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The position of the problem.
    pub at: At,
    /// The description, in one line.
    pub message: String,
    /// The line to write instead, or another instruction.
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

/// The list of problems. All readers of the configuration share one list.
#[derive(Debug, Clone, Default)]
pub struct Problems(Arc<std::sync::Mutex<Vec<Problem>>>);

impl Problems {
    /// Adds a problem.
    pub fn add(&self, at: &At, message: impl Into<String>, fix: Option<String>) {
        self.lock().push(Problem { at: at.clone(), message: message.into(), fix });
    }

    /// The number of problems.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// All problems, sorted by position and without duplicates.
    pub fn sorted(&self) -> Vec<Problem> {
        let mut all = self.lock().clone();
        all.sort();
        all.dedup();
        all
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Problem>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The maximum length of a word for which a correction is suggested, in bytes.
pub(crate) const LONGEST_WORD: usize = 64;
