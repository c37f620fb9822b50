//! What is wrong with a configuration: where, what, and the line to write instead.

use std::{fmt, sync::Arc};

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}", self.file, self.line)
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub at: At,
    /// What, in one line.
    pub message: String,
    /// The line to write instead, or what to do.
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

/// The list that everything which reads the configuration adds to.
#[derive(Debug, Clone, Default)]
pub struct Problems(Arc<std::sync::Mutex<Vec<Problem>>>);

impl Problems {
    /// Adds one.
    pub fn add(&self, at: &At, message: impl Into<String>, fix: Option<String>) {
        self.lock().push(Problem { at: at.clone(), message: message.into(), fix });
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// All of them, by place.
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

/// A longer word is no slip of the finger, in bytes.
pub(crate) const LONGEST_WORD: usize = 64;
