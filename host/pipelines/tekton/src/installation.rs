//! The id of this installation of the host. A PipelineRun with another id was not created by this host.
//!
//! Invariant: the id is written before it is first used, and never changes. A host that loses its state folder gets another
//! one, and adopts no PipelineRun of before.

use std::{io, path::PathBuf, sync::OnceLock};

use wardroom_account::folder::{create_private, read_json, write_json};
use wardroom_remote::RemoteError;

pub(crate) struct Installation {
    folder: PathBuf,
    id: OnceLock<String>,
}

impl Installation {
    /// `folder` is the folder with the id. Reads no file.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, id: OnceLock::new() }
    }

    /// Returns the id. The first call reads it, or creates it.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(crate) fn id(&self) -> Result<&str, RemoteError> {
        if let Some(id) = self.id.get() {
            return Ok(id);
        }
        let read = self.read().map_err(|error| {
            let folder = self.folder.display();
            RemoteError::not_sent(format!(
                "the file of the installation in {folder} cannot be read or written: {error}"
            ))
        })?;
        Ok(self.id.get_or_init(|| read))
    }

    fn read(&self) -> io::Result<String> {
        let file = self.folder.join("installation.json");
        if let Some(id) = read_json(&file)? {
            return Ok(id);
        }
        create_private(&self.folder)?;
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        // Another backend can write the file at the same time.
        let part = self.folder.join(format!("installation-{id}"));
        write_json(&part, &id)?;
        let linked = std::fs::hard_link(&part, &file);
        std::fs::remove_file(&part)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => read_json(&file)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_created_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| Installation::new(folder.path().join(name));
        let (first, second) = (at("tekton"), at("tekton"));
        assert_eq!(first.id().unwrap().len(), 16);
        assert_eq!(first.id().unwrap(), second.id().unwrap());
        assert_ne!(at("other").id().unwrap(), first.id().unwrap());
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(at("file/x").id().unwrap_err().reason().contains("cannot be read or written"));
    }
}
