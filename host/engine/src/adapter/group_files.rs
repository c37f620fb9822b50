//! Groups that somebody else keeps, as files: `[group.NAME] file = "groups/oncall.txt"`, one id a line.
//!
//! Invariant: a file that is missing, unreadable, odd or too old is a group without anybody in it, and the log says so once.
//! Not here: any other place that knows who is in a group; that is a [`Directory`] of the embedder's own.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{File, Metadata},
    io::Read as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use super::directory::{Closed, Directory};

/// A larger file is none that people are listed in, in bytes.
const LARGEST: u64 = 4 << 20;
/// So far may a file's time lie ahead of the clock: clocks of file servers are not quite ours.
const AHEAD: Duration = Duration::from_secs(300);

/// Two writes that are nearer to each other may leave the same time.
const TICK: Duration = Duration::from_millis(100);

/// One `[group.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupFile {
    /// The file.
    pub path: PathBuf,
    /// The oldest that it may be; `None` for any age.
    pub max_age: Option<Duration>,
}

/// The groups of the configuration.
#[derive(Debug, Default)]
pub struct GroupFiles(BTreeMap<String, Group>);

#[derive(Debug)]
struct Group {
    file: GroupFile,
    read: Mutex<Read>,
}

/// What was read last.
#[derive(Debug)]
struct Read {
    // The file as it was then; `None` where it must be read again.
    stamp: Option<Stamp>,
    members: Result<Arc<HashSet<String>>, Closed>,
    // Whether the log was told that nobody is in it.
    told: bool,
}

/// What changes when a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Result<Self, Closed> {
        use std::os::unix::fs::MetadataExt as _;
        let modified = metadata.modified().map_err(|error| Closed(format!("it has no time: {error}")))?;
        Ok(Self { modified, length: metadata.len(), inode: metadata.ino() })
    }

    /// Whether it was written long enough ago that what is written after this shows.
    fn is_settled(&self) -> bool {
        SystemTime::now().duration_since(self.modified).is_ok_and(|age| age > TICK)
    }
}

impl GroupFiles {
    /// Groups by their names.
    pub fn new(files: BTreeMap<String, GroupFile>) -> Self {
        let unread = || Read { stamp: None, members: Err(Closed("it was not read yet".to_owned())), told: false };
        let group = |file| Group { file, read: Mutex::new(unread()) };
        Self(files.into_iter().map(|(name, file)| (name, group(file))).collect())
    }
}

impl Directory for GroupFiles {
    fn members(&self, group: &str) -> Result<Arc<HashSet<String>>, Closed> {
        let Some(known) = self.0.get(group) else { return Err(Closed("there is no such group".to_owned())) };
        let mut read = known.read.lock().unwrap_or_else(PoisonError::into_inner);
        let members = known.file.look(&mut read);
        match &members {
            Ok(_) if read.told => tracing::info!(group, "a group counts again"),
            Err(Closed(why)) if !read.told => {
                tracing::error!(group, file = %known.file.path.display(), why, "nobody is in a group");
            }
            _ => {}
        }
        read.told = members.is_err();
        members
    }
}

impl GroupFile {
    /// Who is in it now, read again only where the file is another than it was.
    fn look(&self, read: &mut Read) -> Result<Arc<HashSet<String>>, Closed> {
        let metadata = std::fs::metadata(&self.path).map_err(|error| Closed(format!("it cannot be read: {error}")))?;
        // Anything else could keep whoever opens it waiting for ever.
        if !metadata.is_file() {
            return Err(Closed("it is no file".to_owned()));
        }
        let stamp = Stamp::of(&metadata)?;
        if read.stamp != Some(stamp) {
            (read.stamp, read.members) = match self.read() {
                // Written again in the same moment it would look as it does now.
                Ok((stamp, members)) => (stamp.is_settled().then_some(stamp), members.map(Arc::new)),
                // It changed while it was read, or cannot be: the next question tries again.
                Err(closed) => (None, Err(closed)),
            };
        }
        if let Some(most) = self.max_age {
            young(stamp.modified, SystemTime::now(), most)?;
        }
        read.members.clone()
    }

    /// Reads the file as it is at one moment.
    fn read(&self) -> Result<(Stamp, Result<HashSet<String>, Closed>), Closed> {
        let unread = |error: std::io::Error| Closed(format!("it cannot be read: {error}"));
        let mut file = File::open(&self.path).map_err(unread)?;
        let before = Stamp::of(&file.metadata().map_err(unread)?)?;
        if before.length > LARGEST {
            return Ok((before, Err(Closed(format!("it has more than {} MiB", LARGEST >> 20)))));
        }
        let mut bytes = Vec::new();
        (&mut file).take(LARGEST + 1).read_to_end(&mut bytes).map_err(unread)?;
        if Stamp::of(&file.metadata().map_err(unread)?)? != before || bytes.len() as u64 != before.length {
            return Err(Closed("it is being written; write another file and move it there".to_owned()));
        }
        Ok((before, people(&bytes)))
    }
}

