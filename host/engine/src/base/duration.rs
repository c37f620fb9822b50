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
