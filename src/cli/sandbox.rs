//! `sandbox`: the simulated tenant alone, for people who want to test other software against it.

mod people;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;

use super::{block_on, finish, signals};
use crate::clock::Clock;
use crate::sandbox::tenant::{Basis, Cloud, Profile, Settings, assumptions};
use crate::sandbox::{Listen, Sandbox};

/// Options of `sandbox`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where it listens with TLS; port 0: one that is free.
    #[arg(long, default_value = "127.0.0.1:8443", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where it listens in plain text, for the bridge, curl and identity endpoints.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    http: SocketAddr,
    /// One more name or address for the certificate, beside localhost, 127.0.0.1 and ::1.
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// The CA of this run is written here, for clients to trust.
    #[arg(long, default_value = "sandbox-ca.pem", value_name = "FILE")]
    ca_file: PathBuf,
    /// People, one a line: OBJECT-ID[,UPN[,NAME[,normal|no_teams|guest]]].
    #[arg(long, value_name = "FILE", conflicts_with = "people")]
    users: Option<PathBuf>,
    /// So many people, made up.
    #[arg(long, default_value_t = 3, value_name = "N")]
    people: u32,
    /// Every GUID is somebody, listed or not.
    #[arg(long)]
    anybody: bool,
    /// Directory id.
    #[arg(long, default_value = "aaaaaaaa-0000-4000-8000-000000000001", value_name = "GUID")]
    tenant_id: uuid::Uuid,
    /// The application's id.
    #[arg(long, default_value = "bbbbbbbb-0000-4000-8000-000000000002", value_name = "GUID")]
    client_id: uuid::Uuid,
    /// The application's secret: it opens nothing but this sandbox.
    #[arg(long, default_value = "sandbox-secret", value_name = "TEXT")]
    secret: String,
    /// An application permission; again for more.
    #[arg(long, default_value = "Presence.ReadWrite.All", value_name = "ROLE")]
    role: Vec<String>,
    /// Which of the limits that Microsoft prints: 1,500 calls in 30 s, or 10,000.
    #[arg(long, value_enum, default_value_t = Throttle::Classic)]
    throttle: Throttle,
    /// In which cloud.
    #[arg(long, value_enum, default_value_t = InCloud::Global)]
    cloud: InCloud,
    /// Where all chance comes from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Its clock runs so many times faster than life; lifetimes of tokens stay real.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    speed: u32,
    /// Print what Graph is taken to do, each with what it rests on, and end.
    #[arg(long)]
    assumptions: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Throttle {
    /// 1,500 in 30 s
    Classic,
    /// 10,000 in 30 s
    #[value(name = "2026")]
    Of2026,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum InCloud {
    /// Global, and GCC
    Global,
    /// GCC High (L4)
    GccHigh,
    /// `DoD` (L5)
    Dod,
    /// 21Vianet: no presence there
    China,
}

/// Serves until a signal comes.
#[must_use]
pub fn sandbox(args: &Args) -> ExitCode {
    if args.assumptions {
        print_assumptions();
        return ExitCode::SUCCESS;
    }
    finish(block_on(serve(args)).flatten())
}

fn print_assumptions() {
    for row in assumptions() {
        let basis = match row.basis {
            Basis::Documented => "documented",
            Basis::Observed => "observed",
            Basis::Assumed => "assumed",
        };
        say!("{basis:10}  {}\n            {} = {}\n            {}", row.about, row.name, row.value, row.source);
    }
}

async fn serve(args: &Args) -> Result<(), String> {
    let clock = Clock::faster(args.speed);
    let settings = settings(args)?;
    let listen = Listen { https: Some(args.listen), http: Some(args.http), names: args.name.clone() };
    let sandbox = Sandbox::listen(clock.clone(), settings.clone(), listen).await;
    let sandbox = sandbox.map_err(|error| format!("{error}; --listen and --http say where else"))?;
    let ca_file = std::path::absolute(&args.ca_file).unwrap_or_else(|_| args.ca_file.clone());
    let pem = sandbox.ca_pem().unwrap_or_default();
    std::fs::write(&ca_file, pem).map_err(|error| format!("cannot write {}: {error}", ca_file.display()))?;
    introduce(&sandbox, &settings, &clock, &ca_file);
    signals::asked_to_end().await;
    sandbox.stop().await;
    Ok(())
}

fn settings(args: &Args) -> Result<Settings, String> {
    let people = match &args.users {
        Some(path) => people::read(path)?,
        None => people::made_up(args.people),
    };
    let mut settings = Settings {
        tenant_id: args.tenant_id.to_string(),
        client_id: args.client_id.to_string(),
        secrets: vec![args.secret.clone()],
        roles: args.role.clone(),
        limit: match args.throttle {
            Throttle::Classic => Profile::Classic,
            Throttle::Of2026 => Profile::Of2026,
        }
        .limit(),
        cloud: match args.cloud {
            InCloud::Global => Cloud::Global,
            InCloud::GccHigh => Cloud::GccHigh,
            InCloud::Dod => Cloud::Dod,
            InCloud::China => Cloud::China,
        },
        seed: args.seed,
        ..Settings::for_users(people.iter().map(|(id, _)| id.clone()))
    };
    settings.people = people.into_iter().collect();
    settings.switches.anybody = args.anybody;
    Ok(settings)
}

/// Which address a client on this machine writes: an address that means all of them is no name.
fn origin(scheme: &str, address: Option<SocketAddr>, host: &str) -> String {
    let Some(address) = address else { return String::new() };
    format!("{scheme}://{host}:{}", address.port())
}

fn introduce(sandbox: &Sandbox, settings: &Settings, clock: &Clock, ca_file: &Path) {
    let https = origin("https", sandbox.https(), "localhost");
    let http = origin("http", sandbox.http(), "127.0.0.1");
    let (ca, limit, seed) = (ca_file.display(), settings.limit, settings.seed);
    let Settings { tenant_id, client_id, .. } = settings;
    say!("Simulated tenant {tenant_id}, {} people, {limit} calls in 30 s, seed {seed}.", settings.users.len());
    say!("  {https}  Graph and tokens with TLS; trust {ca}");
    say!("  {http}  the same in plain text, and identity endpoints");
    say!("  application {client_id}, secret {}, {}", settings.secrets.join(" "), settings.roles.join(" "));
    for id in settings.users.iter().take(3) {
        let name = settings.people.get(id).map_or("", |person| person.upn.as_str());
        say!("  person {id} {name}");
    }
    say!("Point clients at it (docs/sandbox.md has each in full):");
    say!("  bridge.toml  [graph] login_url and graph_url = \"{https}\", ca_file = \"{ca}\"");
    say!("  Python       authority=\"{https}\", disable_instance_discovery=True, connection_verify=\"{ca}\"");
    say!("  Node         authorityHost: \"{https}\", disableInstanceDiscovery: true; NODE_EXTRA_CA_CERTS={ca}");
    say!("  machine      IDENTITY_ENDPOINT={http}/msi/token IDENTITY_HEADER={}", settings.identity_header);
    say!("  yourself     curl {http}/_sim/state, /_sim/log, /_sim/metrics");
    if clock.speed() > 1 {
        let (speed, since) = (clock.speed(), clock.since().as_millis());
        say!("Its clock runs {speed} times faster; a bridge that shall agree: run --clock {speed}@{since}");
    }
}
