//! `doctor`: why it does not work. Asks one thing after the other, in the order in which things fail, and says of each
//! whether it is well, and if not, what to do. Nobody's presence is touched unless a person is named for it.

mod broker;
mod graph;
mod people;
mod probe;

use std::process::ExitCode;

use serde_json::{Value, json};

use super::check::{cost, too_many};
use super::{CONFIG, ConfigArg, block_on, run};
use crate::clock::Clock;
use crate::config::{Config, Problem};
use crate::graph::{Failure, Graph};
use crate::presence::Habits;
use crate::telemetry::Telemetry;

/// Options of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Also set, read and clear the presence of this person, and say what Graph shows: a name from [users]
    #[arg(long, value_name = "USER")]
    probe: Option<String>,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ok,
    Warning,
    Failed,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Failed => "failed",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
struct Finding {
    check: &'static str,
    state: State,
    text: String,
    remedy: String,
    request_id: Option<String>,
    client_request_id: Option<String>,
}

impl Finding {
    fn new(check: &'static str, state: State, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (text, remedy) = (text.into(), remedy.into());
        Finding { check, state, text, remedy, request_id: None, client_request_id: None }
    }

    fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Finding::new(check, State::Ok, text, "")
    }

    /// With the names of the request, for Microsoft's support.
    fn of(self, failure: &Failure) -> Self {
        let (request_id, client_request_id) = (failure.request_id.clone(), failure.client_request_id.clone());
        Finding { request_id, client_request_id, ..self }
    }

    fn json(&self) -> Value {
        json!({
            "check": self.check, "state": self.state.as_str(), "text": self.text,
            "remedy": Some(&self.remedy).filter(|remedy| !remedy.is_empty()),
            "request_id": self.request_id, "client_request_id": self.client_request_id,
        })
    }
}

/// What was found, told as it is found.
struct Report {
    json: bool,
    findings: Vec<Finding>,
    not_checked: Vec<&'static str>,
}

impl Report {
    fn tell(&mut self, finding: Finding) {
        if !self.json {
            say!("{:8} {:13} {}", finding.state.as_str(), finding.check, finding.text);
            let ids = [("request-id", &finding.request_id), ("client-request-id", &finding.client_request_id)];
            let ids = ids.iter().filter_map(|(name, id)| id.as_ref().map(|id| format!("{name} {id}")));
            let remedy = Some(format!("→ {}", finding.remedy)).filter(|_| !finding.remedy.is_empty());
            for line in remedy.into_iter().chain(ids) {
                say!("{:22} {line}", "");
            }
        }
        self.findings.push(finding);
    }

    /// What needs something that is not there.
    fn skip(&mut self, checks: &[&'static str]) {
        self.not_checked.extend(checks);
    }

    fn end(&self) -> ExitCode {
        let failed = self.findings.iter().filter(|finding| finding.state == State::Failed).count();
        if self.json {
            let checks: Vec<Value> = self.findings.iter().map(Finding::json).collect();
            say!("{:#}", json!({ "ok": failed == 0, "checks": checks, "not_checked": self.not_checked }));
        } else {
            if !self.not_checked.is_empty() {
                say!("not checked, since what they need failed: {}", self.not_checked.join(", "));
            }
            say!(
                "{}",
                if failed == 0 { "All is well, but for the warnings above, if any." } else { "It cannot work yet." }
            );
        }
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Looks at everything; exit code 0 if nothing failed, 1 if something did, 78 if the configuration cannot be used.
#[must_use]
pub fn doctor(args: &Args) -> ExitCode {
    let mut report = Report { json: args.json, findings: Vec::new(), not_checked: Vec::new() };
    let config = match Config::load(&args.config.config) {
        Ok(config) => config,
        Err(problems) => {
            let remedy = "mend the lines named; `presence-bridge check` says the same";
            report.tell(Finding::new("configuration", State::Failed, problems.to_string(), remedy));
            report.end();
            return ExitCode::from(CONFIG);
        }
    };
    match block_on(look(&config, args.probe.as_deref(), &mut report)) {
        Ok(()) => report.end(),
        Err(error) => {
            eprintln!("presence-bridge: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn look(config: &Config, probe: Option<&str>, report: &mut Report) {
    settings(config, report);
    broker::look(config, report).await;
    report.tell(graph::cloud(config));
    let clock = Clock::live();
    match Graph::start(run::graph_config(&config.graph), clock.clone(), Telemetry::new(clock)) {
        Ok(graph) => tenant(config, &graph, probe, report).await,
        Err(error) => {
            report.tell(Finding::new("token", State::Failed, error, "mend [graph]"));
            report.skip(&["permissions", "application", "clock", "people"]);
            report.skip(probe.map(|_| "probe").as_slice());
        }
    }
    report.tell(budget(config));
}

async fn tenant(config: &Config, graph: &Graph, probe: Option<&str>, report: &mut Report) {
    let claims = match graph.claims().await {
        Ok(claims) => claims,
        Err(none) => {
            report.tell(graph::no_token(&none));
            graph::credential(graph, report);
            report.tell(graph::clock(graph.clock_skew()));
            report.skip(&["permissions", "application", "people"]);
            return report.skip(probe.map(|_| "probe").as_slice());
        }
    };
    report.tell(Finding::ok("token", format!("by credential {}", config.graph.credential.name())));
    graph::credential(graph, report);
    graph::claims(config, claims.as_ref(), report);
    report.tell(graph::clock(graph.clock_skew()));
    people::look(config, graph, report).await;
    if let Some(label) = probe {
        probe::look(config, graph, label, report).await;
    }
}

fn settings(config: &Config, report: &mut Report) {
    let people = config.plan.people.len();
    let text =
        format!("{people} people, {} signals, {} topics", config.plan.signals.len(), config.plan.rules.filters().len());
    report.tell(Finding::ok("configuration", text));
    for Problem { key, text, hint, .. } in config.warnings.clone() {
        report.tell(Finding::new("settings", State::Warning, format!("{key}: {text}"), hint));
    }
}

fn budget(config: &Config) -> Finding {
    let text = cost(&config.plan, Habits::default()).replace('\n', " ");
    match too_many(&config.plan, Habits::default()) {
        None => Finding::ok("budget", text),
        Some((too_many, remedy)) => Finding::new("budget", State::Warning, format!("{text} {too_many}"), remedy),
    }
}
