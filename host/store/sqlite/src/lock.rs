//! The lock on a state folder: a kernel lock on the file `lock` in the folder. It ensures that only one host at a time
//! uses the folder.
//!
//! Invariant: the kernel releases the lock when the process exits or is killed. A child process does not
//! inherit the lock, because Rust opens files close-on-exec.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
    time::{Duration, Instant},
};

use crate::OpenError;

/// Maximum time for which a host retries to lock the folder. A host that was just killed holds the lock until the
/// kernel has ended its process.
const TIMEOUT: Duration = Duration::from_millis(700);
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// The lock of a state folder. Dropping the value releases the lock.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Creates the state folder with mode 0700 if it is missing, and locks it. If another process holds the lock,
    /// retries for [`TIMEOUT`] and then returns [`OpenError::InUse`].
    pub(crate) async fn acquire(folder: &Path) -> Result<Self, OpenError> {
        let failed = |path: &Path, source| OpenError::Folder { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| failed(folder, source))?;
        check_mode(folder).map_err(|source| failed(folder, source))?;
        let path = folder.join("lock");
        let file = open_private(&path).map_err(|source| failed(&path, source))?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if start.elapsed() < TIMEOUT => {
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
                Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { folder: folder.to_owned() }),
                Err(TryLockError::Error(source)) => return Err(failed(&path, source)),
            }
        }
    }
}

/// Checks that not everybody can write to the state folder. Otherwise, every user of the computer could replace its
/// files.
fn check_mode(folder: &Path) -> io::Result<()> {
    let mode = folder.metadata()?.permissions().mode() & 0o7777;
    if mode & 0o002 == 0 {
        return Ok(());
    }
    let message = format!("everybody can write to the folder (mode {mode:04o}); run `chmod o-w {}`", folder.display());
    Err(io::Error::other(message))
}

/// Opens a file for reading and writing. Creates a missing file with mode 0600. Does not follow a symbolic link.
pub(crate) fn open_private(path: &Path) -> io::Result<File> {
    if path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
        return Err(io::Error::other("it is a symbolic link; move the file to this place instead"));
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
