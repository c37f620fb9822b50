//! Durations as people write them: `90s`, `2h`, `7d`.

use std::time::Duration;

/// Parses `90s`, `2h`, `1d12h`, `1w`, `500ms`. A bare number has no unit and is refused.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(digits).filter(|(number, _)| !number.is_empty())?;
        let letters = tail.bytes().take_while(u8::is_ascii_lowercase).count();
        let (unit, tail) = tail.split_at(letters);
        let seconds: u64 = match unit {
            "ms" => 0,
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return None,
        };
        let number: u64 = number.parse().ok()?;
        let part = if unit == "ms" {
            Duration::from_millis(number)
        } else {
            Duration::from_secs(number.checked_mul(seconds)?)
        };
        total = total.checked_add(part)?;
        rest = tail;
    }
    Some(total)
}

/// A span of time as [`parse_duration`] reads it: `1d12h`, `90s` as `1m30s`, `500ms`.
pub(crate) fn show_duration(span: Duration) -> String {
    let mut rest = span.as_millis();
    let mut text = String::new();
    for (unit, milliseconds) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if rest >= milliseconds {
            text.push_str(&format!("{}{unit}", rest / milliseconds));
            rest %= milliseconds;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_duration_parses_to_the_same_value() {
        for text in ["0s", "500ms", "1m30s", "1d12h", "90d", "2h1m1s1ms"] {
            let span = parse_duration(text).unwrap();
            assert_eq!(show_duration(span), text);
        }
        assert_eq!(show_duration(Duration::from_secs(604_800)), "7d");
    }
}
