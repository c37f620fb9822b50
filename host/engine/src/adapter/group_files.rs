//! Groups from files that other programs write: `[group.NAME] file = "groups/oncall.txt"`, one id per line.
//!
//! Invariant: a file that is missing, unreadable, malformed or too old is an empty group, and is logged once.
//! Not here: other sources of groups; implement [`Directory`] for them.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{File, Metadata},
    io::Read as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use super::directory::{Directory, GroupUnavailable};

/// The maximum size of a file, in bytes.
const LARGEST: u64 = 4 << 20;
/// The tolerance for a file time in the future: the clock of a file server can differ from ours.
const AHEAD: Duration = Duration::from_secs(300);

/// Two writes within this time can leave the same modification time.
const TICK: Duration = Duration::from_millis(100);

/// A `[group.NAME]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupFile {
    /// The path of the file.
    pub path: PathBuf,
    /// The maximum age; `None` for any age.
    pub max_age: Option<Duration>,
}

/// The groups of the configuration, from their files.
#[derive(Debug, Default)]
pub(crate) struct GroupFiles(BTreeMap<String, Group>);

#[derive(Debug)]
struct Group {
    file: GroupFile,
    read: Mutex<Read>,
}

/// The result of the last read.
#[derive(Debug)]
struct Read {
    // The state of the file at that read; `None` if it must be read again.
    stamp: Option<Stamp>,
    members: Result<Arc<HashSet<String>>, GroupUnavailable>,
    // Whether the log says that the group is empty.
    told: bool,
}

/// The properties that change when a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Result<Self, GroupUnavailable> {
        use std::os::unix::fs::MetadataExt as _;
        let modified =
            metadata.modified().map_err(|error| GroupUnavailable(format!("it has no modification time: {error}")))?;
        Ok(Self { modified, length: metadata.len(), inode: metadata.ino() })
    }

    /// Whether the file was written long enough ago that a later write changes its modification time.
    fn is_settled(&self) -> bool {
        SystemTime::now().duration_since(self.modified).is_ok_and(|age| age > TICK)
    }
}

impl GroupFiles {
    /// Creates the groups by name.
    pub(crate) fn new(files: BTreeMap<String, GroupFile>) -> Self {
        let unread =
            || Read { stamp: None, members: Err(GroupUnavailable("it has not been read yet".to_owned())), told: false };
        let group = |file| Group { file, read: Mutex::new(unread()) };
        Self(files.into_iter().map(|(name, file)| (name, group(file))).collect())
    }
}

impl Directory for GroupFiles {
    fn members(&self, group: &str) -> Result<Arc<HashSet<String>>, GroupUnavailable> {
        let Some(known) = self.0.get(group) else {
            return Err(GroupUnavailable("there is no group of this name".to_owned()));
        };
        let mut read = known.read.lock().unwrap_or_else(PoisonError::into_inner);
        let members = known.file.look(&mut read);
        match &members {
            Ok(_) if read.told => tracing::info!(group, "the file of a group is valid again"),
            Err(GroupUnavailable(why)) if !read.told => {
                tracing::error!(group, file = %known.file.path.display(), why, "a group counts as empty because its file is not valid; fix or replace the file");
            }
            _ => {}
        }
        read.told = members.is_err();
        members
    }
}

impl GroupFile {
    /// The current members. The file is read again only if it changed.
    fn look(&self, read: &mut Read) -> Result<Arc<HashSet<String>>, GroupUnavailable> {
        let metadata =
            std::fs::metadata(&self.path).map_err(|error| GroupUnavailable(format!("it cannot be read: {error}")))?;
        // Opening anything else, such as a pipe, could block forever.
        if !metadata.is_file() {
            return Err(GroupUnavailable("it is not a regular file".to_owned()));
        }
        let stamp = Stamp::of(&metadata)?;
        if read.stamp != Some(stamp) {
            (read.stamp, read.members) = match self.read() {
                // A second write within [`TICK`] would not change the stamp, so such a stamp is not cached.
                Ok((stamp, members)) => (stamp.is_settled().then_some(stamp), members.map(Arc::new)),
                // The file changed during the read or is unreadable: the next query reads it again.
                Err(closed) => (None, Err(closed)),
            };
        }
        if let Some(most) = self.max_age {
            young(stamp.modified, SystemTime::now(), most)?;
        }
        read.members.clone()
    }

