//! Checks that the book documents each command of the host, each subcommand, each flag, each host call and each key of
//! `plugins.toml`.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use wardroom::{base::KeyKind, config::Reference, engine::Engine};

use super::{pages, sample, scratch};
use crate::test_host::{TestHost, repository};

fn page(name: &str) -> Result<String> {
    fs::read_to_string(repository().join("docs/src").join(name)).with_context(|| format!("cannot read {name}"))
}

#[test]
fn every_command_of_the_host_has_a_section() -> Result<()> {
    let page = page("commands.md")?;
    let help = scratch(&sample()?)?.wardroom(&["run"], "help\n")?.out;
    // The host's own commands are the first group.
    let group = help.lines().skip(1).take_while(|line| line.starts_with(' '));
    let names: BTreeSet<&str> = group.filter_map(|line| line.split_whitespace().next()).collect();
    ensure!(names.contains("help") && names.len() > 10, "`help` lists too few commands: {help}");
    let has = |name: &&str| page.lines().any(|line| line.starts_with("## ") && line.contains(&format!("`{name}`")));
    let missing: Vec<&str> = names.into_iter().filter(|name| !has(name)).collect();
    ensure!(missing.is_empty(), "docs/src/commands.md has no section for {missing:?}");
    Ok(())
}

#[test]
fn every_subcommand_and_flag_is_documented() -> Result<()> {
    let page = page("operations.md")?;
    let test_host = scratch(&sample()?)?;
    let mut found = BTreeSet::new();
    collect(&test_host, &mut Vec::new(), &mut found)?;
    ensure!(found.len() > 10, "the help of the command line lists too few subcommands and flags: {found:?}");
    let missing: Vec<&String> = found.iter().filter(|word| !page.contains(word.as_str())).collect();
    ensure!(missing.is_empty(), "docs/src/operations.md does not describe {missing:?}");
    Ok(())
}

#[test]
fn every_host_call_is_in_both_call_tables() -> Result<()> {
    let calls = Engine::builder().calls().map_err(anyhow::Error::msg)?;
    for name in ["plugins-toml.md", "writing-plugins.md"] {
        let page = page(name)?;
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with('|')).collect();
        // A row names a call as `pipelines.trigger`, or begins with `pipelines` and names `trigger`.
        let missing = calls.iter().filter(|call| {
            let (whole, function) = (format!("`{}`", call.name), format!("`{}`", call.function()));
            let interface = format!("| `{}` |", call.interface());
            !rows.iter().any(|row| row.contains(&whole) || (row.starts_with(&interface) && row.contains(&function)))
        });
        let missing: Vec<&str> = missing.map(|call| call.name).collect();
        ensure!(missing.is_empty(), "the call table of docs/src/{name} has no row for {missing:?}");
    }
    Ok(())
}

/// The page of all keys. The part below the line [`GENERATED`] is generated.
const KEYS: &str = "docs/src/reference/plugins-toml.md";
const GENERATED: &str = "<!-- generated from here on: WARDROOM_BLESS=1 cargo xtask test book -->";

/// The attribute of the example capability in the chapter on adapters.
const EXAMPLE_ATTRIBUTE: &str = "ticket";

/// Returns the keys of the host and of all adapters.
fn reference() -> Result<Reference> {
    let nowhere = PathBuf::from("/nowhere");
    let builder = Engine::builder()
        .chat(wardroom_console::ConsoleFactory::new(false))
        .chat(wardroom_matrix::MatrixFactory::new(nowhere.clone()))
        .chat(wardroom_mattermost::MattermostFactory::new(nowhere.clone()))
        .pipelines(wardroom_exec::ExecFactory::new(nowhere.clone(), Vec::new()))
        .pipelines(wardroom_jenkins::JenkinsFactory::new(nowhere.clone()))
        .pipelines(wardroom_spinnaker::SpinnakerFactory::new(nowhere.clone()))
        .pipelines(wardroom_tekton::TektonFactory::new(nowhere))
        .secrets(wardroom_vault::VaultFactory::default())
        .identities(wardroom_oidc::OidcFactory::default());
    builder.reference().map_err(anyhow::Error::msg)
}

#[test]
fn every_key_of_plugins_toml_is_on_its_page() -> Result<()> {
    let reference = reference()?;
    for section in reference.markdown().split("## ").skip(1) {
        let mut lines = section.lines();
        let heading = lines.next().unwrap_or_default();
        ensure!(lines.nth(1).is_some_and(|about| !about.trim().is_empty()), "{heading} has no text");
        let empty = lines.find(|row| row.ends_with("|  |"));
        ensure!(empty.is_none(), "{heading}: {empty:?} has no text");
    }
    let file = repository().join(KEYS);
    let page = fs::read_to_string(&file).with_context(|| format!("cannot read {KEYS}"))?;
    let (written, generated) = page.split_once(GENERATED).with_context(|| format!("{KEYS} has no `{GENERATED}`"))?;
    let markdown = format!("\n\n{}\n", reference.markdown().trim_end());
    if generated != markdown && env::var_os("WARDROOM_BLESS").is_some() {
        fs::write(&file, format!("{written}{GENERATED}{markdown}"))?;
        return Ok(());
    }
    ensure!(generated == markdown, "{KEYS} differs from the code; `WARDROOM_BLESS=1 cargo xtask test book` writes it");
    Ok(())
}

