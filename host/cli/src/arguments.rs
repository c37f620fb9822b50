//! The command line.
//!
//! Invariant: the help of each subcommand states what it does and prints, its exit codes, and an example. A test checks this.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use wardroom::journal::Head;

/// A chat bot that runs sandboxed plugins with the permissions that you grant
#[derive(Debug, Parser)]
#[command(name = "wardroom", version, after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.")]
pub(crate) struct Arguments {
    /// The configuration file
    #[arg(long, global = true, default_value = "plugins.toml", value_name = "FILE")]
    pub(crate) config: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve: connect to the configured chats and answer
    ///
    /// Runs until SIGINT, SIGTERM or, with a console, the end of standard input. Prints the
    /// console's replies to standard output and the log to standard error. RUST_LOG sets the log
    /// level.
    #[command(
        verbatim_doc_comment,
        after_help = "\
Exit codes:
  0  the host was stopped, or the console's input ended
  1  the store, the listener or a connection failed, or the shutdown timed out
  2  the configuration or the usage is wrong

Example:
  echo 'where cms' | wardroom run"
    )]
    Run {
        /// Refuse to start where a plugin is not in plugins.lock or its bytes differ from it
        #[arg(long)]
        locked: bool,
        /// Take over the state of a host on another machine, which must be stopped for good
        #[arg(long)]
        adopt: bool,
        /// Run one identity only; a second process needs its own store and listener
        #[arg(long, value_name = "NAME")]
        bot: Option<String>,
    },
    /// Report every problem of the configuration and the plugins
    ///
    /// Prints each problem with its file, its line and the line to write instead. Without
    /// problems, prints the numbers of plugins and commands, and warnings.
    #[command(
        verbatim_doc_comment,
        after_help = "\
Exit codes:
  0  there are no problems
  1  a connection or a look-up failed (with --connect)
  2  the configuration or the usage is wrong

Example:
  wardroom check --connect"
    )]
    Check {
        /// Also log in and look up rooms and people, without changing anything
        #[arg(long)]
        connect: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Report what each plugin can do, may do and did
    ///
    /// Prints, for each plugin and host call, the rules that permit it and how often it was used,
    /// as far back as the journal reaches. Also prints approval rules, overridden approvals,
    /// triggers and warnings.
    #[command(
        args_conflicts_with_subcommands = true,
        verbatim_doc_comment,
        after_help = "\
Exit codes:
  0  the report is complete
  1  the database cannot be read
  2  the configuration or the usage is wrong

Example:
  wardroom audit --format json"
    )]
    Audit {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        of: Option<AuditCommand>,
    },
    /// Show whether a person may run a command, and why
    ///
    /// Prints yes or no, and the rule or the grant that decides it.
    #[command(
        verbatim_doc_comment,
        after_help = "\
Exit codes:
  0  yes
  1  no, or the database cannot be read
  2  the person or the command is unknown, or the configuration or the usage is wrong

Example:
  wardroom can @bob:example.org deploy cms production 1.0.2"
    )]
    Can {
        /// The person: an id, a handle, or a name of the configuration
        user: String,
        /// The command as the person would type it
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
        /// The room, as the configuration names it
        #[arg(long)]
        room: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// List the open jobs
    ///
    /// Prints one line for each job: its id, its command and its status. Works while a host runs.
    #[command(
        verbatim_doc_comment,
        after_help = "\
Exit codes:
  0  the list is complete
  1  the database does not exist or cannot be read
  2  the configuration or the usage is wrong

Example:
  wardroom jobs --all --limit 20"
    )]
    Jobs {
        /// Also list closed jobs, newest first
        #[arg(long)]
        all: bool,
        /// The most jobs to list
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        #[command(flatten)]
        output: Output,
    },
    /// Show the status or the end of a job
    ///
    /// Prints its command, its status, the deployment locks that it holds and its last journal
    /// entries. Works while a host runs.
    #[command(
        verbatim_doc_comment,
        after_help = "\
Exit codes:
  0  the job was found
  1  there is no such job, or the database cannot be read
  2  the configuration or the usage is wrong

