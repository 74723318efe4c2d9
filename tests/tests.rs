//! One integration binary. What belongs where:
//!
//! * `soak`: faults in turn over a live system, in real time, for as long as one likes.
//! * `stories`: the core and the tenant model on virtual time; what a colleague sees.
//! * `lifecycle`: the core at its end, as one of several replicas, and where the budget does not suffice.
//! * `simulation`: the core in a hostile world from a seed, judged by the tenant model and an oracle of its own.
//! * `gate`: the budget and the gate, measured from outside.
//! * `queue`: whose turn it is at Graph, as properties, said again in plain code.
//! * `rush`: 10,000 people at once; the budget as Graph counts it.
//! * `small_worlds`: every path of one person to a depth, healed, must come right.
//! * `readback`: what is held, compared with what colleagues see.
//! * `renewals`: the short cut of repeats, against a core without it.
//! * `replay`: recordings on virtual time, golden files; `explain` and `record`, the real program.
//! * `rules`, `configuration`, `presets`: mapping and configuration files; the rules that are part of the program.
//! * `corpus`: what fuzzing found worth keeping, through the same functions as the fuzzer's.
//! * `people`: who is listed, and changes of that under a running bridge.
//! * `forecast`: what a configuration is said to cost, against simulated hours of the core.
//! * `tenant`: the model itself, against what Graph documents.
//! * `sandbox`: its servers, where the model is not enough.
//! * `mqtt`: the adapter against Debian's mosquitto, and its traps against a broker of bytes; what brokers do,
//!   one list of cases for mosquitto and the embedded one.
//! * `faults`: rows 1 to 33 of the catalogue of faults by the whole bridge: what a colleague sees.
//! * `brokers`: what each broker really answers to what we rely on, and our own configuration of mosquitto.
//! * `own_topics`, `sources`: what the bridge says and takes on its own topics; several brokers, and broken ones.
//! * `network`: the way to the broker, broken in every way; what a colleague sees of it.
//! * `crash`: the real program, killed at random instants under load.
//! * `store`: the journal, every byte of it, and what a restart goes on from.
//! * `graph`: the adapter against the sandbox over sockets.
//! * `admin`: what a running bridge says of itself: probes, metrics, `status`.
//! * `doctor`: why it does not work; the message for each thing that people run into at Graph.
//! * `unmapped`: whom messages name and nobody knows, through the real program.
//! * `deploy`, `security`: what is shipped to be installed; each control that SECURITY.md names.
//! * `binary`: the real program end to end, between mosquitto and the sandbox.
//! * `process`: the program as the system has it: signals, service manager, panics, descriptors, one instance a directory.
//! * `scenarios`: what the simulator was asked to decide, through the real program, hours on a faster clock.
//! * `home_assistant`: what is announced there, by what was learnt from the real one (`tests/home_assistant/run`).
//! * `figures`: measured and printed, never asserted.
//! * `counting`: how `tests/run` counts, before a cargo that is played.
//! * `house`: which module may know which.
//!
//! Without features only what needs the pure core alone is built, in seconds: `stories`,
//! `lifecycle`, `gate`, `queue`, `small_worlds`, `simulation`, `rush`, `house`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, reason = "tests may")]
#![allow(missing_docs, unreachable_pub, reason = "nobody calls a test")]

#[cfg(feature = "sandbox")]
mod admin;
#[cfg(feature = "sandbox")]
mod binary;
#[cfg(feature = "sandbox")]
mod brokers;
#[cfg(feature = "sandbox")]
mod configuration;
#[cfg(feature = "sandbox")]
mod corpus;
mod counting;
#[cfg(feature = "sandbox")]
mod crash;
#[cfg(feature = "sandbox")]
mod deploy;
#[cfg(feature = "sandbox")]
mod doctor;
mod faults;
#[cfg(feature = "sandbox")]
mod figures;
#[cfg(feature = "sandbox")]
mod forecast;
mod gate;
#[cfg(feature = "sandbox")]
mod graph;
#[cfg(feature = "sandbox")]
mod home_assistant;
mod house;
mod lifecycle;
#[cfg(feature = "sandbox")]
mod mqtt;
#[cfg(feature = "sandbox")]
mod network;
#[cfg(feature = "sandbox")]
mod own_topics;
#[cfg(feature = "sandbox")]
mod people;
#[cfg(feature = "sandbox")]
mod presets;
#[cfg(feature = "sandbox")]
mod process;
mod queue;
mod readback;
mod renewals;
#[cfg(feature = "sandbox")]
mod replay;
#[cfg(feature = "sandbox")]
mod rules;
mod rush;
#[cfg(feature = "sandbox")]
mod sandbox;
#[cfg(feature = "sandbox")]
mod scenarios;
#[cfg(feature = "sandbox")]
mod security;
mod simulation;
mod small_worlds;
#[cfg(feature = "sandbox")]
mod soak;
#[cfg(feature = "sandbox")]
mod sources;
#[cfg(feature = "sandbox")]
mod store;
mod stories;
mod support;
#[cfg(feature = "sandbox")]
mod tenant;
#[cfg(feature = "sandbox")]
mod unmapped;
