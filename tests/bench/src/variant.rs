//! Creates different plugins from one guest: the commands get other names of the same lengths.
//!
//! Invariant: a variant differs from the original only in the names of commands and in an unused custom section.
//! Loading a variant checks that its commands have the new names.

use anyhow::{Result, bail};

/// The commands of the guest `bench`, each with the prefix of its new names.
const COMMANDS: [(&str, char); 5] = [("ping", 'p'), ("calls", 'c'), ("effects", 'e'), ("reads", 'r'), ("park", 'k')];
/// Maximum number of variants with different names.
const MOST: usize = 1000;

/// Returns the name of a variant, which is also the name of its query.
pub(crate) fn name(number: usize) -> String {
    format!("p{number:03}")
}

/// Returns the bytes of a variant.
pub(crate) fn variant(guest: &[u8], number: usize) -> Result<Vec<u8>> {
    if number >= MOST {
        bail!("there are {MOST} variants");
    }
    let mut bytes = guest.to_vec();
    for (command, beginning) in COMMANDS {
        rename(&mut bytes, command, &format!("{beginning}{number:03}{}", &command[4..]))?;
    }
    // Add a custom section: its number, its size, the size of its name, its name.
    let name = name(number);
    let size = u8::try_from(name.len())?;
    bytes.extend([0, size + 1, size]);
    bytes.extend(name.as_bytes());
    Ok(bytes)
}

/// Replaces the name of a command by a name of the same length. The compiler stores the first four letters as text, as
/// a number in the code, or both.
fn rename(bytes: &mut [u8], command: &str, name: &str) -> Result<()> {
    let mut replaced = replace(bytes, command.as_bytes(), name.as_bytes());
    if let (Some(from), Some(to)) = (command.as_bytes().first_chunk(), name.as_bytes().first_chunk()) {
        replaced += replace(bytes, &immediate(*from), &immediate(*to));
    }
    if replaced == 0 {
        bail!("the guest has no command `{command}`");
    }
    Ok(())
}

/// Replaces all occurrences by bytes of the same length. Returns the number of replacements.
fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) -> usize {
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    for at in &places {
        bytes[*at..*at + to.len()].copy_from_slice(to);
    }
    places.len()
}

/// Encodes four letters as code stores them: an `i32` in LEB128, which always has five bytes for ASCII.
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
    fn only_the_names_differ() {
        let bytes = variant(b"\0asm ping calls effects reads park", 7).unwrap();
        assert_eq!(bytes, b"\0asm p007 c007s e007cts r007s k007\0\x05\x04p007");
    }

    #[test]
    fn names_in_code_are_replaced_as_numbers() {
        // i32.const 0x676e6970
        assert_eq!(immediate(*b"ping"), [0xf0, 0xd2, 0xb9, 0xbb, 0x06]);
        let mut bytes = [0x41, 0xf0, 0xd2, 0xb9, 0xbb, 0x06, 0x0b];
        rename(&mut bytes, "ping", "p007").unwrap();
        assert_eq!(bytes[1..6], immediate(*b"p007"));
    }

    #[test]
    fn a_guest_without_those_commands_is_an_error() {
        assert!(variant(b"\0asm ping", 0).is_err());
        assert!(variant(b"ping calls effects reads park", MOST).is_err());
    }
}
