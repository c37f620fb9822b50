//! What can be typed is documented: each command of the host, each subcommand and each flag.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result, ensure};

use super::{sample, scratch};
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
    ensure!(names.contains("help") && names.len() > 10, "`help` is not what this test thinks: {help}");
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
    ensure!(found.len() > 10, "the help of the command line is not what this test thinks: {found:?}");
    let missing: Vec<&String> = found.iter().filter(|word| !page.contains(word.as_str())).collect();
    ensure!(missing.is_empty(), "docs/src/operations.md does not tell of {missing:?}");
    Ok(())
}

/// The subcommands below one, and the flags of all of them, as `--help` shows them.
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
