//! The state folder belongs to one host at a time: a lock of the kernel on the file `lock` in it.
//!
//! Architecture Invariant: the lock ends with the process that holds it, however that ends, and no child
//! inherits it (Rust opens files close-on-exec).

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    time::{Duration, Instant},
};

use crate::OpenError;

/// How long a lock is tried for: a host that was just killed may still be on its way out.
const PATIENCE: Duration = Duration::from_millis(700);

/// The hold on a state folder; let go of when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes a folder, and makes it first where it does not exist.
    pub(crate) async fn take(folder: &Path) -> Result<Self, OpenError> {
        make_folder(folder).map_err(|source| OpenError::Folder { path: folder.to_owned(), source })?;
        let path = folder.join("lock");
        let failed = |source| OpenError::Folder { path: path.clone(), source };
        let file = private(&path).map_err(failed)?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { folder: folder.to_owned() }),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
    }
}

/// Makes a folder that is the host's alone. One that is there already keeps the rights its operator gave it.
fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Makes a file that is the host's alone, or opens the one that is there.
pub(crate) fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
