//! Rows of the catalogue of faults that are about brokers, logins, certificates, backlogs, devices, floods and clocks. By the whole
//! bridge between Debian's mosquitto and the tenant model, judged by what a colleague sees of people; where a row is about
//! the order of messages alone, by the core on virtual time.
//!
//! Each test says which change of one line of src/ turns it red. Rows about the way to the broker are in `network`.

#[cfg(feature = "sandbox")]
mod backlog;
#[cfg(feature = "sandbox")]
mod certificates;
mod clocks;
#[cfg(feature = "sandbox")]
mod devices;
#[cfg(feature = "sandbox")]
mod flood;
mod logic;
#[cfg(feature = "sandbox")]
mod logins;
#[cfg(feature = "sandbox")]
mod odd;
#[cfg(feature = "sandbox")]
mod overridden;
#[cfg(feature = "sandbox")]
mod payloads;
#[cfg(feature = "sandbox")]
mod restarts;
#[cfg(feature = "sandbox")]
mod switch;
#[cfg(feature = "sandbox")]
mod twins;
#[cfg(feature = "sandbox")]
mod wall;
