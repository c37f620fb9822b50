//! The file `plugins.lock`. For each plugin, the file contains the digest, the commands with their aliases, and the
//! host calls that an operator reviewed last. Operators commit the file, so that a diff shows each change of a plugin to
//! a reviewer.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::base::{Key, Problem, Problems, Table, TableKeys, parse};

/// The name of the lock file, which is in the folder of `plugins.toml`.
pub(super) const FILE: &str = "plugins.lock";

/// The keys at the top level of `plugins.lock`.
static LOCK_KEYS: TableKeys = TableKeys {
    path: "",
    about: "The lock file of the plugins.",
    keys: &[Key::tables("plugin", &LOCKED_KEYS, "The locked plugins.")],
};

static LOCKED_KEYS: TableKeys = TableKeys {
    path: "plugin.NAME",
    about: "A locked plugin.",
    keys: &[
        Key::string("digest", "The digest of the plugin's file.").required(),
        Key::string("contract", "The contract for which the plugin was built, with its version."),
        Key::strings("commands", "The plugin's commands."),
        Key::strings("aliases", "The other names of the plugin's commands."),
        Key::strings("calls", "Every host call that the plugin imports."),
        Key::strings("accepted", "The digests of earlier files with which open jobs may continue."),
        Key::strings(
            "revoked",
            "The digests of files that the host never runs, and that `wardroom plugin lock` refuses.",
        ),
    ],
};

/// The entry of one plugin in `plugins.lock`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Locked {
    /// The digest of the plugin's file, `sha256:…`. The host does not load a plugin whose file has another digest.
    pub digest: String,
    /// The contract for which the plugin was built, such as `wardroom:plugin@0.1.0`.
    pub contract: String,
    /// The names of the plugin's commands, sorted.
    pub commands: Vec<String>,
    /// The other names of the plugin's commands, sorted. Lock files of older versions do not contain them.
    pub aliases: Vec<String>,
    /// The names of all host calls that the plugin imports, sorted.
    pub calls: Vec<String>,
    /// The digests of earlier files of the plugin with which open jobs may continue.
    pub accepted: Vec<String>,
    /// The digests of files that the host never runs.
    pub revoked: Vec<String>,
}

/// The contents of `plugins.lock`: an entry for each plugin, by the plugin's name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock(pub BTreeMap<String, Locked>);

impl Lock {
    /// The text of the warning that the operator gets if the host has no `plugins.lock`.
    pub const MISSING: &str =
        "there is no plugins.lock, so changed plugin files are not detected; write one with `wardroom plugin lock`";

    /// Returns the path of the lock file for a configuration file: `plugins.lock` in the same folder.
    pub fn path(config: &Path) -> PathBuf {
        config.with_file_name(FILE)
    }

