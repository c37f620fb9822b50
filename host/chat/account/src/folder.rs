//! The state folder of a chat account: its name, and functions that write and read the files in it.
//!
//! Invariant: only the host's user can read the folder and its files, and a file is replaced atomically.
//! Not here: the content of the files, which each adapter defines.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

/// Returns the name of a bot's state folder. Every byte that is not a letter, a digit, `-` or `_` is written as `=` and
/// two hexadecimal digits (`../x` becomes `=2e=2e=2fx`), so that no bot name leads out of the parent folder.
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

/// Creates a folder and its parents with mode 0700, or sets that mode on a folder that exists.
///
/// # Errors
/// The folder cannot be created, or its mode cannot be changed.
pub fn create_private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // `mode` above has no effect on a folder that exists.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

/// Writes `text` to a file with mode 0600. An existing file is replaced atomically. The text is on disk when this
/// function returns.
///
/// # Errors
/// The file cannot be written; an existing file keeps its old content.
pub fn write_atomic(path: &Path, text: &str) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

/// Writes a value as JSON with [`write_atomic`].
///
/// # Errors
/// The value cannot be serialized, or the file cannot be written.
pub fn write_json(file: &Path, value: &impl Serialize) -> io::Result<()> {
    write_atomic(file, &serde_json::to_string(value)?)
}

/// Reads a file as a JSON value; `None` if the file does not exist.
///
/// # Errors
/// The file cannot be read or parsed.
pub fn read_json<T: DeserializeOwned>(file: &Path) -> io::Result<Option<T>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(serde_json::from_str(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a file, or a folder with its content. A path that does not exist is not an error.
///
/// # Errors
/// The file or folder cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn no_bot_name_leaves_the_parent_folder() {
        assert_eq!(folder_name("marvin-2"), "marvin-2");
        assert_eq!(folder_name("../x"), "=2e=2e=2fx");
    }

    #[test]
    fn only_the_owner_can_read_files_and_folders() {
        let home = TempDir::new().expect("a folder");
        let folder = home.path().join("a/b");
        create_private(&folder).expect("created");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("set");
        create_private(&folder).expect("created again");
        let file = folder.join("x.json");
        assert_eq!(read_json::<Vec<u8>>(&file).expect("none"), None);
        write_json(&file, &[1, 2]).expect("written");
        assert_eq!(read_json::<Vec<u8>>(&file).expect("one"), Some(vec![1, 2]));
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
        assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 1, "no partial file is left");
        remove(&file).expect("removed");
        remove(&file).expect("removed already");
        remove(&folder).expect("removed");
    }
}
