//! The rooms that are encrypted. An account remembers every room that was encrypted once.
//!
//! Invariant: a room that was encrypted once never counts as a room without encryption. Matrix cannot switch the
//! encryption of a room off, but only the homeserver reports whether a room is encrypted, and a new login has an empty
//! store. Without this record, a homeserver could end the session, report the room as not encrypted, and forge messages
//! in it. If the homeserver contradicts the record, nothing is read from the room and nothing is sent to it.

use std::{collections::BTreeSet, path::PathBuf, sync::OnceLock};

use matrix_sdk::{
    Client, EncryptionState, Room,
    ruma::{OwnedRoomId, RoomId},
};
use parking_lot::Mutex;

use crate::{Config, error::MatrixError, folder};

/// The record of an account's encrypted rooms.
#[derive(Debug)]
pub(crate) struct RoomEncryption {
    /// The file with the ids of the rooms, in the account's folder.
    file: PathBuf,
    /// The rooms that were encrypted once; `None` if the file cannot be read. The file is read at the first use.
    encrypted: OnceLock<Mutex<Option<BTreeSet<OwnedRoomId>>>>,
}

impl RoomEncryption {
    /// Creates the record of an account, but does not read its file yet.
    pub(crate) fn new(config: &Config) -> Self {
        Self { file: config.folder.join("encrypted-rooms.json"), encrypted: OnceLock::new() }
    }

    fn encrypted(&self) -> &Mutex<Option<BTreeSet<OwnedRoomId>>> {
        self.encrypted.get_or_init(|| Mutex::new(self.read()))
    }

    fn read(&self) -> Option<BTreeSet<OwnedRoomId>> {
        match folder::read_json(&self.file) {
            Ok(rooms) => Some(rooms.unwrap_or_default()),
            Err(error) => {
                tracing::error!(path = %self.file.display(), %error, "cannot read the record of encrypted rooms; the bot uses only rooms that are encrypted now; hint: restore the file, or remove it to trust what the homeserver reports, and restart the host");
                None
            }
        }
    }

    /// Returns whether a room is encrypted. Records an encrypted room before it returns.
    ///
    /// # Errors
    /// The homeserver does not answer, or has not reported the encryption state. The homeserver reports that a recorded
    /// room is not encrypted. The record cannot be written.
    pub(crate) async fn is_encrypted(&self, room: &Room) -> Result<bool, MatrixError> {
        let state = room.latest_encryption_state().await?;
        if state.is_unknown() {
            return Err(MatrixError::unavailable("the homeserver has not reported whether the room is encrypted"));
        }
        self.checked(room.room_id(), state.is_encrypted())
    }

    /// Returns whether a room is not encrypted, as far as the client knows without a request.
    pub(crate) fn is_plain(&self, room: &Room) -> bool {
        matches!(room.encryption_state(), EncryptionState::NotEncrypted) && !self.is_recorded(room.room_id())
    }

    /// Returns whether a room was encrypted once; `true` for every room if the record cannot be read.
    pub(crate) fn is_recorded(&self, room: &RoomId) -> bool {
        self.encrypted().lock().as_ref().is_none_or(|rooms| rooms.contains(room))
    }

    /// Records the encrypted rooms in the client's store. If the record cannot be written, logs an error; the rooms are
    /// recorded before the next message from them is handled.
    pub(crate) fn record_joined(&self, client: &Client) {
        for room in client.joined_rooms() {
            if room.encryption_state().is_encrypted()
                && let Err(error) = self.checked(room.room_id(), true)
            {
                tracing::error!(room = %room.room_id(), %error, "cannot record that a room is encrypted; retrying");
            }
        }
    }

    /// Records that the successor of an encrypted room must be encrypted, too.
    ///
    /// # Errors
    /// The record cannot be written.
    pub(crate) fn inherit(&self, room: &RoomId, successor: &RoomId) -> Result<(), MatrixError> {
        let is_recorded = self.encrypted().lock().as_ref().is_some_and(|rooms| rooms.contains(room));
        if is_recorded { self.checked(successor, true).map(drop) } else { Ok(()) }
    }

