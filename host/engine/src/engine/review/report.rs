//! A report in the two formats of the command line: text and JSON.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

/// A report on a configuration. `Display` writes the report as text, and `Serialize` as JSON with the same facts.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Report {
    #[serde(skip)]
    text: String,
    json: Value,
}

impl Report {
    pub(in crate::engine) fn new(facts: &(impl Serialize + fmt::Display)) -> Self {
        Self { text: facts.to_string(), json: json!(facts) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
