//! Tests of the Jenkins backend through the engine's trait `Pipelines`, against a fake Jenkins.

mod cancel;
mod config;
mod harness;
mod load;
mod lost_answers;
mod outages;
mod output;
mod runs;
mod sign_in;
mod stages;
mod starts;
