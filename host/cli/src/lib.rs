//! The host as a library: reads the command line, runs one subcommand and returns its exit code.
//!
//! The binary `wardroom` is [`main`] with [`Unchanged`]. A program of its own can add capabilities to the same host, and put
//! wrappers around its adapters and its store, with [`Instrument`]; everything else in this crate is private.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage or configuration. Replies and reports go to standard
//! output, the log to standard error.
//! Not here: any decision about permissions (the engine).

mod arguments;
mod commands;
mod report;
mod wiring;

#[cfg(not(feature = "sqlite"))]
compile_error!("a host needs a store: build with `--features sqlite`");

use std::{process::ExitCode, sync::Arc};

use clap::Parser as _;
use wardroom::{EngineBuilder, store::Store};

use wiring::Wiring;

use arguments::{Arguments, AuditCommand, Command, JournalCommand, PluginCommand};

/// The hidden subcommand that runs the supervisor of one exec run.
#[cfg(feature = "exec")]
pub(crate) const SUPERVISE: &str = "supervise";

/// Adds parts to the host, or replaces some of them.
pub trait Instrument: Sync {
    /// Called by each subcommand that reads the configuration, with the adapters of this build. A capability that is added here
    /// is known to every report too.
    fn builder(&self, builder: EngineBuilder) -> EngineBuilder {
        builder
    }

    /// Called once by `wardroom run`, with the open store. The engine gets the store that this returns.
    fn store(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        store
    }
}

/// The host as it is.
#[derive(Debug, Clone, Copy)]
pub struct Unchanged;

impl Instrument for Unchanged {}

/// The exit status of a subcommand.
pub(crate) enum Exit {
    /// Exit code 0.
    Done,
    /// Exit code 1: it failed, or the answer is no.
    Failed,
    /// Exit code 2: wrong usage or configuration.
    Wrong,
}

/// Runs the subcommand that the arguments of this process name.
pub fn main(instrument: &dyn Instrument) -> ExitCode {
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
    let exit = runtime.block_on(run(arguments, instrument));
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

async fn run(arguments: Arguments, instrument: &dyn Instrument) -> anyhow::Result<Exit> {
    let wiring = &Wiring { path: &arguments.config, instrument };
    match arguments.command {
        Command::Run { locked, adopt, bot } => commands::run(wiring, locked, adopt, bot.as_deref()).await,
        Command::Check { connect, output } => commands::check(wiring, connect, output.format).await,
        Command::Audit { output, of: None } => commands::audit(wiring, output.format).await,
        Command::Audit { of: Some(AuditCommand::People { output }), .. } => {
            commands::people(wiring, output.format).await
        }
        Command::Can { user, command, room, output } => {
            commands::can(wiring, &user, &command, room.as_deref(), output.format).await
        }
        Command::Jobs { all, limit, output } => commands::jobs(wiring, all, limit, output.format).await,
        Command::Job { id, output } => commands::job(wiring, &id, output.format).await,
        Command::Journal(JournalCommand::Show { job, output }) => commands::show(wiring, &job, output.format).await,
        Command::Journal(JournalCommand::Verify { head, output }) => {
            commands::verify(wiring, head.as_ref(), output.format).await
        }
        Command::Plugin(PluginCommand::Inspect { file, output }) => {
            commands::inspect(wiring, &file, output.format).await
        }
        Command::Plugin(PluginCommand::Lock { check }) => commands::lock(wiring, check).await,
    }
}
