//! Formats an error and its causes as one line.

/// Returns an error and its causes as one line, separated by colons. A cause whose text is already in the line is left
/// out. The URL that `reqwest` adds to an error is removed from the outermost error, because a URL can contain a
/// secret.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = without_url(&error.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    text
}

fn without_url(text: &str) -> String {
    match text.split_once(" for url (").and_then(|(head, rest)| Some((head, rest.split_once(')')?.1))) {
        Some((head, tail)) => format!("{head}{tail}"),
        None => text.to_owned(),
    }
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
    fn each_cause_appears_once_and_no_url() {
        let inner = Layered("refused", None);
        let middle = Layered("cannot connect", Some(Box::new(inner)));
        let again = Layered("cannot connect", Some(Box::new(middle)));
        let error = Layered("no answer for url (https://x/y?token=z)", Some(Box::new(again)));
        assert_eq!(error_chain(&error), "no answer: cannot connect: refused");
    }
}
