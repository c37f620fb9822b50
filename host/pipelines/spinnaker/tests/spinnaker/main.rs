//! Tests of the Spinnaker backend through the engine's trait `Pipelines`, against a fake Gate.

mod cancel;
mod certificates;
mod config;
mod existing;
mod harness;
mod load;
mod lost_answers;
mod outages;
mod output;
mod runs;
mod sign_in;
mod stages;
mod starts;