    /// Compares the reported state of a room with the record, and records an encrypted room.
    fn checked(&self, room: &RoomId, is_encrypted: bool) -> Result<bool, MatrixError> {
        let mut encrypted = self.encrypted().lock();
        let file = self.file.display();
        let Some(rooms) = encrypted.as_mut() else {
            return match is_encrypted {
                true => Ok(true),
                false => Err(MatrixError::unavailable(format!(
                    "the room is not encrypted, and the record of encrypted rooms in `{file}` cannot be read, so the room may have been encrypted before"
                ))),
            };
        };
        match (is_encrypted, rooms.contains(room)) {
            (true, true) => Ok(true),
            (false, false) => Ok(false),
            (false, true) => Err(MatrixError::unavailable(format!(
                "the homeserver reports that the room is not encrypted, but the room or its predecessor was encrypted; the bot reads and sends nothing there, because encryption cannot be switched off; hint: check the homeserver, or enable encryption in a successor room; to use the room without encryption, remove it from `{file}` and restart the host"
            ))),
            (true, false) => {
                rooms.insert(room.to_owned());
                let written = folder::create_private(self.file.parent().unwrap_or(&self.file))
                    .and_then(|()| folder::write_json(&self.file, rooms));
                if let Err(error) = written {
                    // The next call tries again.
                    rooms.remove(room);
                    return Err(MatrixError::local("the record of encrypted rooms cannot be written", &error));
                }
                Ok(true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use matrix_sdk::ruma::room_id;

    use super::*;

    fn record(folder: &std::path::Path) -> RoomEncryption {
        RoomEncryption::new(&crate::config::tests::config_in(folder))
    }

    #[test]
    fn a_room_that_was_encrypted_stays_encrypted_over_restarts() {
        let folder = tempfile::tempdir().expect("a folder");
        let (room, other) = (room_id!("!ops:example.org"), room_id!("!lobby:example.org"));
        let first = record(folder.path());
        assert_eq!(first.checked(room, false), Ok(false));
        assert_eq!(first.checked(room, true), Ok(true));
        assert!(first.checked(room, false).is_err());
        let second = record(folder.path());
        assert!(second.checked(room, false).is_err_and(|error| error.reason().contains("cannot be switched off")));
        assert_eq!(second.checked(other, false), Ok(false));
    }

    #[test]
    fn the_successor_of_an_encrypted_room_must_be_encrypted() {
        let folder = tempfile::tempdir().expect("a folder");
        let (room, next) = (room_id!("!old:example.org"), room_id!("!new:example.org"));
        let record = record(folder.path());
        record.inherit(room, next).expect("nothing to record");
        assert_eq!(record.checked(next, false), Ok(false));
        assert_eq!(record.checked(room, true), Ok(true));
        record.inherit(room, next).expect("recorded");
        assert!(record.checked(next, false).is_err());
    }

    #[test]
    fn a_record_that_cannot_be_read_or_written_opens_no_plain_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let room = room_id!("!ops:example.org");
        let written = record(folder.path());
        written.checked(room, true).expect("recorded");
        std::fs::write(&written.file, "{").expect("written");
        let damaged = record(folder.path());
        assert!(damaged.checked(room, false).is_err());
        assert_eq!(damaged.checked(room, true), Ok(true));
        std::fs::remove_file(&written.file).expect("removed");
        std::fs::create_dir(&written.file).expect("a folder in the place of the file");
        let encrypted = OnceLock::from(Mutex::new(Some(BTreeSet::new())));
        let blocked = RoomEncryption { file: written.file.clone(), encrypted };
        assert!(blocked.checked(room, true).is_err());
        assert_eq!(blocked.checked(room, false), Ok(false), "an encrypted room that is not on disk is not recorded");
    }
}
