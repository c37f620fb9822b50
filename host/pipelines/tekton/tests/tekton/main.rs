//! Tests of the Tekton backend against a cluster in the test's own process.

mod access;
mod cancel;
mod config;
mod existing;
mod gates;
mod harness;
mod load;
mod lost_answers;
mod outages;
mod output;
mod runs;
mod sign_in;
mod starts;
