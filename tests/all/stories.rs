//! Runs stories: typed lines with their expected output. Each folder in `tests/stories` is one story.
//!
//! ```text
//! NAME/plugins.toml   the configuration; {guests} stands for the folder of the built guests
//!      *              other files of the host's folder: included files, a lock, a script
//!      problems.txt   expected standard error of `wardroom check`; its exit code is 2
//!      typed.txt      the input of `wardroom run`; if it is missing, `run` must also end with problems.txt
//!      said.txt       expected standard output of `run`, line for line; its exit code is 0
//!      journal.txt    expected listing of the database
//!      files.txt      files that must exist afterwards, or must not exist if `! ` precedes them; `*` matches any name
//!      session.txt    command lines after `$ `, each with its output and, if it is not 0, its exit code
//! ```
//!
//! Values that differ between runs are replaced (`<job>`, `<time>`, `<took>`, `<digest>`, `<folder>`).
//! `WARDROOM_BLESS=1` writes the actual output into the existing files; read the difference before you keep it.
//!
//! Invariant: each folder has a test, and each test has a folder.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use regex::Regex;

use crate::{
    journal::Journal,
    test_host::{self, Ran, TestHost, repository},
};

macro_rules! stories {
    ($($name:ident)*) => {
        const STORIES: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() -> Result<()> {
                run_story(&stringify!($name).replace('_', "-"))
            }
        )*
    };
}

stories! {
    another_machine
    approval_everywhere
    approval_people
    approval_problems
    approvals
    auth
    auth_ambiguous
    auth_denied
    auth_ends
    authorization
    broken
    can
    changed_plans
    coffee
    commands_for_later
    deploy_and_where
    direct_messages
    explain_rights
    freeze
    freeze_problems
    freeze_window
    help
    hostile_words
    identity_environments
    include_problems
    included_short_forms
    includes
    jobs_from_outside
    lock
    no_command
    not_toml
    order
    output_of_runs
    people_problems
    pipelines_that_fail
    plugin_descriptions
    plugins_that_do_not_load
    promote
    quoting
    remind
    reports
    revocation_is_not_held
    revoke_in_one_environment
    role_of_a_room
    role_that_is_gone
    rollback
    rules_for_one_command
    scheduled_arguments
    secrets_are_references
    short_forms
    stale_group
    source_and_target
    status_and_stats
    tampering
    the_console
    too_many_refusals
    trigger_commands
    trigger_problems
}

#[test]
fn every_folder_is_a_story() -> Result<()> {
    let mut folders = BTreeSet::new();
    for entry in fs::read_dir(repository().join("tests/stories"))? {
        folders.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    let run: BTreeSet<String> = STORIES.iter().map(|name| name.replace('_', "-")).collect();
    let untold: Vec<&String> = folders.difference(&run).collect();
    ensure!(untold.is_empty(), "folders of tests/stories without a test: {untold:?}");
    let empty: Vec<&String> = run.difference(&folders).collect();
    ensure!(empty.is_empty(), "tests without a folder in tests/stories: {empty:?}");
    Ok(())
}

/// Runs one story.
fn run_story(name: &str) -> Result<()> {
    let story = repository().join("tests/stories").join(name);
    let config = fs::read_to_string(story.join("plugins.toml"))
        .with_context(|| format!("the story {name} has no plugins.toml"))?;
    let test_host = TestHost::new(&config)?;
    for entry in fs::read_dir(&story)? {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        if file != "plugins.toml" && !file.ends_with(".txt") {
            test_host.copy_in(&entry.path(), &file)?;
        }
    }
    let mut run = StoryRun { story: &story, test_host: &test_host, wrong: Vec::new(), parts: 0 };
    run.problems()?;
    run.typed()?;
    run.session()?;
    run.journal()?;
    run.files()?;
    ensure!(run.parts > 0, "the story {name} has no expected output");
    if run.wrong.is_empty() { Ok(()) } else { bail!("{}", run.wrong.join("\n\n")) }
}

struct StoryRun<'s> {
    story: &'s Path,
    test_host: &'s TestHost,
    wrong: Vec<String>,
    parts: usize,
}

