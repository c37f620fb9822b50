//! Groups of people from files that other programs write: `[group.NAME] file = "groups/oncall.txt"`, with one id of a
//! person per line.
//!
//! Invariant: a group whose file is missing, unreadable, malformed or too old counts as empty, and the host logs the
//! error once.
//! Not here: other sources of groups, which implement [`Directory`] outside of this crate.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{File, Metadata},
    io::Read as _,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;

use super::directory::{Directory, GroupUnavailable};

const MAX_FILE_BYTES: u64 = 4 << 20;
/// The clock of a file server can be ahead of the host's clock. The modification time of a group's file may therefore
/// be in the future, but by at most this time. If it is further in the future, the group is unavailable.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(300);

/// Two writes of a file within this time can leave the same modification time. The host therefore reads a file again if
/// the last write is more recent than this time.
const MTIME_RESOLUTION: Duration = Duration::from_millis(100);

/// The settings of one `[group.NAME]` table: the path of the group's file, and the file's maximum age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupFile {
    pub path: PathBuf,
    /// The maximum time since the last write of the group's file; `None` for no limit. If the file is older, the group
    /// counts as empty.
    pub max_age: Option<Duration>,
}

/// All groups that have a `[group.NAME]` table, by the name of the group.
#[derive(Debug, Default)]
pub(crate) struct GroupFiles(BTreeMap<String, Group>);

#[derive(Debug)]
struct Group {
    file: GroupFile,
    read: Mutex<CachedRead>,
}

/// The cached result of the last read of a group's file.
#[derive(Debug)]
struct CachedRead {
    // The metadata of the file at the last read; `None` if the next query must read the file again.
    stamp: Option<Stamp>,
    members: Result<Arc<HashSet<String>>, GroupUnavailable>,
    // Whether the last query failed. If it failed, the host has already logged the error.
    logged: bool,
}

/// The metadata by which the host detects that a group's file was written: modification time, length and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Result<Self, GroupUnavailable> {
        use std::os::unix::fs::MetadataExt as _;
        let modified = metadata
            .modified()
            .map_err(|error| GroupUnavailable(format!("the group's file has no modification time: {error}")))?;
        Ok(Self { modified, length: metadata.len(), inode: metadata.ino() })
    }

    /// Returns whether the file's modification time is more than [`MTIME_RESOLUTION`] ago. A further write of the file
    /// then certainly changes the modification time.
    fn is_settled(&self) -> bool {
        SystemTime::now().duration_since(self.modified).is_ok_and(|age| age > MTIME_RESOLUTION)
    }
}

impl GroupFiles {
    pub(crate) fn new(files: BTreeMap<String, GroupFile>) -> Self {
        let group = |file| {
            let members = Err(GroupUnavailable("the group's file has not been read yet".to_owned()));
            Group { file, read: Mutex::new(CachedRead { stamp: None, members, logged: false }) }
        };
        Self(files.into_iter().map(|(name, file)| (name, group(file))).collect())
    }
}

impl Directory for GroupFiles {
    fn members(&self, group: &str) -> Result<Arc<HashSet<String>>, GroupUnavailable> {
        let Some(group_file) = self.0.get(group) else {
            return Err(GroupUnavailable("the configuration has no group with this name".to_owned()));
        };
        let mut read = group_file.read.lock();
        let members = group_file.file.members(&mut read);
        match &members {
            Ok(_) if read.logged => tracing::info!(
                group,
                path = %group_file.file.path.display(),
                "the group's file is valid again; the group has the members that the file lists"
            ),
            Err(error) if !read.logged => {
                tracing::error!(
                    %error,
                    group,
                    path = %group_file.file.path.display(),
                    "cannot use the group's file; the group counts as empty; hint: repair or replace the file"
                );
            }
            _ => {}
        }
        read.logged = members.is_err();
        members
    }
}