    /// Reads a lock file. Returns `None` if the file does not exist.
    ///
    /// # Errors
    /// All problems of the file, each with its line.
    pub fn read(path: &Path) -> Result<Option<Self>, Vec<Problem>> {
        let problems = Problems::default();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let at = crate::base::At { file: path.display().to_string().into(), line: 1 };
                problems.add(&at, format!("the file cannot be read: {error}"), None);
                return Err(problems.sorted());
            }
        };
        let tree = parse(path, &text, &problems);
        let folder = Arc::new(path.parent().map(Path::to_owned).unwrap_or_default());
        let mut root = Table::new("", tree, &LOCK_KEYS, &problems, folder);
        let mut lock = Self::default();
        for (name, mut table) in root.tables("plugin") {
            let list = |table: &mut Table, key: &str| -> Vec<String> {
                table.strings(key).into_iter().flat_map(|list| list.value).map(|item| item.value).collect()
            };
            let digest = table.required_string("digest", "\"sha256:...\"");
            let locked = Locked {
                digest: digest.map(|digest| digest.value).unwrap_or_default(),
                contract: table.string("contract").map(|contract| contract.value).unwrap_or_default(),
                commands: list(&mut table, "commands"),
                aliases: list(&mut table, "aliases"),
                calls: list(&mut table, "calls"),
                accepted: list(&mut table, "accepted"),
                revoked: list(&mut table, "revoked"),
            };
            table.finish();
            lock.0.insert(name.value, locked);
        }
        root.finish();
        if problems.count() == 0 { Ok(Some(lock)) } else { Err(problems.sorted()) }
    }

    /// Returns the text of the lock file. Each command and each host call has its own line, so that a diff shows each
    /// added or removed command and call as one line.
    pub fn text(&self) -> String {
        let mut text =
            String::from("# Written by `wardroom plugin lock`; commit this file. Changed plugin files do not load.\n");
        for (name, locked) in &self.0 {
            let _ = write!(
                text,
                "\n[plugin.{name}]\ndigest = \"{}\"\ncontract = \"{}\"\ncommands = {}\n",
                locked.digest,
                locked.contract,
                list(&locked.commands)
            );
            for (key, items, is_optional) in [
                ("aliases", &locked.aliases, true),
                ("calls", &locked.calls, false),
                ("accepted", &locked.accepted, true),
                ("revoked", &locked.revoked, true),
            ] {
                if !is_optional || !items.is_empty() {
                    let _ = writeln!(text, "{key} = {}", list(items));
                }
            }
        }
        text
    }

    /// Checks that a job of a plugin may run a file.
    ///
    /// # Errors
    /// The file is neither the locked one of the plugin nor accepted, or the entry of any plugin revokes it. The error is
    /// the reason, in one line.
    pub(crate) fn check(&self, plugin: &str, digest: &str) -> Result<(), String> {
        if self.revokes(digest) {
            return Err(format!("plugins.lock revokes the file with the digest {digest}"));
        }
        let accepts = |locked: &Locked| locked.digest == digest || locked.accepted.iter().any(|known| known == digest);
        match self.0.get(plugin).is_some_and(accepts) {
            true => Ok(()),
            false => Err(format!("plugins.lock does not accept the file with the digest {digest}")),
        }
    }

    fn revokes(&self, digest: &str) -> bool {
        self.0.values().any(|locked| locked.revoked.iter().any(|revoked| revoked == digest))
    }

    /// Adds the accepted and the revoked digests of the older lock file `old`. If `accept_old` is true, also accepts the
    /// files that `old` pins, so that open jobs continue with them.
    ///
    /// # Errors
    /// This lock file pins a file that `old` revokes. The error is the reason, in one line.
    pub fn inherit(&mut self, old: &Self, accept_old: bool) -> Result<(), String> {
        // Keep the entry of a plugin that is no longer configured, if it accepts or revokes a file.
        for (name, old) in old.0.iter().filter(|(_, old)| !old.accepted.is_empty() || !old.revoked.is_empty()) {
            let kept = Locked { commands: Vec::new(), aliases: Vec::new(), calls: Vec::new(), ..old.clone() };
            self.0.entry(name.clone()).or_insert(kept);
        }
        for (name, locked) in &mut self.0 {
            if old.revokes(&locked.digest) {
                return Err(format!("plugin {name}: plugins.lock revokes the file with the digest {}", locked.digest));
            }
            let Some(old) = old.0.get(name) else { continue };
            let replaced = accept_old.then(|| old.digest.clone());
            let accepted = old.accepted.iter().cloned().chain(replaced);
            locked.accepted =
                accepted.filter(|digest| *digest != locked.digest && !old.revoked.contains(digest)).collect();
            locked.accepted.sort();
            locked.accepted.dedup();
            locked.revoked.clone_from(&old.revoked);
        }
        Ok(())
    }

    /// Returns the differences between this lock file and the newer lock file `to`, one line each. For example, the
    /// line `deploy: + call pipelines.trigger` says that the plugin `deploy` now imports this host call.
    pub fn changes(&self, to: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        let empty = Locked::default();
        let names: std::collections::BTreeSet<&String> = self.0.keys().chain(to.0.keys()).collect();
        for name in names {
            let (old, new) = (self.0.get(name), to.0.get(name));
            match (old, new) {
                (None, _) => changes.push(format!("{name}: new plugin")),
                (_, None) => changes.push(format!("{name}: plugin removed")),
                (Some(old), Some(new)) if old.digest != new.digest => changes.push(format!("{name}: file changed")),
                _ => {}
            }
            let (old, new) = (old.unwrap_or(&empty), new.unwrap_or(&empty));
            for (what, old, new) in [
                ("command", &old.commands, &new.commands),
                ("alias", &old.aliases, &new.aliases),
                ("call", &old.calls, &new.calls),
                ("accepted file", &old.accepted, &new.accepted),
                ("revoked file", &old.revoked, &new.revoked),
            ] {
                let added = new.iter().filter(|item| !old.contains(item));
                changes.extend(added.map(|item| format!("{name}: + {what} {item}")));
                let removed = old.iter().filter(|item| !new.contains(item));
                changes.extend(removed.map(|item| format!("{name}: - {what} {item}")));
            }
        }
        changes
    }
}

