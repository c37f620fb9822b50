//! The application and the pipeline of a deployment: `cms/Deploy to staging`.
//!
//! Invariant: the application is one segment of a URL that stays below its parent.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The maximum length in bytes.
const MAX_LENGTH: usize = 1024;

/// An application and a pipeline in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct PipelinePath {
    pub(crate) application: String,
    /// The name or the id of the pipeline. It can contain slashes.
    pub(crate) pipeline: String,
}

impl PipelinePath {
    /// Parses the text of the configuration.
    ///
    /// # Errors
    /// The text is not valid: the reason, worded as the end of a sentence.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > MAX_LENGTH {
            return Err("is longer than 1,024 bytes");
        }
        if text.contains("://") {
            return Err("is a URL");
        }
        if text.chars().any(char::is_control) {
            return Err("contains a control character");
        }
        let Some((application, pipeline)) = text.split_once('/') else {
            return Err("has no slash between the application and the pipeline");
        };
        if matches!(application, "" | "." | "..") {
            return Err("has no application before the slash");
        }
        if pipeline.trim().is_empty() {
            return Err("has no pipeline after the slash");
        }
        Ok(Self { application: application.to_owned(), pipeline: pipeline.to_owned() })
    }
}

impl fmt::Display for PipelinePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.application, self.pipeline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_application_ends_at_the_first_slash() {
        for (text, application, pipeline) in [
            ("cms/Deploy to staging", "cms", "Deploy to staging"),
            ("cms/web/50% off?#", "cms", "web/50% off?#"),
            ("cms/4399e00d-3749-4418-b432-e65f9000457f", "cms", "4399e00d-3749-4418-b432-e65f9000457f"),
        ] {
            let path = PipelinePath::parse(text).unwrap();
            assert_eq!((&*path.application, &*path.pipeline, &*path.to_string()), (application, pipeline, text));
        }
    }

    #[test]
    fn a_text_without_application_or_pipeline_is_rejected() {
        for text in ["", "cms", "/deploy", "../deploy", "./deploy", "cms/", "cms/ ", "https://deck/#/a", "cms/a\nb"] {
            assert!(PipelinePath::parse(text).is_err(), "{text:?}");
        }
        assert!(PipelinePath::parse(&format!("cms/{}", "a".repeat(1024))).is_err());
    }
}