Example:
  wardroom job 7f3ak"
    )]
    Job {
        /// The job's id
        id: String,
        #[command(flatten)]
        output: Output,
    },
    /// Show or verify the journal
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Inspect plugins, and lock their bytes
    #[command(subcommand)]
    Plugin(PluginCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Report who may run what where, and why
    ///
    /// Prints, for each person, app and environment, the commands and the rule or the grant that
    /// permits them, and the roles in which the person may approve.
    #[command(
        verbatim_doc_comment,
        after_help = "\
Exit codes:
  0  the report is complete
  1  the database cannot be read
  2  the configuration or the usage is wrong

Example:
  wardroom audit people"
    )]
    People {
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Show the journal of a job
    ///
    /// Prints one line for each entry: what was typed, each host call, the rule that decided it,
    /// and its result. Works while a host runs.
    #[command(
        verbatim_doc_comment,
        after_help = "\
Exit codes:
  0  the journal is valid
  1  there is no such job, its journal was changed, or the database cannot be read
  2  the configuration or the usage is wrong

Example:
  wardroom journal show 7f3ak"
    )]
    Show {
        /// The job's id
        job: String,
        #[command(flatten)]
        output: Output,
    },
    /// Verify that nothing in the journal was changed, removed or moved
    ///
    /// Checks the hash chain over all jobs, entries, queries and refusals, and prints its head.
    /// Keep the head elsewhere and pass it to a later check: this reveals a truncated chain.
    /// Works while a host runs.
    #[command(
        verbatim_doc_comment,
        after_help = "\
Exit codes:
  0  the journal is valid
  1  the journal was changed, or the database cannot be read
  2  the configuration or the usage is wrong

Example:
  wardroom journal verify --head \"$(cat head)\""
    )]
    Verify {
        /// The head that an earlier check printed; fail unless the chain contains it
        #[arg(long, value_name = "NUMBER:HASH", value_parser = parse_head)]
        head: Option<Head>,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Describe a plugin file without running a command
    ///
    /// Prints its digest, its contract, its commands, its settings and every host call that it
    /// imports.
    #[command(
        verbatim_doc_comment,
        after_help = "\
Exit codes:
  0  the file is a plugin
  1  the file cannot be read, or is not a plugin
  2  the usage is wrong

Example:
  wardroom plugin inspect deploy.wasm"
    )]
    Inspect {
        /// A core module or a component
        file: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Write plugins.lock, which pins the bytes of every plugin
    ///
    /// Prints the changes. The file is written beside the configuration; commit it.
    #[command(
        verbatim_doc_comment,
        after_help = "\
Exit codes:
  0  the lock was written, or has not changed
  1  the lock would change (with --check), or cannot be written
  2  the configuration or the usage is wrong

Example:
  wardroom plugin lock --check"
    )]
    Lock {
        /// Write nothing; fail where the lock would change
        #[arg(long)]
        check: bool,
    },
}

/// The option of all subcommands that print a report.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// The format of the report
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// Parses a head as `journal verify` prints it.
fn parse_head(text: &str) -> Result<Head, String> {
    let wrong = || "write it as it was printed: a number, a colon, and 64 hexadecimal digits".to_owned();
    let (number, hash) = text.trim().split_once(':').ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let hash = hash.to_ascii_lowercase();
    // Links are numbered from 1, so no chain contains head 0.
    if number == 0 || hash.len() != 64 || !hash.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    Ok(Head { number, hash })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn clap_accepts_the_definition() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_subcommand_has_complete_help() {
        /// Whether a command is run by itself, and is not only a group of subcommands.
        fn runs(command: &clap::Command) -> bool {
            !command.is_subcommand_required_set()
        }
        fn check(command: &clap::Command, path: &str) -> usize {
            assert!(command.get_about().is_some(), "{path}: no summary");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{path}: `{}` has no help", argument.get_id());
            }
            if path != "wardroom" && runs(command) {
                assert!(command.get_long_about().is_some(), "{path}: no description");
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                for part in ["Exit codes:\n  0  ", "\n  1  ", "\n  2  ", "\n\nExample:\n  "] {
                    assert!(help.contains(part), "{path}: the help lacks {part:?}");
                }
                let example = help.lines().last().unwrap_or_default();
                assert!(example.contains(path), "{path}: the example is of another command: {example}");
            }
            let below = command.get_subcommands().map(|below| check(below, &format!("{path} {}", below.get_name())));
            usize::from(runs(command)) + below.sum::<usize>()
        }
        assert_eq!(check(&Arguments::command(), "wardroom"), 11, "subcommands that run");
    }

    #[test]
    fn a_head_is_parsed_as_it_is_printed() {
        let hash = "0f".repeat(32);
        assert_eq!(parse_head(&format!("12:{hash}")), Ok(Head { number: 12, hash: hash.clone() }));
        assert_eq!(parse_head(&format!(" 12:{}\n", hash.to_uppercase())), Ok(Head { number: 12, hash: hash.clone() }));
        for wrong in ["", "12", "12:", "12:0f", &format!("0:{hash}"), &format!("-1:{hash}"), &format!("1:{hash}0")] {
            assert!(parse_head(wrong).is_err(), "{wrong}");
        }
    }
}
