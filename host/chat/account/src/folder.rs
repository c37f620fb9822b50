//! An account's folder: what it is called, and how its files are written and read.
//!
//! Invariant: the folder is for its owner alone, and each file appears whole or not at all.
//! Not here: what stands in the files.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

/// An identity's name as the name of one folder.
pub fn folder_name(bot: &str) -> String {
    let mut name = String::new();
    for byte in bot.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(byte.into()),
            _ => name.push_str(&format!("={byte:02x}")),
        }
    }
    name
}

/// Makes a folder and those above it, or takes away the rights that others have on it.
///
/// # Errors
/// What the file system said.
pub fn make(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // It may have been there with other rights.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

/// Writes a file for its owner alone: whole, or not at all.
///
/// # Errors
/// What the file system said.
pub fn write_whole(whole: &Path, text: &str) -> io::Result<()> {
    let part = whole.with_extension("part");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, whole)?;
    whole.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

/// Writes a value as such a file.
///
/// # Errors
/// What the file system said.
pub fn write_json(file: &Path, value: &impl Serialize) -> io::Result<()> {
    write_whole(file, &serde_json::to_string(value)?)
}

/// Reads a value from such a file; `None` where there is none.
///
/// # Errors
/// It cannot be read, or holds something else.
pub fn read_json<T: DeserializeOwned>(file: &Path) -> io::Result<Option<T>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(serde_json::from_str(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes a file or a folder away, where it is there.
///
/// # Errors
/// What the file system said.
pub fn remove(path: &Path) -> io::Result<()> {
    let gone = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match gone {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn no_name_leaves_the_folder() {
        assert_eq!(folder_name("marvin-2"), "marvin-2");
        assert_eq!(folder_name("../x"), "=2e=2e=2fx");
    }

    #[test]
    fn files_and_folders_are_their_owners_alone() {
        let home = TempDir::new().expect("a folder");
        let folder = home.path().join("a/b");
        make(&folder).expect("made");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("set");
        make(&folder).expect("made again");
        let file = folder.join("x.json");
        assert_eq!(read_json::<Vec<u8>>(&file).expect("none"), None);
        write_json(&file, &[1, 2]).expect("written");
        assert_eq!(read_json::<Vec<u8>>(&file).expect("one"), Some(vec![1, 2]));
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
        assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 1, "no part is left");
        remove(&file).expect("removed");
        remove(&file).expect("removed already");
        remove(&folder).expect("removed");
    }
}
