//! The host as a library: reads the command line, runs one subcommand and returns its exit code.
//!
//! The binary `wardroom` is [`main`] with [`Unchanged`]. Another program can use [`Instrument`] to add capabilities to
//! the same host, or to wrap its adapters and its database. The other items of this crate are private.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage or configuration. Replies and reports go to standard output, the log to
//! standard error.
//! Not here: decisions about permissions (`host/engine`).

mod arguments;
mod commands;
mod report;
mod wiring;

#[cfg(not(feature = "sqlite"))]
compile_error!("a host needs a store: build with `--features sqlite`");

use std::{process::ExitCode, sync::Arc};

use clap::Parser as _;
use wardroom::{EngineBuilder, store::Store};

use arguments::{Arguments, AuditCommand, Command, JournalCommand, PluginCommand};
use commands::{audit, can, check, job, jobs, journal_show, journal_verify, plugin_inspect, plugin_lock, run};
use wiring::Wiring;

/// The name of a hidden subcommand. The host starts itself with this subcommand as the supervisor process of one run of
/// a pipeline of the kind `exec`.
#[cfg(feature = "exec")]
pub(crate) const SUPERVISE: &str = "supervise";

/// The name of a hidden subcommand. The host starts itself with this subcommand to compile one plugin.
pub(crate) const COMPILE: &str = "compile-plugin";

/// Customizes the host in another program: adds capabilities (host calls that plugins can import), or wraps the
/// adapters and the store.
pub trait Instrument: Sync {
    /// Returns the engine builder with the program's additions. `builder` already has the adapters of this build. Each
    /// subcommand that reads the configuration or a plugin file calls this function, so that its report includes the
    /// added capabilities.
    fn builder(&self, builder: EngineBuilder) -> EngineBuilder {
        builder
    }

    /// Returns the store that the engine uses: `store`, or a wrapper around it. `store` is the open database.
    /// `wardroom run` calls this function once.
    fn store(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        store
    }
}

/// An [`Instrument`] that changes nothing. The binary `wardroom` uses it.
#[derive(Debug, Clone, Copy)]
pub struct Unchanged;

impl Instrument for Unchanged {}

/// The outcome of a subcommand, with its exit code.
pub(crate) enum Exit {
    Done = 0,
    /// The subcommand failed, or `wardroom can` printed `no`.
    Failed = 1,
    /// The command line arguments or the configuration are wrong.
    Invalid = 2,
}

/// Runs the subcommand in the arguments of this process, and returns its exit code.
pub fn main(instrument: &dyn Instrument) -> ExitCode {
    // A supervisor outlives the host and must be small, so it starts without an async runtime and without a log.
    #[cfg(feature = "exec")]
    if std::env::args_os().nth(1).is_some_and(|word| word == SUPERVISE) {
        return wardroom_exec::supervise(std::env::args_os().skip(2));
    }
    if std::env::args_os().nth(1).is_some_and(|word| word == COMPILE) {
        return match wardroom::prelude::Engine::compile_plugin(std::io::stdin(), std::io::stdout()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => ExitCode::from(report::failed(&error.to_string()) as u8),
        };
    }
    let arguments = Arguments::parse();
    report::log(&arguments);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let exit = report::failed(&format!("the async runtime cannot be started: {error}"));
            return ExitCode::from(exit as u8);
        }
    };
    let exit = runtime.block_on(run_command(arguments, instrument));
    // Do not wait for the thread that reads standard input, because it cannot be cancelled.
    runtime.shutdown_background();
    let exit = exit.unwrap_or_else(|error| report::failed(&format!("{error:#}")));
    ExitCode::from(exit as u8)
}

async fn run_command(arguments: Arguments, instrument: &dyn Instrument) -> anyhow::Result<Exit> {
    let wiring = &Wiring { path: &arguments.config, instrument };
    match arguments.command {
        Command::Run { locked, adopt, bot } => run::run(wiring, locked, adopt, bot.as_deref()).await,
        Command::Check { connect, output } => check::check(wiring, connect, output.format).await,
        Command::Audit { output, of: None } => audit::audit(wiring, output.format).await,
        Command::Audit { of: Some(AuditCommand::People { output }), .. } => audit::people(wiring, output.format).await,
        Command::Can { user, command, room, output } => {
            can::can(wiring, &user, &command, room.as_deref(), output.format).await
        }
        Command::Jobs { all, limit, output } => jobs::jobs(wiring, all, limit, output.format).await,
        Command::Job { id, output } => job::job(wiring, &id, output.format).await,
        Command::Journal(JournalCommand::Show { job, output }) => journal_show::show(wiring, &job, output.format).await,
        Command::Journal(JournalCommand::Verify { head, output }) => {
            journal_verify::verify(wiring, head.as_ref(), output.format).await
        }
        Command::Plugin(PluginCommand::Inspect { file, output }) => {
            plugin_inspect::inspect(wiring, &file, output.format).await
        }
        Command::Plugin(PluginCommand::Lock { check, accept_old }) => {
            plugin_lock::lock(wiring, check, accept_old).await
        }
    }
}
