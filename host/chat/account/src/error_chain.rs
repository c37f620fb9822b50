//! Formats an error and its causes as one line.

/// Returns an error and its causes as one line, separated by colons. Leaves out a cause whose text is already in the
/// line. Removes every ` for url (…)` from the error and from each cause, because `reqwest` adds the URL of a request
/// to its errors, and a URL can contain a secret.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = without_urls(&error.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = without_urls(&error.to_string());
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    text
}

fn without_urls(text: &str) -> String {
    let mut parts = text.split(" for url (");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // A URL can contain `)` but no space, so it ends at the last `)` before a space. Without a `)`, the URL is
        // truncated and ends at the space.
        let end = part.find(char::is_whitespace).unwrap_or(part.len());
        let end = part[..end].rfind(')').map_or(end, |bracket| bracket + 1);
        kept.push_str(&part[end..]);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Layered(&'static str, Option<Box<Layered>>);

    impl std::fmt::Display for Layered {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Layered {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            self.1.as_deref().map(|inner| inner as _)
        }
    }

    #[test]
    fn every_url_of_every_cause_is_removed() {
        let inner = Layered("refused for url (https://x/?token=a)b) and for url (https://y/?token=c): reset", None);
        let middle = Layered("cannot connect for url (https://x/?token=d)", Some(Box::new(inner)));
        let error = Layered("no answer for url (https://x/?token=e)", Some(Box::new(middle)));
        assert_eq!(error_chain(&error), "no answer: cannot connect: refused and: reset");
        let truncated = Layered("no answer for url (https://x/?token=f and more", None);
        assert_eq!(error_chain(&truncated), "no answer and more");
    }

    #[test]
    fn a_cause_that_differs_only_in_its_url_appears_once() {
        let inner = Layered("cannot connect for url (https://y/)", None);
        let error = Layered("cannot connect for url (https://x/)", Some(Box::new(inner)));
        assert_eq!(error_chain(&error), "cannot connect");
    }

    #[test]
    fn each_cause_appears_once_and_no_url() {
        let inner = Layered("refused", None);
        let middle = Layered("cannot connect", Some(Box::new(inner)));
        let again = Layered("cannot connect", Some(Box::new(middle)));
        let error = Layered("no answer for url (https://x/y?token=z)", Some(Box::new(again)));
        assert_eq!(error_chain(&error), "no answer: cannot connect: refused");
    }
}
