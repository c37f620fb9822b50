//! Tests of exec pipelines through the engine's trait `Pipelines`, with real programs and real supervisor processes.

mod config;
mod crashes;
mod harness;
mod leftovers;
mod output;
mod processes;
mod runs;
mod sample;
mod secrecy;
