//! The stored output of a pipeline run, in files of 1 MiB. Only the first file and the last five files are kept.
//!
//! Invariant: the file `output.N` begins at byte N × 1 MiB of the whole output. An offset in the output therefore stays
//! valid after earlier files are removed.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::files::private_file;

/// Maximum size of an output file, in bytes.
const FILE_BYTES: u64 = 1 << 20;
/// Number of output files that are kept in addition to the first file. These are the file that is being written and the
/// four files before it. Older files are removed.
const KEPT_FILES: u64 = 5;

fn file_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("output.{number}"))
}

pub(crate) struct OutputWriter {
    folder: PathBuf,
    length: u64,
    file: Option<File>,
    /// Number of bytes of output that could not be written.
    pub(crate) lost: u64,
}

impl OutputWriter {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), length: 0, file: None, lost: 0 }
    }

    /// Appends bytes to the output. If the bytes cannot be written, adds their number to `lost`, and the pipeline run
    /// continues.
    pub(crate) fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.append_some(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(_) => {
                    self.lost += bytes.len() as u64;
                    return;
                }
            }
        }
    }

    fn append_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (number, used) = (self.length / FILE_BYTES, self.length % FILE_BYTES);
        if used == 0 || self.file.is_none() {
            self.file = Some(private_file().create(true).append(true).open(file_path(&self.folder, number))?);
            if number > KEPT_FILES {
                // If the file cannot be removed, it only wastes disk space.
                let _ = fs::remove_file(file_path(&self.folder, number - KEPT_FILES));
            }
        }
        let Some(file) = &mut self.file else { return Err(io::Error::other("no file")) };
        let room = usize::try_from(FILE_BYTES - used).unwrap_or(usize::MAX);
        let count = file.write(&bytes[..bytes.len().min(room)])?;
        self.length += count as u64;
        Ok(count)
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    /// Number of requested bytes that cannot be read because their file was removed. These bytes are directly before
    /// `bytes` in the output.
    pub(crate) missing: u64,
    pub(crate) bytes: Vec<u8>,
    /// The offset in the output at which the next read begins.
    pub(crate) next: u64,
}

fn file_numbers(folder: &Path) -> io::Result<Vec<u64>> {
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

/// Returns the length of the whole output in bytes, including removed bytes.
pub(crate) fn length(folder: &Path) -> io::Result<u64> {
    match file_numbers(folder)?.last() {
        Some(last) => Ok(last * FILE_BYTES + fs::metadata(file_path(folder, *last))?.len()),
        None => Ok(0),
    }
}

/// Reads up to `max` bytes of output from the offset `from`. One call reads from only one output file, so it can return
/// fewer bytes. If the file at `from` was removed, reads from the next remaining file and sets [`Part::missing`]. If
/// `from` is the end of the output, returns no bytes.
pub(crate) fn part(folder: &Path, from: u64, max: u64) -> io::Result<Part> {
    let at_end = Part { next: from, ..Part::default() };
    let Some(number) = file_numbers(folder)?.into_iter().find(|number| (number + 1) * FILE_BYTES > from) else {
        return Ok(at_end);
    };
    let start = from.max(number * FILE_BYTES);
    let mut file = match File::open(file_path(folder, number)) {
        Ok(file) => file,
        // The writer removed the file after it was listed; the next call reads the oldest remaining file.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(at_end),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(start - number * FILE_BYTES))?;
    let mut bytes = Vec::new();
    file.take(max.min((number + 1) * FILE_BYTES - start)).read_to_end(&mut bytes)?;
    Ok(Part { missing: start - from, next: start + bytes.len() as u64, bytes })
}

/// Returns the line that a reader gets in place of removed output. `bytes` is the number of removed bytes.
pub(crate) fn missing_line(bytes: u64) -> String {
    format!("[... {bytes} bytes of output were not kept]")
}

/// Returns the last bytes of the output, at most `max`, as text. If some of these bytes were removed, the text contains
/// a line with the number of removed bytes in their place.
pub(crate) fn tail(folder: &Path, max: usize) -> io::Result<String> {
    // Ignore later output; otherwise a program that prints without end would keep the loop running.
    let length = length(folder)?;
    let first = length.saturating_sub(max as u64);
    let mut from = first;
    let mut bytes = Vec::new();
    while from < length {
        let part = part(folder, from, length - from)?;
        if part.missing > 0 {
            bytes.extend_from_slice(format!("\n{}\n", missing_line(part.missing)).as_bytes());
        }
        if part.bytes.is_empty() {
            break;
        }
        bytes.extend_from_slice(&part.bytes);
        from = part.next;
    }
    // Cut the text to `max` bytes again, because lines for removed bytes were added, and drop an incomplete first
    // character.
    let mut start = bytes.len().saturating_sub(max);
    if start > 0 || first > 0 {
        start += bytes[start..].iter().take(3).take_while(|byte| **byte & 0xC0 == 0x80).count();
    }
    let text = String::from_utf8_lossy(&bytes[start..]);
    Ok(text[text.ceil_char_boundary(text.len().saturating_sub(max))..].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_and_the_last_files_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = OutputWriter::new(folder.path());
        let block = vec![b'a'; 700_000];
        for _ in 0..30 {
            writer.append(&block);
        }
        writer.append(b"\nthe end\n");
        assert_eq!(writer.lost, 0);
        assert_eq!(length(folder.path()).unwrap(), 21_000_009);
        assert_eq!(file_numbers(folder.path()).unwrap(), [0, 16, 17, 18, 19, 20]);
        let part = part(folder.path(), FILE_BYTES + 5, FILE_BYTES).unwrap();
        assert_eq!((part.missing, part.next), (15 * FILE_BYTES - 5, 17 * FILE_BYTES));
        assert_eq!(tail(folder.path(), 9).unwrap(), "\nthe end\n");
        let all = tail(folder.path(), 30_000_000).unwrap();
        assert!(all.contains(&format!("\n[... {} bytes of output were not kept]\n", 15 * FILE_BYTES)));
    }

    #[test]
    fn a_tail_begins_at_a_character_boundary() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = OutputWriter::new(folder.path());
        writer.append("grün €".as_bytes());
        assert_eq!(tail(folder.path(), 2).unwrap(), "");
        assert_eq!(tail(folder.path(), 3).unwrap(), "€");
        assert_eq!(tail(folder.path(), 100).unwrap(), "grün €");
        writer.append(b"\xff\xfe");
        assert_eq!(tail(folder.path(), 100).unwrap(), "grün €\u{fffd}\u{fffd}");
        assert!(tail(folder.path(), 5).unwrap().len() <= 5);
    }

    #[test]
    fn a_failed_write_is_counted_as_lost() {
        let mut writer = OutputWriter::new(Path::new("/nowhere/at/all"));
        writer.append(b"words");
        assert_eq!(writer.lost, 5);
    }
}
