//! Plugins of different bytes and commands, made of one: its command gets another name of the same length.
//!
//! Invariant: a variant is as valid as what it was made of, and no larger; only the name differs, and a section that
//! no host reads. Whether the name is the command's shows when it is loaded.

use anyhow::{Result, bail};

/// The command's name in the guest `bench`. A compiler keeps four letters as text, as a number in the code, or both.
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
    let name = name(number);
    let mut bytes = guest.to_vec();
    let mut replaced = 0;
    if let Ok(letters) = <[u8; 4]>::try_from(name.as_bytes()) {
        replaced += replace(&mut bytes, NAME, &letters);
        replaced += replace(&mut bytes, &immediate(*NAME), &immediate(letters));
    }
    if replaced == 0 {
        bail!("the guest has no command `ping`");
    }
    // A custom section: its number, its size, the size of its name, its name.
    let size = u8::try_from(name.len())?;
    bytes.extend([0, size + 1, size]);
    bytes.extend(name.as_bytes());
    Ok(bytes)
}

/// Replaces all places of some bytes by as many others; gives how many there were.
fn replace<const N: usize>(bytes: &mut [u8], from: &[u8; N], to: &[u8; N]) -> usize {
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    for at in &places {
        bytes[*at..*at + N].copy_from_slice(to);
    }
    places.len()
}

/// Four letters as the number that code compares and stores them by: an `i32` in LEB128, which for ASCII has always
/// five bytes.
fn immediate(letters: [u8; 4]) -> [u8; 5] {
    let number = u32::from_le_bytes(letters);
    std::array::from_fn(|index| {
        let seven = (number >> (7 * index)) as u8 & 0x7f;
        if index < 4 { seven | 0x80 } else { seven }
    })
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
    fn a_name_in_the_code_is_a_number() {
        // i32.const 0x676e6970
        assert_eq!(immediate(*b"ping"), [0xf0, 0xd2, 0xb9, 0xbb, 0x06]);
        let bytes = variant(&[0x41, 0xf0, 0xd2, 0xb9, 0xbb, 0x06, 0x0b], 7).unwrap();
        assert_eq!(bytes[1..6], immediate(*b"p007"));
    }

    #[test]
    fn a_guest_without_that_command_is_an_error() {
        assert!(variant(b"\0asm", 0).is_err());
        assert!(variant(b"ping", MOST).is_err());
    }
}