    /// Reads the file, and detects a concurrent write.
    fn read(&self) -> Result<(Stamp, Result<HashSet<String>, GroupUnavailable>), GroupUnavailable> {
        let unread = |error: std::io::Error| GroupUnavailable(format!("it cannot be read: {error}"));
        let mut file = File::open(&self.path).map_err(unread)?;
        let before = Stamp::of(&file.metadata().map_err(unread)?)?;
        if before.length > LARGEST {
            return Ok((before, Err(GroupUnavailable(format!("it has more than {} MiB", LARGEST >> 20)))));
        }
        let mut bytes = Vec::new();
        (&mut file).take(LARGEST + 1).read_to_end(&mut bytes).map_err(unread)?;
        if Stamp::of(&file.metadata().map_err(unread)?)? != before || bytes.len() as u64 != before.length {
            return Err(GroupUnavailable(
                "it changed while it was read; write a temporary file and rename it".to_owned(),
            ));
        }
        Ok((before, people(&bytes)))
    }
}

/// Whether a file's age is within the limit.
fn young(modified: SystemTime, now: SystemTime, most: Duration) -> Result<(), GroupUnavailable> {
    let age = match now.duration_since(modified) {
        Ok(age) => age,
        Err(ahead) if ahead.duration() <= AHEAD => Duration::ZERO,
        // A file from the future would never become too old.
        Err(_) => return Err(GroupUnavailable("its modification time is in the future".to_owned())),
    };
    if age > most {
        return Err(GroupUnavailable(format!(
            "it was written {} h ago, but `max_age` is {} h",
            hours(age),
            hours(most)
        )));
    }
    Ok(())
}

fn hours(span: Duration) -> String {
    format!("{:.1}", span.as_secs_f64() / 3600.0)
}

/// The ids in a file, one per line.
fn people(bytes: &[u8]) -> Result<HashSet<String>, GroupUnavailable> {
    let text = std::str::from_utf8(bytes).map_err(|_| GroupUnavailable("it is not text".to_owned()))?;
    // A truncated last line could be another person's id.
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(GroupUnavailable("its last line has no line feed, so it may be truncated".to_owned()));
    }
    let mut people = HashSet::new();
    for (number, line) in text.lines().enumerate() {
        // `#` starts a comment at the start of a line or after a space; elsewhere it is part of an id.
        let begins = |(at, sign): &(usize, char)| *sign == '#' && (*at == 0 || line[..*at].ends_with([' ', '\t']));
        let end = line.char_indices().find(begins).map_or(line.len(), |(at, _)| at);
        let line = line[..end].trim();
        if line.is_empty() {
            continue;
        }
        if !is_id(line) {
            return Err(GroupUnavailable(format!("line {} is not a valid id of a person", number + 1)));
        }
        people.insert(line.to_owned());
    }
    Ok(people)
}

/// Whether a word can be a person's id on some network.
pub(crate) fn is_id(word: &str) -> bool {
    let group = word == "everyone" || word.starts_with("group:") || word.starts_with("room:");
    !word.is_empty()
        && word.len() <= 255
        && !group
        && !word.contains(|letter: char| letter.is_whitespace() || letter.is_control())
        // Invisible characters would make an id look like another one.
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
        // Same length, written at once.
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
                Err(GroupUnavailable("line 2 is not a valid id of a person".to_owned())),
                "{bad}"
            );
        }
        // Truncated within an id.
        std::fs::write(&path, "@carol:example.org\n@bob:example.or").unwrap();
        assert!(groups.members("web").is_err());
        std::fs::write(&path, [0xff, b'\n']).unwrap();
        assert_eq!(groups.members("web"), Err(GroupUnavailable("it is not text".to_owned())));
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
            Err(GroupUnavailable("it was written 25.0 h ago, but `max_age` is 25.0 h".to_owned()))
        );
        set(SystemTime::now() + Duration::from_secs(3600));
        assert_eq!(groups.members("web"), Err(GroupUnavailable("its modification time is in the future".to_owned())));
        set(SystemTime::now() - most + Duration::from_secs(60));
        assert!(groups.members("web").is_ok());
    }
}