impl GroupFile {
    /// Returns the current members of the group. If the metadata of the group's file changed since the last read, reads
    /// the file again. Otherwise returns the members from the cache `read`.
    fn members(&self, read: &mut CachedRead) -> Result<Arc<HashSet<String>>, GroupUnavailable> {
        let metadata = std::fs::metadata(&self.path)
            .map_err(|error| GroupUnavailable(format!("the group's file cannot be read: {error}")))?;
        // Opening a file of another kind, such as a pipe, could block forever.
        if !metadata.is_file() {
            return Err(GroupUnavailable("the group's file is not a regular file".to_owned()));
        }
        let stamp = Stamp::of(&metadata)?;
        if read.stamp != Some(stamp) {
            (read.stamp, read.members) = match self.read() {
                // A second write within [`MTIME_RESOLUTION`] may leave the stamp unchanged. A recent stamp is therefore
                // not cached.
                Ok((stamp, members)) => (stamp.is_settled().then_some(stamp), members.map(Arc::new)),
                // The file changed during the read or is unreadable: the next query reads the file again.
                Err(error) => (None, Err(error)),
            };
        }
        if let Some(max_age) = self.max_age {
            check_age(stamp.modified, SystemTime::now(), max_age)?;
        }
        read.members.clone()
    }

    /// Reads the group's file. If the file is unreadable or was written during the read, returns the outer error, which
    /// the caller does not cache. If the content is invalid, returns the inner error, which the caller caches until the
    /// file changes.
    fn read(&self) -> Result<(Stamp, Result<HashSet<String>, GroupUnavailable>), GroupUnavailable> {
        let unread = |error: std::io::Error| GroupUnavailable(format!("the group's file cannot be read: {error}"));
        let mut file = File::open(&self.path).map_err(unread)?;
        let before = Stamp::of(&file.metadata().map_err(unread)?)?;
        if before.length > MAX_FILE_BYTES {
            let reason = format!("the group's file has more than {} MiB", MAX_FILE_BYTES >> 20);
            return Ok((before, Err(GroupUnavailable(reason))));
        }
        let mut bytes = Vec::new();
        (&mut file).take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unread)?;
        if Stamp::of(&file.metadata().map_err(unread)?)? != before || bytes.len() as u64 != before.length {
            let reason = "the group's file changed during the read; write a temporary file and rename it";
            return Err(GroupUnavailable(reason.to_owned()));
        }
        Ok((before, parse_ids(&bytes)))
    }
}

/// Returns an error if a group's file was last written more than `max_age` before `now`, or if its modification time
/// `modified` is more than [`MAX_CLOCK_SKEW`] after `now`.
fn check_age(modified: SystemTime, now: SystemTime, max_age: Duration) -> Result<(), GroupUnavailable> {
    let age = match now.duration_since(modified) {
        Ok(age) => age,
        Err(ahead) if ahead.duration() <= MAX_CLOCK_SKEW => Duration::ZERO,
        // The age limit would never apply to a file whose modification time is in the future.
        Err(_) => {
            return Err(GroupUnavailable("the modification time of the group's file is in the future".to_owned()));
        }
    };
    if age > max_age {
        let (age, max_age) = (hours(age), hours(max_age));
        let reason = format!("the group's file was written {age} h ago, but `max_age` is {max_age} h");
        return Err(GroupUnavailable(reason));
    }
    Ok(())
}

fn hours(span: Duration) -> String {
    format!("{:.1}", span.as_secs_f64() / 3600.0)
}

