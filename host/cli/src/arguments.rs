//! The command line, as clap reads it.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use wardroom::journal::Head;

/// A bot in your chat room that runs sandboxed plugins, and does only what you granted.
#[derive(Debug, Parser)]
#[command(name = "wardroom", version, after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.")]
pub(crate) struct Arguments {
    /// The configuration.
    #[arg(long, global = true, default_value = "plugins.toml", value_name = "FILE")]
    pub(crate) config: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve: be in the configured chats and answer.
    Run {
        /// Refuse to start without a plugins.lock that names every plugin's bytes.
        #[arg(long)]
        locked: bool,
        /// Take over state that a host on another machine used; that host must be stopped for good.
        #[arg(long)]
        adopt: bool,
        /// Run one identity only, with the secrets that it needs; a second process needs a store and a listener of its own.
        #[arg(long, value_name = "NAME")]
        bot: Option<String>,
    },
    /// Report every problem of the configuration, with its line and the line to write instead.
    Check {
        /// Also log in and look rooms and people up; changes nothing.
        #[arg(long)]
        connect: bool,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Report what each plugin can do, may do and did, as far back as is kept.
    #[command(args_conflicts_with_subcommands = true)]
    Audit {
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
        #[command(subcommand)]
        of: Option<AuditCommand>,
    },
    /// Tell whether somebody may run a command, and which rule says so; exit code 1 where they may not.
    Can {
        /// Who: an id, a handle, or a name of the configuration.
        user: String,
        /// What they would type.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
        /// The room in which they would, as the configuration names it.
        #[arg(long)]
        room: Option<String>,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// List the jobs that are open and what is left for later; works while a host runs.
    Jobs {
        /// Also those that are over, the newest first.
        #[arg(long)]
        all: bool,
        /// How many at most.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Show where a job stands, or how it ended; works while a host runs.
    Job {
        /// Its id.
        id: String,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Read the journal and check it; works while a host runs.
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Look at plugins, and lock them.
    #[command(subcommand)]
    Plugin(PluginCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Report who may run what where, by which line of the configuration or which job.
    People {
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Show a job's journal, one line an entry: what was typed, each call, the rule that decided, what came of it.
    Show {
        /// The job's id.
        job: String,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Check that no job, entry, query or refusal was changed, removed or moved, and print the newest end of the chain.
    Verify {
        /// A newest end that an earlier check printed and that was kept elsewhere: fail unless the chain goes through it.
        #[arg(long, value_name = "NUMBER:HASH", value_parser = head)]
        head: Option<Head>,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Show a file's digest, contract, commands and every function it can call, without running a command.
    Inspect {
        /// A core module or a component.
        file: PathBuf,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Write plugins.lock beside the configuration; commit it.
    Lock {
        /// Write nothing; fail where the lock would change.
        #[arg(long)]
        check: bool,
    },
}

/// How to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Reads an end of the chain, as `journal verify` prints it.
fn head(text: &str) -> Result<Head, String> {
    let wrong = || "write it as it was printed: a number, a colon, and 64 hexadecimal digits".to_owned();
    let (number, hash) = text.trim().split_once(':').ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let hash = hash.to_ascii_lowercase();
    // Before the first link there is nothing that a chain could go through.
    if number == 0 || hash.len() != 64 || !hash.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    Ok(Head { number, hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_head_is_read_as_it_is_printed() {
        let hash = "0f".repeat(32);
        assert_eq!(head(&format!("12:{hash}")), Ok(Head { number: 12, hash: hash.clone() }));
        assert_eq!(head(&format!(" 12:{}\n", hash.to_uppercase())), Ok(Head { number: 12, hash: hash.clone() }));
        for wrong in ["", "12", "12:", "12:0f", &format!("0:{hash}"), &format!("-1:{hash}"), &format!("1:{hash}0")] {
            assert!(head(wrong).is_err(), "{wrong}");
        }
    }
}
