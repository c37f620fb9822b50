//! The README's first screen is what a new user sees: it is typed here, and must come back line for line.
//!
//! Not here: what each command answers in other cases, which the stories show.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::{
    stories::filtered,
    test_host::{TestHost, guests, repository},
};

/// What was typed after one start, and what was said.
type Start = (Vec<String>, Vec<String>);

/// The first block of the README, cut at its commands: what was typed at the prompt with all answers, each start by itself, and
/// the audit.
fn transcript() -> Result<(Vec<Start>, Vec<String>)> {
    let readme = std::fs::read_to_string(repository().join("README.md"))?;
    let block = readme.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).context("no transcript")?;
    let (prompt, audit) = block.split_once("$ wardroom audit\n").context("no audit in the transcript")?;
    let starts = prompt.split("$ cargo xtask start\n").skip(1).map(|start| {
        let (typed, said): (Vec<&str>, Vec<&str>) =
            start.lines().filter(|line| !line.is_empty()).partition(|line| line.starts_with("> "));
        (typed.into_iter().map(|line| line[2..].to_owned()).collect(), said.into_iter().map(str::to_owned).collect())
    });
    Ok((starts.collect(), audit.lines().map(str::to_owned).collect()))
}

/// The repository as a new user has it, as far as the sample goes.
fn sample() -> Result<TestHost> {
    let test_host = TestHost::new(&std::fs::read_to_string(repository().join("plugins.toml"))?)?;
    for name in ["deploy.wasm", "rollback.wasm", "auth.wasm", "remind.wasm", "coffee.wasm"] {
        test_host.copy_in(&guests().join(name), &format!("guests/{name}"))?;
    }
    Ok(test_host)
}

#[test]
fn the_first_screen_is_true() -> Result<()> {
    let (starts, audit) = transcript()?;
    ensure!(starts.len() == 2 && audit.len() > 5, "the transcript is not what this test thinks");
    let test_host = sample()?;
    for (typed, said) in starts {
        let run = test_host.wardroom(&["run"], format!("{}\n", typed.join("\n")))?;
        assert_eq!(filtered(run.out.trim_end(), &test_host), filtered(&said.join("\n"), &test_host), "{}", run.err);
    }
    let report = test_host.wardroom(&["audit"], "")?;
    assert_eq!(filtered(report.out.trim_end(), &test_host), filtered(&audit.join("\n"), &test_host), "{}", report.err);
    // The sample really deploys and rolls back, and the plugin that lies did nothing.
    let page = std::fs::read_to_string(test_host.path("sample/site/staging/current/index.html"))?;
    assert!(page.contains("1.0.1"), "{page}");
    let page = std::fs::read_to_string(test_host.path("sample/site/production/current/index.html"))?;
    assert!(page.contains("1.0.1"), "{page}");
    assert_eq!(test_host.runs().len(), 4);
    Ok(())
}

#[test]
fn the_sample_passes_its_own_check() -> Result<()> {
    let check = sample()?.wardroom(&["check"], "")?;
    assert_eq!(check.code, Some(0), "{}{}", check.out, check.err);
    Ok(())
}

#[test]
fn the_engine_runs_in_another_program() -> Result<()> {
    let mut child = Command::new(std::env::var_os("WARDROOM_EMBED").context("WARDROOM_EMBED names no example to run")?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let typed = "!deploy cms staging 1.0.2\nnothing for the bot\n!where\n!nonsense\n";
    std::io::Write::write_all(&mut child.stdin.take().context("no input")?, typed.as_bytes())?;
    let output = child.wait_with_output()?;
    assert!(output.status.success());
    let out = String::from_utf8(output.stdout)?;
    assert!(out.contains("*beep* Content Management System: deployed version 1.0.2 to staging in"), "{out}");
    assert!(out.contains("staging: 1.0.2 since"), "{out}");
    assert!(out.contains("Unknown command `nonsense`"), "{out}");
    assert_eq!(out.matches("*beep*").count(), 4, "{out}");
    Ok(())
}
