//! The validity of an X.509 certificate: the two times between which it can be used.
//!
//! Source: RFC 5280, sections 4.1 and 4.1.2.5. Only the fields before the validity are passed over; nothing else of the
//! certificate is read, and no signature is checked.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// The times between which a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) begin: Timestamp,
    pub(crate) end: Timestamp,
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// The tag of the version, which a certificate of version 1 does not have.
const VERSION: u8 = 0xA0;

impl Validity {
    /// Reads the validity of a certificate in DER. Returns `None` if the bytes are no certificate.
    pub(crate) fn of(certificate: &[u8]) -> Option<Self> {
        let (content, _) = element(certificate, SEQUENCE)?;
        let (content, _) = element(content, SEQUENCE)?;
        let rest = element(content, VERSION).map_or(content, |(_, rest)| rest);
        let (_, rest) = element(rest, INTEGER)?;
        let (_, rest) = element(rest, SEQUENCE)?;
        let (_, rest) = element(rest, SEQUENCE)?;
        let (validity, _) = element(rest, SEQUENCE)?;
        let (begin, rest) = time(validity)?;
        let (end, _) = time(rest)?;
        Some(Self { begin, end })
    }
}

/// Returns the content of the first element and what follows it, if it has this tag.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    if *first != tag {
        return None;
    }
    let (length, rest) = match length {
        0..=0x7F => (usize::from(*length), rest),
        // A longer length has up to four bytes of its own.
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(*length & 0x7F))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// Returns the first time, and what follows it. Both forms are in UTC and have seconds.
fn time(bytes: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (text, rest, format) = match element(bytes, UTC_TIME) {
        Some((text, rest)) => (std::str::from_utf8(text).ok()?.to_owned(), rest, UTC_TIME),
        None => {
            let (text, rest) = element(bytes, GENERALIZED_TIME)?;
            (std::str::from_utf8(text).ok()?.to_owned(), rest, GENERALIZED_TIME)
        }
    };
    // The years of the short form are 1950 to 2049.
    let text = match format {
        UTC_TIME if text.get(..2)?.parse::<u8>().ok()? >= 50 => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        _ => text,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    Some((time.to_zoned(TimeZone::UTC).ok()?.timestamp(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[SEQUENCE, 0x82, length[0], length[1]], content.as_slice()].concat()
    }

    fn certificate(version: &[u8], begin: &[u8], end: &[u8]) -> Vec<u8> {
        let serial = [INTEGER, 1, 7];
        let validity = sequence(&[begin, end]);
        let body = sequence(&[version, &serial, &sequence(&[]), &sequence(&[&[0; 300]]), &validity, &sequence(&[])]);
        sequence(&[&body])
    }

    #[test]
    fn both_forms_of_a_time_are_read() {
        let short = |text: &[u8]| [&[UTC_TIME, 13], text].concat();
        let long = |text: &[u8]| [&[GENERALIZED_TIME, 15], text].concat();
        let version = [VERSION, 3, INTEGER, 1, 2];
        let read = Validity::of(&certificate(&version, &short(b"261130120000Z"), &long(b"20500102030405Z"))).unwrap();
        assert_eq!(read.begin.to_string(), "2026-11-30T12:00:00Z");
        assert_eq!(read.end.to_string(), "2050-01-02T03:04:05Z");
        let old = Validity::of(&certificate(&[], &short(b"500101000000Z"), &short(b"491231235959Z"))).unwrap();
        assert_eq!(old.begin.to_string(), "1950-01-01T00:00:00Z");
        assert_eq!(old.end.to_string(), "2049-12-31T23:59:59Z");
    }

    #[test]
    fn bytes_that_are_no_certificate_have_no_validity() {
        let whole = certificate(&[], &[UTC_TIME, 13], &[]);
        for bytes in [&[][..], &[SEQUENCE], &[SEQUENCE, 0x85, 0, 0, 0, 0, 0], b"-----BEGIN", &whole] {
            assert_eq!(Validity::of(bytes), None, "{bytes:?}");
        }
    }
}
