//! Redacts the values that plugins and the journal get from host calls.
//!
//! Invariant: redaction never loses a value. A text that must stay as it is, because the value cannot be decoded
//! without it, stays; such a text is the name of a variant and not data.

use std::collections::BTreeSet;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::base::{Redactor, redactor};

/// Replaces each secret in the texts and numbers of a value. The engine's own calls return none; a capability of
/// another program can.
pub(super) fn without_secrets<T: Serialize + DeserializeOwned>(value: T) -> T {
    let redactor = redactor();
    if redactor.is_empty() {
        return value;
    }
    // A value that is not JSON cannot be stored, which the caller reports.
    match serde_json::to_value(&value) {
        Ok(json) => redacted(&redactor, &json).unwrap_or(value),
        Err(_) => value,
    }
}

/// Returns the redacted value; `None` if it contains no secret, or only names of variants.
fn redacted<T: DeserializeOwned>(redactor: &Redactor, json: &Value) -> Option<T> {
    let mut texts = BTreeSet::new();
    redactor.secret_texts(json, &mut texts);
    let decode = |texts: &BTreeSet<String>| {
        let mut json = json.clone();
        redactor.redact_json(&mut json, texts);
        T::deserialize(json).ok()
    };
    if texts.is_empty() {
        return None;
    }
    decode(&texts).or_else(|| {
        texts.retain(|text| decode(&BTreeSet::from([text.clone()])).is_some());
        decode(&texts)
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::prelude::Secret;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum State {
        Succeeded,
        Failed { message: String },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Answer {
        message: String,
        state: Vec<State>,
        number: u64,
    }

    fn redact(secrets: &[&str], answer: Answer) -> Answer {
        let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
        redacted(&Redactor::new(&secrets), &json!(answer)).unwrap_or(answer)
    }

    #[test]
    fn a_secret_is_redacted_in_texts_and_numbers_and_the_value_stays_decodable() {
        let answer = || Answer {
            message: "line\nquote \" hunter2".to_owned(),
            state: vec![State::Succeeded, State::Failed { message: "Succeeded not".to_owned() }],
            number: 10_223_344_935,
        };
        assert_eq!(redact(&["other secret"], answer()), answer());
        let hidden = redact(&["hunter2", "quote \" hunter2", "23344935", "message", "Succeeded"], answer());
        let expected = Answer {
            message: "line\n[redacted]".to_owned(),
            state: vec![State::Succeeded, State::Failed { message: "[redacted] not".to_owned() }],
            number: 0,
        };
        assert_eq!(hidden, expected, "names of fields and variants stay");
    }
}