/// Whether a file is young enough.
fn young(modified: SystemTime, now: SystemTime, most: Duration) -> Result<(), Closed> {
    let age = match now.duration_since(modified) {
        Ok(age) => age,
        Err(ahead) if ahead.duration() <= AHEAD => Duration::ZERO,
        // A file from the future would never grow old.
        Err(_) => return Err(Closed("its time lies ahead of the clock".to_owned())),
    };
    if age > most {
        return Err(Closed(format!("it was written {} h ago, and may be {} h old", hours(age), hours(most))));
    }
    Ok(())
}

fn hours(span: Duration) -> String {
    format!("{:.1}", span.as_secs_f64() / 3600.0)
}

/// The ids in a file, one a line.
fn people(bytes: &[u8]) -> Result<HashSet<String>, Closed> {
    let text = std::str::from_utf8(bytes).map_err(|_| Closed("it is not text".to_owned()))?;
    // Cut off in the middle, the last id would be somebody else's.
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(Closed("its last line has no end, so it may be cut off".to_owned()));
    }
    let mut people = HashSet::new();
    for (number, line) in text.lines().enumerate() {
        // A sign within an id is part of it.
        let begins = |(at, sign): &(usize, char)| *sign == '#' && (*at == 0 || line[..*at].ends_with([' ', '\t']));
        let end = line.char_indices().find(begins).map_or(line.len(), |(at, _)| at);
        let line = line[..end].trim();
        if line.is_empty() {
            continue;
        }
        if !is_id(line) {
            return Err(Closed(format!("line {} is no id of a person", number + 1)));
        }
        people.insert(line.to_owned());
    }
    Ok(people)
}

/// Whether a word can be the id of a person on some network.
pub(crate) fn is_id(word: &str) -> bool {
    let group = word == "everyone" || word.starts_with("group:") || word.starts_with("room:");
    !word.is_empty()
        && word.len() <= 255
        && !group
        && !word.contains(|letter: char| letter.is_whitespace() || letter.is_control())
        // Signs that do not show would make it another one's than it looks.
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
    fn a_file_is_read_again_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.txt");
        let groups = group(&path, None);
        assert!(groups.members("web").is_err() && groups.members("ops").is_err());
        std::fs::write(&path, "# the web team\n@bob:example.org   # since May\n\n carol#1\n").unwrap();
        let members = groups.members("web").unwrap();
        assert!(members.len() == 2 && members.contains("@bob:example.org") && members.contains("carol#1"));
        // Of the same length and at once.
        std::fs::write(&path, "# the web team\n@eve:example.org   # since May\n\n carol#1\n").unwrap();
        assert!(groups.members("web").unwrap().contains("@eve:example.org"));
        std::fs::remove_file(&path).unwrap();
        assert!(groups.members("web").is_err());
    }

    #[test]
    fn one_bad_line_closes_a_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.txt");
        let groups = group(&path, None);
        for bad in ["@bob:example.org @eve:example.org", "everyone", "group:ops", "room:#ops:example.org"] {
            std::fs::write(&path, format!("@carol:example.org\n{bad}\n")).unwrap();
            assert_eq!(groups.members("web"), Err(Closed("line 2 is no id of a person".to_owned())), "{bad}");
        }
        // Cut off in the middle of an id.
        std::fs::write(&path, "@carol:example.org\n@bob:example.or").unwrap();
        assert!(groups.members("web").is_err());
        std::fs::write(&path, [0xff, b'\n']).unwrap();
        assert_eq!(groups.members("web"), Err(Closed("it is not text".to_owned())));
    }

    #[test]
    fn an_old_file_and_one_from_the_future_close_a_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.txt");
        std::fs::write(&path, "@bob:example.org\n").unwrap();
        let most = Duration::from_secs(25 * 3600);
        let groups = group(&path, Some(most));
        assert!(groups.members("web").is_ok());
        let set = |time| File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        set(SystemTime::now() - most - Duration::from_secs(60));
        assert_eq!(groups.members("web"), Err(Closed("it was written 25.0 h ago, and may be 25.0 h old".to_owned())));
        set(SystemTime::now() + Duration::from_secs(3600));
        assert_eq!(groups.members("web"), Err(Closed("its time lies ahead of the clock".to_owned())));
        set(SystemTime::now() - most + Duration::from_secs(60));
        assert!(groups.members("web").is_ok());
    }
}
