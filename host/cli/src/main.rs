//! The binary `wardroom`: reads the command line, does one subcommand, says how it went by its exit code.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage or configuration. Replies and reports go to standard
//! output, the log to standard error.
//! Not here: policy. What may happen is the engine's business.

mod arguments;
mod commands;
#[cfg(feature = "crash-points")]
mod crash;
mod report;
mod wiring;

#[cfg(not(feature = "sqlite"))]
compile_error!("a host keeps its state somewhere: build with `--features sqlite`");

use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, AuditCommand, Command, JournalCommand, PluginCommand};

/// The hidden subcommand that belongs to one run of an exec pipeline.
#[cfg(feature = "exec")]
pub(crate) const SUPERVISE: &str = "supervise";

/// How a subcommand ends.
pub(crate) enum Exit {
    /// It did what was asked.
    Done,
    /// It did not.
    Failed,
    /// The configuration or the usage is wrong.
    Wrong,
}

fn main() -> ExitCode {
    // The supervisor of a run must be small and goes on when the host is gone: no runtime, no log, and its
    // arguments are its own.
    #[cfg(feature = "exec")]
    if std::env::args_os().nth(1).is_some_and(|word| word == SUPERVISE) {
        return wardroom_exec::supervise(std::env::args_os().skip(2));
    }
    let arguments = Arguments::parse();
    report::log(&arguments);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            report::error(&format!("the runtime does not start: {error}"));
            return ExitCode::from(1);
        }
    };
    let exit = runtime.block_on(run(arguments));
    // A thread that reads standard input cannot be called off.
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
        Command::Check { connect, format } => commands::check(config, connect, format).await,
        Command::Audit { format, of: None } => commands::audit(config, format).await,
        Command::Audit { of: Some(AuditCommand::People { format }), .. } => commands::people(config, format).await,
        Command::Can { user, command, room, format } => {
            commands::can(config, &user, &command, room.as_deref(), format).await
        }
        Command::Jobs { all, limit, format } => commands::jobs(config, all, limit, format).await,
        Command::Job { id, format } => commands::job(config, &id, format).await,
        Command::Journal(JournalCommand::Show { job, format }) => commands::show(config, &job, format).await,
        Command::Journal(JournalCommand::Verify { head, format }) => {
            commands::verify(config, head.as_ref(), format).await
        }
        Command::Plugin(PluginCommand::Inspect { file, format }) => commands::inspect(&file, format).await,
        Command::Plugin(PluginCommand::Lock { check }) => commands::lock(config, check).await,
    }
}
