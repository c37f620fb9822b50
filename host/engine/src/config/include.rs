//! Reads `plugins.toml` and the files that it includes into one tree.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use globset::GlobBuilder;

use crate::base::{At, Field, Node, Problems, Value, parse};

/// The tables that every included file may contain. All other tables determine who people are and what they may do on
/// every app, hold credentials, or run commands under a name. An app's own table names its owners and the programs of its
/// pipelines.
const FREE_TABLES: [&str; 6] = ["app", "plugin", "alias", "say", "listen", "expect"];
/// The tables that only the main file may contain.
const MAIN_TABLES: [&str; 2] = ["people", "store"];

/// The configuration files as one tree.
pub(crate) struct Files {
    pub(crate) root: Node,
    /// The files of `include`, with their names in [`At`]. A file that `trusted_include` matches too is among them.
    pub(crate) untrusted: BTreeSet<Arc<str>>,
}

/// Reads the configuration files into a tree. If the main file cannot be read, reports a configuration problem and
/// returns `None`.
pub(crate) fn load(path: &Path, problems: &Problems) -> Option<Files> {
    let text = read(path, &At { file: path.display().to_string().into(), line: 1 }, problems)?;
    Some(parse_main(&text, path, problems))
}

/// Reads the configuration files into a tree. `text` is the content of the main file, and `path` is its path.
pub(crate) fn parse_main(text: &str, path: &Path, problems: &Problems) -> Files {
    let mut root = parse(path, text, problems);
    let mut untrusted = BTreeSet::new();
    let free = includes(&mut root, "include", problems).into_iter().map(|include| (include, false));
    let trusted: Vec<_> = includes(&mut root, "trusted_include", problems);
    for ((pattern, at), trusted) in free.chain(trusted.into_iter().map(|include| (include, true))) {
        let folder = path.parent().unwrap_or(Path::new(""));
        let files = matching(folder, &pattern);
        if files.is_empty() {
            let key = if trusted { "trusted_include" } else { "include" };
            problems.add(&at, format!("the pattern `{pattern}` in `{key}` matches no file"), None);
        }
        for file in files {
            let Some(text) = read(&file, &at, problems) else { continue };
            let mut part = parse(&file, &text, problems);
            if !trusted {
                untrusted.insert(part.at.file.clone());
            }
            for key in ["include", "trusted_include"] {
                for (_, at) in includes(&mut part, key, problems) {
                    problems.add(&at, "an included file cannot include other files", None);
                }
            }
            reject_tables(&mut part, trusted, path, problems);
            merge(&mut root, part, problems);
        }
    }
    Files { root, untrusted }
}

fn read(path: &Path, at: &At, problems: &Problems) -> Option<String> {
    let file = path.display();
    let bytes = std::fs::read(path)
        .inspect_err(|error| problems.add(at, format!("cannot read the file `{file}`: {error}"), None))
        .ok()?;
    String::from_utf8(bytes)
        .inspect_err(|error| {
            let offset = error.utf8_error().valid_up_to();
            let message = format!("`{file}` is not UTF-8 text; the first invalid byte is at offset {offset}");
            problems.add(at, message, None);
        })
        .ok()
}

/// Reports and removes each table that an included file may not contain. A reviewer therefore finds everything about
/// people and their rights in the main file and in the trusted files.
fn reject_tables(part: &mut Node, trusted: bool, main: &Path, problems: &Problems) {
    let Value::Table(fields) = &mut part.value else { return };
    let main = main.display();
    fields.retain(|name, field| {
        let name = name.as_str();
        let message = match (MAIN_TABLES.contains(&name), trusted || FREE_TABLES.contains(&name)) {
            (true, _) => format!("[{name}] is allowed only in the main file {main}"),
            (false, true) => return true,
            (false, false) => {
                format!("[{name}] is allowed only in the main file {main} and in the files of its `trusted_include`")
            }
        };
        problems.add(&field.at, message, None);
        false
    });
    let Some(Value::Table(plugins)) = fields.get_mut("plugin").map(|plugins| &mut plugins.node.value) else { return };
    for (name, plugin) in plugins.iter_mut().filter(|_| !trusted) {
        let Value::Table(keys) = &mut plugin.node.value else { continue };
        if let Some(commands) = keys.remove("commands") {
            let message = format!(
                "`commands` of [plugin.{name}] is allowed only in the main file {main} and in the files of its `trusted_include`"
            );
            problems.add(&commands.at, message, None);
        }
    }
}

/// Removes the key `key` from the tree of a configuration file: `include` or `trusted_include`. Returns the file
/// patterns in this key, each with its position.
fn includes(root: &mut Node, key: &str, problems: &Problems) -> Vec<(String, At)> {
    let Value::Table(fields) = &mut root.value else { return Vec::new() };
    let Some(field) = fields.remove(key) else { return Vec::new() };
    let items = match field.node.value {
        Value::Array(items) => items,
        _ => vec![field.node],
    };
    let mut patterns = Vec::new();
    for item in items {
        match item.value {
            Value::String(pattern) => patterns.push((pattern, item.at)),
            _ => problems.add(
                &item.at,
                format!("`{key}` must be a list of file names"),
                Some(format!("{key} = [\"apps/*.toml\"]")),
            ),
        }
    }
    patterns
}

/// Returns the files that match a pattern such as `apps/*.toml`, sorted by path. Only the file name can have wildcards.
fn matching(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let (inside, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let folder = folder.join(inside);
    let Ok(glob) = GlobBuilder::new(name).literal_separator(true).build() else { return Vec::new() };
    let glob = glob.compile_matcher();
    // An empty path cannot be listed.
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
    let Ok(entries) = std::fs::read_dir(listed) else { return Vec::new() };
    let named = |entry: &std::fs::DirEntry| glob.is_match(entry.file_name());
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .filter(named)
        .map(|entry| folder.join(entry.file_name()))
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

/// Adds the tables of an included file to the tree. A table such as `[app.cms]` must be complete in one file. If the
/// tree already has a key or table, the second one is reported as a configuration problem, and not added.
fn merge(into: &mut Node, part: Node, problems: &Problems) {
    let (Value::Table(fields), Value::Table(more)) = (&mut into.value, part.value) else { return };
    for (key, field) in more {
        match fields.get_mut(&key) {
            Some(known) => join(known, field, problems),
            None => {
                fields.insert(key, field);
            }
        }
    }
}

/// Adds all tables of one kind from an included file, such as all `[app.*]`, to the tree. Reports tables that the tree
/// already has.
fn join(known: &mut Field, field: Field, problems: &Problems) {
    let again = |at: &At, known: &At| {
        problems.add(at, format!("the same key or table is already defined in {known}"), None);
    };
    let (Value::Table(named), Value::Table(more)) = (&mut known.node.value, field.node.value) else {
        again(&field.at, &known.at);
        return;
    };
    for (name, field) in more {
        match named.get(&name) {
            Some(known) => again(&field.at, &known.at),
            None => {
                named.insert(name, field);
            }
        }
    }
}