#[test]
fn every_key_that_is_shown_or_tested_is_in_the_reference() -> Result<()> {
    let reference = reference()?;
    let mut unknown = Vec::new();
    let mut seen = 0;
    let mut check = |place: String, text: &str, refused: &str| {
        // Skip invalid TOML: stories and pages with broken configurations are tested elsewhere.
        let Ok(table) = text.parse::<toml::Table>() else { return };
        // Skip the manifest of a Rust package.
        if table.contains_key("package") {
            return;
        }
        seen += 1;
        let mut found = Vec::new();
        walk(&reference, "", &table, &mut found);
        // Skip wrong keys whose message is in the story's output.
        found.retain(|key| !refused.contains(&format!("takes no key `{key}`")) && key != EXAMPLE_ATTRIBUTE);
        unknown.extend(found.into_iter().map(|key| format!("{place}: {key}")));
    };
    check("plugins.toml".to_owned(), &sample()?, "");
    for page in pages()? {
        for block in page.blocks.iter().filter(|block| block.is("toml")) {
            check(format!("{page}:{}", block.line), &block.text, "");
        }
    }
    for folder in folders(&repository().join("tests/stories"))? {
        let mut messages = String::new();
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            match path.extension().and_then(|end| end.to_str()) {
                Some("txt") => messages.push_str(&String::from_utf8_lossy(&fs::read(&path)?)),
                Some("toml") => files.push(path),
                _ => {}
            }
        }
        for file in files {
            let name = file.strip_prefix(repository()).unwrap_or(&file).display().to_string();
            check(name, &String::from_utf8_lossy(&fs::read(&file)?), &messages);
        }
    }
    ensure!(seen > 60, "only {seen} configurations were found");
    ensure!(unknown.is_empty(), "keys that are missing in {KEYS}:\n{}", unknown.join("\n"));
    Ok(())
}

/// Returns the folders of stories.
fn folders(below: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(below).with_context(|| format!("the folder {} cannot be read", below.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Collects the keys of a table that the reference does not contain. `path` is the table's path in the reference.
fn walk(reference: &Reference, path: &str, table: &toml::Table, unknown: &mut Vec<String>) {
    // The reference has the keys of both once.
    let path = if path == "app.NAME.rollback.ENVIRONMENT" { "app.NAME.deploy.ENVIRONMENT" } else { path };
    for (name, value) in table {
        let Some(key) = reference.find(path, name) else {
            unknown.push(name.clone());
            continue;
        };
        match (key.kind, value) {
            // Skip the other keys, which depend on the kind: a story may name a wrong kind.
            (KeyKind::Tables(below), _) if below.path == "pipelines.NAME" => {}
            (KeyKind::Table(below), toml::Value::Table(table)) => walk(reference, below.path, table, unknown),
            (KeyKind::Tables(below), toml::Value::Table(tables)) => {
                for table in tables.values().filter_map(toml::Value::as_table) {
                    walk(reference, below.path, table, unknown);
                }
            }
            (KeyKind::Array(below), toml::Value::Array(tables)) => {
                for table in tables.iter().filter_map(toml::Value::as_table) {
                    walk(reference, below.path, table, unknown);
                }
            }
            _ => {}
        }
    }
}

/// Collects the subcommands of a command and the flags of all of them from the output of `--help`.
fn collect(test_host: &TestHost, path: &mut Vec<String>, found: &mut BTreeSet<String>) -> Result<()> {
    let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
    arguments.push("--help");
    let help = test_host.wardroom(&arguments, "")?.out;
    let mut below = Vec::new();
    let mut commands = false;
    for line in help.lines() {
        if !line.starts_with(' ') {
            commands = line == "Commands:";
        } else if commands && let Some(name) = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')) {
            below.extend(name.split_whitespace().next().map(str::to_owned));
        }
        let is_option = line.trim_start().starts_with('-');
        let flag = line.split_whitespace().find(|word| is_option && word.starts_with("--"));
        found.extend(flag.filter(|flag| !["--help", "--version"].contains(flag)).map(|flag| format!("`{flag}")));
    }
    for name in below.into_iter().filter(|name| name != "help") {
        path.push(name);
        found.insert(format!("wardroom {}", path.join(" ")));
        collect(test_host, path, found)?;
        path.pop();
    }
    Ok(())
}
