//! The command line, as clap reads it.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// A bot in your chat room that runs sandboxed plugins, and does only what you granted.
#[derive(Debug, Parser)]
#[command(name = "wardroom", version)]
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
    /// Report what each plugin can do, may do and did.
    Audit {
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Look at plugins, and lock them.
    #[command(subcommand)]
    Plugin(PluginCommand),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }
}