impl StoryRun<'_> {
    fn text(&self, file: &str) -> Result<Option<String>> {
        let path = self.story.join(file);
        if path.exists() { Ok(Some(fs::read_to_string(path)?)) } else { Ok(None) }
    }

    /// Compares actual output with a file of the story.
    fn compare(&mut self, file: &str, actual: &str) -> Result<()> {
        self.parts += 1;
        let path = self.story.join(file);
        let expected = fs::read_to_string(&path).with_context(|| format!("{} is missing", path.display()))?;
        if actual == expected {
            return Ok(());
        }
        if env::var_os("WARDROOM_BLESS").is_some() {
            return Ok(fs::write(path, actual)?);
        }
        self.wrong.push(format!("{}:\n{}", path.display(), difference(&expected, actual)));
        Ok(())
    }

    fn problems(&mut self) -> Result<()> {
        if self.text("problems.txt")?.is_none() {
            return Ok(());
        }
        let mut commands = vec!["check"];
        if self.text("typed.txt")?.is_none() {
            commands.push("run");
        }
        for command in commands {
            let ran = self.test_host.wardroom(&[command], "help\n")?;
            ensure!(ran.code == Some(2), "`wardroom {command}` ended with {:?}:\n{}{}", ran.code, ran.out, ran.err);
            ensure!(ran.out.is_empty(), "`wardroom {command}` wrote to standard output: {}", ran.out);
            self.compare("problems.txt", &filtered(&ran.err, self.test_host))?;
        }
        Ok(())
    }

    fn typed(&mut self) -> Result<()> {
        let path = self.story.join("typed.txt");
        if !path.exists() {
            return Ok(());
        }
        // Read bytes, because typed input may be invalid UTF-8.
        let typed = fs::read(path)?;
        let ran = self.test_host.wardroom(&["run"], typed)?;
        ensure!(ran.code == Some(0), "`wardroom run` ended with {:?}:\n{}{}", ran.code, ran.out, ran.err);
        self.compare("said.txt", &filtered(&ran.out, self.test_host))
    }

    fn session(&mut self) -> Result<()> {
        let Some(session) = self.text("session.txt")? else { return Ok(()) };
        let mut actual = String::new();
        for line in session.lines() {
            let Some(command) = line.strip_prefix("$ ") else { continue };
            let mut shell = self.test_host.command("sh");
            shell.args(["-c", &test_host::with_guests(command)]);
            let Ran { code, out, err } = test_host::run(shell, "")?;
            actual.push_str(&format!("{line}\n{out}{err}"));
            if code != Some(0) {
                actual.push_str(&format!("[exit code {}]\n", code.map_or("none".to_owned(), |code| code.to_string())));
            }
        }
        self.compare("session.txt", &filtered(&actual, self.test_host))
    }

    fn journal(&mut self) -> Result<()> {
        if self.text("journal.txt")?.is_none() {
            return Ok(());
        }
        let listing = Journal::open(&self.test_host.path("state"))?.listing()?;
        self.compare("journal.txt", &filtered(&listing, self.test_host))
    }

    fn files(&mut self) -> Result<()> {
        let Some(files) = self.text("files.txt")? else { return Ok(()) };
        self.parts += 1;
        for line in files.lines() {
            let (wanted, pattern) = match line.strip_prefix("! ") {
                Some(pattern) => (false, pattern),
                None => (true, line),
            };
            let found = matching(&self.test_host.path("."), pattern);
            if wanted == found.is_empty() {
                self.wrong.push(format!("files.txt: `{line}`, found {found:?}"));
            }
        }
        Ok(())
    }
}

