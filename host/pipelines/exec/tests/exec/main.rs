//! Exec pipelines through the engine's trait, with real programs and real supervisors.

mod config;
mod crashes;
mod harness;
mod output;
mod processes;
mod runs;
mod sample;
mod secrecy;
