//! What a run says, kept in pieces of one MiB: the first piece and the newest five.
//!
//! Architecture Invariant: piece `n` holds the bytes from `n` MiB on of all that was said, so that one
//! number names a place in the output, also where pieces before it are gone.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::folder::private_file;

const PIECE: u64 = 1 << 20;
/// Four whole ones and the one that grows.
const NEWEST: u64 = 5;

fn piece(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("output.{number}"))
}

/// Keeps what a run says.
pub(crate) struct OutputWriter {
    folder: PathBuf,
    length: u64,
    file: Option<File>,
    /// How many bytes the disk would not take.
    pub(crate) lost: u64,
}

impl OutputWriter {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), length: 0, file: None, lost: 0 }
    }

    /// Adds bytes. A full disk costs output, never the run.
    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.add_some(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(_) => {
                    self.lost += bytes.len() as u64;
                    return;
                }
            }
        }
    }

    fn add_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (number, used) = (self.length / PIECE, self.length % PIECE);
        if used == 0 || self.file.is_none() {
            self.file = Some(private_file().create(true).append(true).open(piece(&self.folder, number))?);
            if number > NEWEST {
                // Where it cannot be removed the disk holds a piece more than it should.
                let _ = fs::remove_file(piece(&self.folder, number - NEWEST));
            }
        }
        let Some(file) = &mut self.file else { return Err(io::Error::other("no file")) };
        let room = usize::try_from(PIECE - used).unwrap_or(usize::MAX);
        let count = file.write(&bytes[..bytes.len().min(room)])?;
        self.length += count as u64;
        Ok(count)
    }
}

/// A part of the output.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    /// How many bytes were asked for and are gone; `bytes` begin after them.
    pub(crate) gone: u64,
    pub(crate) bytes: Vec<u8>,
    /// Where the next part begins.
    pub(crate) next: u64,
}

fn pieces(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|name| name.strip_prefix("output.")).and_then(|number| number.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// How many bytes a run has said.
pub(crate) fn length(folder: &Path) -> io::Result<u64> {
    match pieces(folder)?.last() {
        Some(last) => Ok(last * PIECE + fs::metadata(piece(folder, *last))?.len()),
        None => Ok(0),
    }
}

/// The output from a place on, up to the end of that piece and at most so many bytes. Empty at the end of all.
pub(crate) fn part(folder: &Path, from: u64, most: u64) -> io::Result<Part> {
    let at_end = Part { next: from, ..Part::default() };
    let Some(number) = pieces(folder)?.into_iter().find(|number| (number + 1) * PIECE > from) else {
        return Ok(at_end);
    };
    let start = from.max(number * PIECE);
    let mut file = match File::open(piece(folder, number)) {
        Ok(file) => file,
        // Removed since it was listed: the next look finds the one that is the oldest then.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(at_end),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(start - number * PIECE))?;
    let mut bytes = Vec::new();
    file.take(most.min((number + 1) * PIECE - start)).read_to_end(&mut bytes)?;
    Ok(Part { gone: start - from, next: start + bytes.len() as u64, bytes })
}

/// The line that stands for bytes that are gone.
pub(crate) fn gone_line(bytes: u64) -> String {
    format!("[... {bytes} bytes of output were not kept]")
}

/// The last bytes of the output as text, at most so many.
pub(crate) fn tail(folder: &Path, most: usize) -> io::Result<String> {
    // What is said from now on is left out: a run that says more and more would never let this end.
    let length = length(folder)?;
    let first = length.saturating_sub(most as u64);
    let mut from = first;
    let mut bytes = Vec::new();
    while from < length {
        let part = part(folder, from, length - from)?;
        if part.gone > 0 {
            bytes.extend_from_slice(format!("\n{}\n", gone_line(part.gone)).as_bytes());
        }
        if part.bytes.is_empty() {
            break;
        }
        bytes.extend_from_slice(&part.bytes);
        from = part.next;
    }
    // The words on what is gone make it longer, and the first character may be cut in its middle.
    let mut start = bytes.len().saturating_sub(most);
    if start > 0 || first > 0 {
        start += bytes[start..].iter().take(3).take_while(|byte| **byte & 0xC0 == 0x80).count();
    }
    let text = String::from_utf8_lossy(&bytes[start..]);
    Ok(text[text.ceil_char_boundary(text.len().saturating_sub(most))..].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_piece_and_the_newest_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = OutputWriter::new(folder.path());
        let block = vec![b'a'; 700_000];
        for _ in 0..30 {
            writer.add(&block);
        }
        writer.add(b"\nthe end\n");
        assert_eq!(writer.lost, 0);
        assert_eq!(length(folder.path()).unwrap(), 21_000_009);
        assert_eq!(pieces(folder.path()).unwrap(), [0, 16, 17, 18, 19, 20]);
        let part = part(folder.path(), PIECE + 5, PIECE).unwrap();
        assert_eq!((part.gone, part.next), (15 * PIECE - 5, 17 * PIECE));
        assert_eq!(tail(folder.path(), 9).unwrap(), "\nthe end\n");
        let all = tail(folder.path(), 30_000_000).unwrap();
        assert!(all.contains(&format!("\n[... {} bytes of output were not kept]\n", 15 * PIECE)));
    }

    #[test]
    fn a_tail_begins_at_a_character_and_is_text() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = OutputWriter::new(folder.path());
        writer.add("grün €".as_bytes());
        assert_eq!(tail(folder.path(), 2).unwrap(), "");
        assert_eq!(tail(folder.path(), 3).unwrap(), "€");
        assert_eq!(tail(folder.path(), 100).unwrap(), "grün €");
        writer.add(b"\xff\xfe");
        assert_eq!(tail(folder.path(), 100).unwrap(), "grün €\u{fffd}\u{fffd}");
        assert!(tail(folder.path(), 5).unwrap().len() <= 5);
    }

    #[test]
    fn a_disk_that_takes_nothing_costs_output_only() {
        let mut writer = OutputWriter::new(Path::new("/nowhere/at/all"));
        writer.add(b"words");
        assert_eq!(writer.lost, 5);
    }
}
