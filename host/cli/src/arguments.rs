//! The command line of `wardroom`: its subcommands, options and help.
//!
//! Invariant: the help of each subcommand states its purpose, its output, its exit codes and an example. A test checks
//! the help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use wardroom::journal::Head;

/// A chat bot that runs sandboxed plugins with the permissions that you grant
#[derive(Debug, Parser)]
#[command(name = "wardroom", version, after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.")]
pub(crate) struct Arguments {
    /// The path of the configuration file
    #[arg(long, global = true, default_value = "plugins.toml", value_name = "FILE")]
    pub(crate) config: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the host: connect to the configured chats and run commands
    ///
    /// Runs until SIGINT or SIGTERM. If the console is the only chat network, the host also stops at
    /// the end of standard input. Prints the console's replies to standard output and the log to
    /// standard error. RUST_LOG sets the log level.
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
        /// Refuse to start if a plugin file is not pinned in plugins.lock, or differs from its digest there
        #[arg(long)]
        locked: bool,
        /// Take over a database that a host on another computer used; that host must not run again
        #[arg(long)]
        adopt: bool,
        /// Run only the bot NAME; each host process needs its own store and its own HTTP address
        #[arg(long, value_name = "NAME")]
        bot: Option<String>,
    },
    /// Report every problem of the configuration and the plugins
    ///
    /// Prints each problem with its file, its line and a correction. Without problems, prints the
    /// number of plugins and commands, and warnings.
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
        /// Also log in to the chat networks and secret stores, and look up the configured rooms, people and secrets; changes
        /// nothing
        #[arg(long)]
        connect: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Report the host calls of each plugin: imported, permitted and made
    ///
    /// Prints, for each plugin and host call, the rules that permit the call and how often it was
    /// made, as far back as the journal reaches. Also prints approval rules, overridden approvals,
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
        /// The person: an id, a handle, or a name in the configuration
        user: String,
        /// The command, without the prefix
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
        /// The room in which the person would type the command: the room's name in the configuration
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
        /// The maximum number of listed jobs
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        #[command(flatten)]
        output: Output,
    },
    /// Show the status or the outcome of a job
    ///
    /// Prints the job's command, its status, the deployment locks that it holds and its last
    /// journal entries. Works while a host runs.
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
        /// The job's id, for example 7f3ak
        id: String,
        #[command(flatten)]
        output: Output,
    },
    /// Show or verify the journal
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Inspect a plugin file, or pin plugin files in plugins.lock
    #[command(subcommand)]
    Plugin(PluginCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Report the commands that each person may run, and why
    ///
    /// Prints, for each person, app and environment, the permitted commands with the rule or grant
    /// that permits them, and the roles through which the person may approve.
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
    /// Prints one line for each entry: first the command that started the job, then each host call
    /// with its result and with the rule that permitted or refused the call. Works while a host runs.
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
        /// The job's id, for example 7f3ak
        job: String,
        #[command(flatten)]
        output: Output,
    },
    /// Verify that nothing in the journal was changed, removed or moved
    ///
    /// Checks the hash chain over all jobs, approvals, messages, grants, freezes, releases, queries and
    /// refusals. Prints the head: the last link of the chain, and the last entry of each open job. Store
    /// the head on another computer, and pass it to a later check with --head. That check then detects
    /// whether the end of the chain was removed, or the journal of an open job was rewritten. Works
    /// while a host runs.
    #[command(
        verbatim_doc_comment,
        after_help = "\
Exit codes:
  0  the journal is valid
  1  the journal was changed, or the database cannot be read
  2  the configuration or the usage is wrong

Example:
  wardroom journal verify | sed -n 's/^head //p' >head
  wardroom journal verify --head - <head"
    )]
    Verify {
        /// The head that an earlier `journal verify` printed, or `-` to read it from standard input; fail if
        /// the journal does not contain this head
        #[arg(long, value_name = "HEAD", value_parser = parse_head)]
        head: Option<Head>,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Describe a plugin file without running one of its commands
    ///
    /// Prints the plugin's digest, contract, commands and settings, and every host call that it
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
        /// The WebAssembly file: a core module or a component
        file: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Write plugins.lock, which pins every plugin file
    ///
    /// Prints the changes of plugins.lock, which is in the folder of the configuration file. Commit
    /// plugins.lock to your repository.
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
        /// Do not write plugins.lock; fail if it would change
        #[arg(long)]
        check: bool,
        /// Let open jobs continue with the files that the old plugins.lock pins
        #[arg(long)]
        accept_old: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Output {
    /// The format of the output
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text for people
    #[default]
    Text,
    /// JSON for programs
    Json,
}

/// Parses the head that `journal verify` printed. Reads it from standard input if the argument is `-`.
fn parse_head(text: &str) -> Result<Head, String> {
    match text {
        "-" => std::io::read_to_string(std::io::stdin()).map_err(|error| error.to_string())?.parse(),
        text => text.parse(),
    }
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
        /// Whether a command runs by itself. A group of subcommands such as `journal` does not.
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
}
