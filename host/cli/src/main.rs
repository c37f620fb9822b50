//! The binary `wardroom`: parses the command line, runs one subcommand and returns its exit code.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage or configuration. Replies and reports go to standard output, the log to
//! standard error.
//! Not here: any decision about permissions (the engine).

mod arguments;
mod commands;
#[cfg(feature = "crash-points")]
mod crash;
mod report;
mod wiring;

#[cfg(not(feature = "sqlite"))]
compile_error!("a host needs a store: build with `--features sqlite`");

use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, AuditCommand, Command, JournalCommand, PluginCommand};

/// The hidden subcommand that runs the supervisor of one exec run.
#[cfg(feature = "exec")]
pub(crate) const SUPERVISE: &str = "supervise";

/// The exit status of a subcommand.
pub(crate) enum Exit {
    /// Exit code 0.
    Done,
    /// Exit code 1: it failed, or the answer is no.
    Failed,
    /// Exit code 2: wrong usage or configuration.
    Wrong,
}

fn main() -> ExitCode {
    // A supervisor outlives the host and must be small: it has no runtime, no log and its own arguments.
    #[cfg(feature = "exec")]
    if std::env::args_os().nth(1).is_some_and(|word| word == SUPERVISE) {
        return wardroom_exec::supervise(std::env::args_os().skip(2));
    }
    let arguments = Arguments::parse();
    report::log(&arguments);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            report::error(&format!("cannot start the async runtime: {error}"));
            return ExitCode::from(1);
        }
    };
    let exit = runtime.block_on(run(arguments));
    // A thread that reads standard input cannot be cancelled.
    runtime.shutdown_background();
    match exit {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Failed) => ExitCode::from(1),
        Ok(Exit::Wrong) => ExitCode::from(2),
        Err(error) => {
            report::error(&format!("{error:#}"));
            ExitCode::from(1)
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    let config = &arguments.config;
    match arguments.command {
        Command::Run { locked, adopt, bot } => commands::run(config, locked, adopt, bot.as_deref()).await,
        Command::Check { connect, output } => commands::check(config, connect, output.format).await,
        Command::Audit { output, of: None } => commands::audit(config, output.format).await,
        Command::Audit { of: Some(AuditCommand::People { output }), .. } => {
            commands::people(config, output.format).await
        }
        Command::Can { user, command, room, output } => {
            commands::can(config, &user, &command, room.as_deref(), output.format).await
        }
        Command::Jobs { all, limit, output } => commands::jobs(config, all, limit, output.format).await,
        Command::Job { id, output } => commands::job(config, &id, output.format).await,
        Command::Journal(JournalCommand::Show { job, output }) => commands::show(config, &job, output.format).await,
        Command::Journal(JournalCommand::Verify { head, output }) => {
            commands::verify(config, head.as_ref(), output.format).await
        }
        Command::Plugin(PluginCommand::Inspect { file, output }) => commands::inspect(&file, output.format).await,
        Command::Plugin(PluginCommand::Lock { check }) => commands::lock(config, check).await,
    }
}