/// Returns the files in a folder that match a path with `*`.
fn matching(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let (part, rest) = pattern.split_once('/').map_or((pattern, None), |(part, rest)| (part, Some(rest)));
    let fits = |name: &str| match part.split_once('*') {
        Some((begin, end)) => name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end),
        None => name == part,
    };
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let hits = entries.flatten().filter(|entry| fits(&entry.file_name().to_string_lossy())).map(|entry| entry.path());
    match rest {
        None => hits.collect(),
        Some(rest) => hits.flat_map(|path| matching(&path, rest)).collect(),
    }
}

/// Replaces the values that differ between runs.
pub(crate) fn filtered(text: &str, test_host: &TestHost) -> String {
    let filters = [
        (r"(?m)^\[[a-z2-9]{5}\]", "[<job>]"),
        (r"(?m)^job [a-z2-9]{5}\b", "job <job>"),
        (r"\(job [a-z2-9]{5}\b", "(job <job>"),
        (r"\b(of|in) job [a-z2-9]{5}\b", "$1 job <job>"),
        (r"\bjob [a-z2-9]{5} is\b", "job <job> is"),
        (r"(?m)^[a-z2-9]{5}: (.+, by )", "<job>: $1"),
        (r#""(id|job)":"[a-z2-9]{5}""#, r#""$1":"<job>""#),
        (r"\b(key|id:) [a-z2-9]{5}([/-])", "$1 <job>$2"),
        (r", job: [a-z2-9]{5},", ", job: <job>,"),
        (r"\b[Jj]ob [a-z2-9]{5}( has requested approval again| yourself|\. It needs|, held| `)", "job <job>$1"),
        (r"`(approve|deny) [a-z2-9]{5}\b", "`$1 <job>"),
        (r"(?m)^release [a-z2-9]{5}-", "release <job>-"),
        (r"\brecorded-[0-9a-f]{32}\b", "recorded-<message>"),
        (r"sha256:[0-9a-f]{64}", "<digest>"),
        (r"sha256:[0-9a-f]{12}", "<digest>"),
        (r"\b\d+:[0-9a-f]{64}(,[a-z2-9]{5}:\d+:[0-9a-f]{64})*", "<head>"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)? UTC", "<time>"),
        (r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d\.\d{3}\b", "<time>"),
        (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\b", "<time>"),
        (r"\bunix_ms: \d+", "unix_ms: <time>"),
        (r"\b(after|in|took|median) (\d+ (ms|s)|less than a second)\b", "$1 <took>"),
        (r", (\d+ s|less than a second)(?m)$", ", <took>"),
    ];
    // Replace the longest path first, because the path of the folder may be a part of a longer one.
    let mut text = text.replace(&test_host.path("").display().to_string(), "<folder>/");
    text = text.replace(test_host.path("").display().to_string().trim_end_matches('/'), "<folder>");
    text = text.replace(&test_host::guests().display().to_string(), "<guests>");
    for (pattern, with) in filters {
        text = Regex::new(pattern).map(|pattern| pattern.replace_all(&text, with).into_owned()).unwrap_or(text);
    }
    text
}

/// Returns the lines of two texts, with a mark at each line that differs.
pub(crate) fn difference(expected: &str, actual: &str) -> String {
    let (expected, actual): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), actual.lines().collect());
    let same = expected.iter().zip(&actual).take_while(|(a, b)| a == b).count();
    let same_end = expected[same..].iter().rev().zip(actual[same..].iter().rev()).take_while(|(a, b)| a == b).count();
    let mut text = String::new();
    let mut add = |sign: &str, lines: &[&str]| lines.iter().for_each(|line| text.push_str(&format!("{sign} {line}\n")));
    add(" ", &expected[same.saturating_sub(3)..same]);
    add("-", &expected[same..expected.len() - same_end]);
    add("+", &actual[same..actual.len() - same_end]);
    add(" ", &expected[expected.len() - same_end..][..same_end.min(3)]);
    text
}