fn list(items: &[String]) -> String {
    if items.is_empty() {
        return "[]".to_owned();
    }
    let lines: Vec<String> = items.iter().map(|item| format!("    \"{item}\",\n")).collect();
    format!("[\n{}]", lines.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(digest: &str, calls: &[&str]) -> Lock {
        let locked = Locked {
            digest: digest.into(),
            contract: "wardroom:plugin@0.1.0".into(),
            commands: vec!["deploy".into()],
            aliases: vec!["ship".into()],
            calls: calls.iter().map(|call| (*call).to_owned()).collect(),
            ..Locked::default()
        };
        Lock(BTreeMap::from([("deploy".to_owned(), locked)]))
    }

    #[test]
    fn a_written_lock_is_read_back_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let lock = lock("sha256:aa", &["catalog.apps", "pipelines.trigger"]);
        std::fs::write(&path, lock.text()).unwrap();
        assert_eq!(Lock::read(&path).unwrap().unwrap(), lock);
        // A lock file of an older version has no aliases.
        let mut older = lock.clone();
        older.0.get_mut("deploy").unwrap().aliases.clear();
        assert!(!older.text().contains("aliases"));
        std::fs::write(&path, older.text()).unwrap();
        assert_eq!(Lock::read(&path).unwrap().unwrap(), older);
        assert_eq!(older.changes(&lock), ["deploy: + alias ship"]);
        assert_eq!(Lock::read(&folder.path().join("other")).unwrap(), None);
        std::fs::write(&path, "[plugin.deploy]\ndigst = 1").unwrap();
        assert_eq!(Lock::read(&path).unwrap_err().len(), 2);
    }

    #[test]
    fn a_job_continues_only_with_the_locked_file_and_with_accepted_ones() {
        let mut new = lock("sha256:bb", &[]);
        new.inherit(&lock("sha256:aa", &[]), false).unwrap();
        let check = |lock: &Lock, digest: &str| lock.check("deploy", digest).is_ok();
        assert!(check(&new, "sha256:bb") && !check(&new, "sha256:aa"));
        new.inherit(&lock("sha256:aa", &[]), true).unwrap();
        assert!(check(&new, "sha256:aa") && !check(&new, "sha256:cc"));
        let mut revoked = new.clone();
        revoked.0.get_mut("deploy").unwrap().revoked.push("sha256:aa".to_owned());
        assert!(!check(&revoked, "sha256:aa"), "a revoked file is not accepted");
        let mut newest = lock("sha256:cc", &[]);
        newest.inherit(&revoked, true).unwrap();
        assert_eq!(newest.0["deploy"].accepted, ["sha256:bb"]);
        assert_eq!(newest.0["deploy"].revoked, ["sha256:aa"]);
        lock("sha256:aa", &[]).inherit(&revoked, true).unwrap_err();
        // The entry outlives the plugin, and applies to every plugin.
        let mut without = Lock::default();
        without.inherit(&revoked, true).unwrap();
        assert!(!check(&without, "sha256:aa") && without.check("other", "sha256:aa").unwrap_err().contains("revokes"));
    }

    #[test]
    fn a_new_call_is_reported_as_one_line() {
        let changes = lock("sha256:aa", &["a.b"]).changes(&lock("sha256:bb", &["a.b", "instances.terminate"]));
        assert_eq!(changes, ["deploy: file changed", "deploy: + call instances.terminate"]);
    }
}
