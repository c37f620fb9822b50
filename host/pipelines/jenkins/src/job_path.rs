//! The full name of a Jenkins job, for example `web/cms/deploy`, and its URL.
//!
//! Invariant: a path has no empty segment and no `.` or `..`, so that its URL stays below the URL of Jenkins.

use std::fmt;

use reqwest::Url;
use serde::{Deserialize, Serialize};

/// The maximum length of a full name in bytes.
const MAX_LENGTH: usize = 1024;

/// The full name of a job: the names of its folders and its own name, separated by slashes. A slash in the name of a
/// branch is written `%2F`, because that is how Jenkins names the job of the branch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct JobPath(String);

impl JobPath {
    /// Parses a full name.
    ///
    /// # Errors
    /// The text is not a full name: the reason, worded as the end of a sentence.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let is_bad = |segment: &str| segment.is_empty() || segment == "." || segment == "..";
        if text.len() > MAX_LENGTH {
            return Err("is longer than 1,024 bytes");
        }
        if text.contains("://") || text.starts_with("job/") && text.matches("/job/").count() > 0 {
            return Err("is a URL or a part of a URL");
        }
        if text.split('/').any(is_bad) {
            return Err("has an empty segment, `.` or `..`");
        }
        if text.chars().any(char::is_control) {
            return Err("contains a control character");
        }
        // Jenkins allows it in no name, and servers cut a path there.
        if text.contains(';') {
            return Err("contains a semicolon");
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the segments of the job's URL: `job`, `web`, `job`, `cms`.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').flat_map(|name| ["job", name])
    }

    /// Returns the URL of the job below the URL of Jenkins, with a slash at its end.
    pub(crate) fn url(&self, base: &Url) -> Url {
        below(base, self.segments().chain([""]))
    }

    /// Returns the job of a URL in a response, and the segments after the job. The host and the path before the first
    /// segment `job` are ignored, because Jenkins writes the URL that its administrator configured, which can be another
    /// one than that of the host. Returns `None` if the URL names no job.
    pub(crate) fn of_url(url: &str) -> Option<(Self, Vec<String>)> {
        let url = Url::parse(url).ok()?;
        let mut segments = url.path_segments()?.skip_while(|segment| *segment != "job").peekable();
        let mut names = Vec::new();
        while segments.next_if_eq(&"job").is_some() {
            names.push(decode(segments.next()?)?);
        }
        let rest = segments.filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
        Some((Self::parse(&names.join("/")).ok()?, rest))
    }
}

/// Returns a URL below another one. Each segment is encoded, also its percent signs.
pub(crate) fn below<'s>(base: &Url, segments: impl IntoIterator<Item = &'s str>) -> Url {
    let mut url = base.clone();
    // `path_segments_mut` fails only for a URL that cannot be a base, which the configuration rejects.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// Decodes the percent signs of one segment once. Returns `None` if the result is not UTF-8.
fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = || u8::from_str_radix(std::str::from_utf8(after.get(..2)?).ok()?, 16).ok();
        match hex().filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Display for JobPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_segment_of_a_name_is_encoded() {
        for (base, name, url) in [
            ("http://ci:8080", "deploy", "http://ci:8080/job/deploy/"),
            ("https://x/jenkins/", "web/cms deploy", "https://x/jenkins/job/web/job/cms%20deploy/"),
            ("https://x/jenkins", "app/feature%2Flogin", "https://x/jenkins/job/app/job/feature%252Flogin/"),
            ("http://ci", "grün/50% off?#", "http://ci/job/gr%C3%BCn/job/50%25%20off%3F%23/"),
            ("http://ci", "job/a+b", "http://ci/job/job/job/a+b/"),
        ] {
            let path = JobPath::parse(name).expect(name);
            let built = path.url(&base.parse().expect("a URL"));
            assert_eq!(built.as_str(), url);
            assert_eq!(JobPath::of_url(url), Some((path, Vec::new())), "{url}");
        }
    }

    #[test]
    fn a_name_that_leaves_its_folder_is_rejected() {
        for name in ["", "a//b", "/a", "a/", "..", "a/../b", "a/.", "https://ci/job/a", "job/a/job/b", "a\nb", "a;b"] {
            assert!(JobPath::parse(name).is_err(), "{name:?}");
        }
        assert!(JobPath::parse(&"a".repeat(1025)).is_err());
    }

    #[test]
    fn the_job_of_a_url_does_not_depend_on_the_host() {
        let path = |name: &str| JobPath::parse(name).expect("a name");
        assert_eq!(
            JobPath::of_url("https://other.example/prefix/job/web/job/cms%20deploy/12/"),
            Some((path("web/cms deploy"), vec!["12".to_owned()]))
        );
        assert_eq!(JobPath::of_url("http://ci/view/all/job/a/7/"), Some((path("a"), vec!["7".to_owned()])));
        assert_eq!(JobPath::of_url("http://ci/job/"), None);
        assert_eq!(JobPath::of_url("http://ci/computer/a/"), None);
        assert_eq!(JobPath::of_url("no URL"), None);
        assert_eq!(JobPath::of_url("http://ci/job/%FF/"), None);
    }
}