/// Parses the content of a group's file: one id of a person per line.
fn parse_ids(bytes: &[u8]) -> Result<HashSet<String>, GroupUnavailable> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| GroupUnavailable("the group's file is not valid UTF-8 text".to_owned()))?;
    // A truncated last line could be another person's id.
    if !text.is_empty() && !text.ends_with('\n') {
        let reason = "the last line of the group's file has no line feed, so the file may be truncated";
        return Err(GroupUnavailable(reason.to_owned()));
    }
    let mut ids = HashSet::new();
    for (number, line) in text.lines().enumerate() {
        // `#` starts a comment at the start of a line or after a space; elsewhere `#` is part of an id.
        let begins = |(at, sign): &(usize, char)| *sign == '#' && (*at == 0 || line[..*at].ends_with([' ', '\t']));
        let end = line.char_indices().find(begins).map_or(line.len(), |(at, _)| at);
        let line = line[..end].trim();
        if line.is_empty() {
            continue;
        }
        if !is_id(line) {
            let reason = format!("line {} of the group's file is not a valid id of a person", number + 1);
            return Err(GroupUnavailable(reason));
        }
        ids.insert(line.to_owned());
    }
    Ok(ids)
}

/// Returns whether a word can be the id of a person on any network.
pub(crate) fn is_id(word: &str) -> bool {
    let group = word == "everyone" || word.starts_with("group:") || word.starts_with("room:");
    !word.is_empty()
        && word.len() <= 255
        && !group
        && !word.contains(|letter: char| letter.is_whitespace() || letter.is_control())
        // An id with invisible characters would look like another id.
        && crate::base::clean(word) == word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(path: &std::path::Path, max_age: Option<Duration>) -> GroupFiles {
        let file = GroupFile { path: path.to_owned(), max_age };
        GroupFiles::new(BTreeMap::from([("web".to_owned(), file)]))
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.txt");
        let groups = group(&path, None);
        assert!(groups.members("web").is_err() && groups.members("ops").is_err());
        std::fs::write(&path, "# the web team\n@bob:example.org   # since May\n\n carol#1\n").unwrap();
        let members = groups.members("web").unwrap();
        assert!(members.len() == 2 && members.contains("@bob:example.org") && members.contains("carol#1"));
        // The new content has the same length as the old one, and is written immediately after it.
        std::fs::write(&path, "# the web team\n@eve:example.org   # since May\n\n carol#1\n").unwrap();
        assert!(groups.members("web").unwrap().contains("@eve:example.org"));
        std::fs::remove_file(&path).unwrap();
        assert!(groups.members("web").is_err());
    }

    #[test]
    fn one_malformed_line_empties_the_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.txt");
        let groups = group(&path, None);
        for bad in ["@bob:example.org @eve:example.org", "everyone", "group:ops", "room:#ops:example.org"] {
            std::fs::write(&path, format!("@carol:example.org\n{bad}\n")).unwrap();
            assert_eq!(
                groups.members("web"),
                Err(GroupUnavailable("line 2 of the group's file is not a valid id of a person".to_owned())),
                "{bad}"
            );
        }
        // Truncated within an id.
        std::fs::write(&path, "@carol:example.org\n@bob:example.or").unwrap();
        assert!(groups.members("web").is_err());
        std::fs::write(&path, [0xff, b'\n']).unwrap();
        assert_eq!(groups.members("web"), Err(GroupUnavailable("the group's file is not valid UTF-8 text".to_owned())));
    }

    #[test]
    fn a_file_that_is_too_old_or_from_the_future_empties_the_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.txt");
        std::fs::write(&path, "@bob:example.org\n").unwrap();
        let most = Duration::from_secs(25 * 3600);
        let groups = group(&path, Some(most));
        assert!(groups.members("web").is_ok());
        let set = |time| File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        set(SystemTime::now() - most - Duration::from_secs(60));
        assert_eq!(
            groups.members("web"),
            Err(GroupUnavailable("the group's file was written 25.0 h ago, but `max_age` is 25.0 h".to_owned()))
        );
        set(SystemTime::now() + Duration::from_secs(3600));
        assert_eq!(
            groups.members("web"),
            Err(GroupUnavailable("the modification time of the group's file is in the future".to_owned()))
        );
        set(SystemTime::now() - most + Duration::from_secs(60));
        assert!(groups.members("web").is_ok());
    }
}
