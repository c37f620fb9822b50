//! Plugins of different bytes and commands, made of one: its command gets another name of the same length.
//!
//! Invariant: a variant is as valid as what it was made of, and no larger; only the name differs, and a section that
//! no host reads.

use anyhow::{Result, bail};

/// The command's name in the guest `bench`. It stands in its data once.
const NAME: &[u8; 4] = b"ping";
/// More variants than this have no names.
const MOST: usize = 1000;

/// The name of a variant's command.
pub(crate) fn name(number: usize) -> String {
    format!("p{number:03}")
}

/// The bytes of one variant.
pub(crate) fn variant(guest: &[u8], number: usize) -> Result<Vec<u8>> {
    if number >= MOST {
        bail!("there are {MOST} variants");
    }
    let places: Vec<usize> = (0..guest.len()).filter(|at| guest[*at..].starts_with(NAME)).collect();
    let [place] = places.as_slice() else {
        bail!("`ping` stands in the guest {} times, and one was expected", places.len());
    };
    let name = name(number);
    let mut bytes = guest.to_vec();
    bytes[*place..*place + NAME.len()].copy_from_slice(name.as_bytes());
    // A custom section: its number, its size, the size of its name, its name.
    let size = u8::try_from(name.len())?;
    bytes.extend([0, size + 1, size]);
    bytes.extend(name.as_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_differs() {
        let bytes = variant(b"\0asm....pingAnswers.", 7).unwrap();
        assert_eq!(bytes, b"\0asm....p007Answers.\0\x05\x04p007");
    }

    #[test]
    fn a_name_that_does_not_stand_there_once_is_an_error() {
        assert!(variant(b"\0asm", 0).is_err());
        assert!(variant(b"ping ping", 0).is_err());
        assert!(variant(b"ping", MOST).is_err());
    }
}
