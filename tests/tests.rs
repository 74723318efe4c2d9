//! One integration binary. What belongs where:
//!
//! * `stories`: the core and the tenant model on virtual time; what a colleague sees.
//! * `simulation`: the core in a hostile world from a seed, judged by the tenant model and an oracle of its own.
//! * `rush`: 10,000 people at once; the budget as Graph counts it.
//! * `small_worlds`: every path of one person to a depth, healed, must come right.
//! * `rules`, `configuration`: mapping and configuration files.
//! * `forecast`: what a configuration is said to cost, against simulated hours of the core.
//! * `tenant`: the model itself, against what Graph documents.
//! * `sandbox`: its servers, where the model is not enough.
//! * `mqtt`: the adapter against Debian's mosquitto, and its traps against a broker of bytes.
//! * `graph`: the adapter against the sandbox over sockets.
//! * `binary`: the real program end to end, between mosquitto and the sandbox.
//! * `figures`: measured and printed, never asserted.
//! * `house`: which module may know which.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, reason = "tests may")]
#![allow(missing_docs, unreachable_pub, reason = "nobody calls a test")]

mod binary;
mod configuration;
mod figures;
mod forecast;
mod graph;
mod house;
mod mqtt;
mod rules;
mod rush;
mod sandbox;
mod simulation;
mod small_worlds;
mod stories;
mod support;
mod tenant;
