//! `check`: everything that is wrong with a configuration, or what it will do and cost.

use std::path::Path;
use std::time::Duration;

use crate::config::warnings::TOO_MANY_PEOPLE;
use crate::config::{Config, Problem, Problems, Severity};
use crate::presence::{Forecast, Habits, Plan, Policy, Presence, Remedy, forecast};

/// What to check, and the habits of the people for the forecast.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) config: super::ConfigArg,
    /// Exit with 78 if there is a warning, too
    #[arg(long)]
    pub(super) deny_warnings: bool,
    /// Changes of presence per person and working day, for the forecast; a call is two
    #[arg(long, default_value_t = Habits::default().changes_per_day)]
    changes_per_day: f64,
    /// The part of the people who are taken at a time, 0 to 1, for the forecast
    #[arg(long, default_value_t = Habits::default().taken, value_parser = part)]
    taken: f64,
}

impl Args {
    pub(super) fn habits(&self) -> Habits {
        Habits { changes_per_day: self.changes_per_day.max(0.0), taken: self.taken }
    }
}

fn part(text: &str) -> Result<f64, String> {
    let part = text.parse().ok().filter(|part| (0.0..=1.0).contains(part));
    part.ok_or_else(|| "a number from 0 to 1".to_owned())
}

/// What there is to say of a configuration that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What it will do and cost.
    pub summary: String,
    /// What is legal and unwise, without what is allowed.
    pub warnings: Vec<Problem>,
}

/// A summary of a configuration that can be run, with what it costs at Graph if people have these `habits`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(path: &Path, habits: Habits) -> Result<Checked, Problems> {
    let config = Config::load(path)?;
    let mut text = format!(
        "{} is good: {} people, {} signals.",
        path.display(),
        config.plan.people.len(),
        config.plan.signals.len(),
    );
    for (source, mqtt) in config.sources.iter().zip(super::run::mqtt_configs(&config)) {
        text += &format!("\nBroker {} at {}, subscribes to:", source.name, source.url());
        for filter in mqtt.filters {
            text += "\n  ";
            text += &filter;
        }
    }
    text += "\n";
    text += &cost(&config.plan, habits);
    if !config.people.waiting.is_empty() {
        text +=
            &format!("\n{} user names will be looked up at Graph when the bridge runs.", config.people.waiting.len());
    }
    Ok(Checked { summary: text, warnings: warnings(&config, habits) })
}

/// What is legal and unwise, also that there are more people than the settings carry if they have these `habits`.
#[must_use]
pub fn warnings(config: &Config, habits: Habits) -> Vec<Problem> {
    let allowed = config.allowed.iter().any(|name| name == TOO_MANY_PEOPLE);
    let too_many = too_many(&config.plan, habits).filter(|_| !allowed);
    let too_many = too_many.map(|(text, hint)| Problem {
        severity: Severity::Warning(TOO_MANY_PEOPLE),
        key: "presence".to_owned(),
        ..Problem::of_file(text, hint)
    });
    config.warnings.iter().cloned().chain(too_many).collect()
}

/// What people show who are free, with desk sensors that say so.
fn policy(plan: &Plan) -> Policy {
    let shows_available = plan.signals.iter().any(|signal| signal.presence == Some(Presence::Available));
    let mut policy = plan.policy.clone();
    if shows_available {
        policy.when_free = policy.when_free.or(Some(Presence::Available)); // a desk sensor is on for most of the day
    }
    policy
}

/// The forecast in words.
#[must_use]
pub fn cost(plan: &Plan, habits: Habits) -> String {
    let policy = policy(plan);
    let expected = forecast(plan.people.len(), habits, &policy);
    format!(
        "Calls to Graph, with {} changes a day and {:.0} % of the people taken at a time: {:.2}/s, {:.2}/s of them \
         refreshes; {:.0} % of the rate of {}/s.\nWhen everybody changes at once, the last change is sent after {}. These \
         settings carry {} people.",
        habits.changes_per_day,
        habits.taken * 100.0,
        expected.calls,
        expected.refreshes,
        expected.used * 100.0,
        policy.rate,
        span(expected.peak_lag),
        expected.largest,
    )
}

/// Where the budget does not suffice: what becomes of that, and what would help.
#[must_use]
pub fn too_many(plan: &Plan, habits: Habits) -> Option<(String, String)> {
    let (people, policy) = (plan.people.len(), policy(plan));
    let expected = forecast(people, habits, &policy);
    if expected.fits {
        return None;
    }
    let becomes = match stretched(habits, &policy) {
        Some((ceiling, largest)) if people <= largest => format!(
            "sessions will stretch up to {} (presence.max_stale_ceiling, enough for {largest} people) and outlive a bridge that \
             dies by so much",
            span(ceiling)
        ),
        _ => "some will lapse".to_owned(),
    };
    Some((format!("{people} people are too many: {becomes}"), advice(&expected, plan)))
}

/// How far sessions may stretch, and how many people that carries.
fn stretched(habits: Habits, policy: &Policy) -> Option<(Duration, usize)> {
    let ceiling = policy.max_stale_ceiling?;
    let policy = Policy { max_stale: ceiling, ..policy.clone() };
    Some((ceiling, forecast(1, habits, &policy).largest))
}

fn advice(expected: &Forecast, plan: &Plan) -> String {
    let Some(Remedy { max_stale, when_free_off }) = expected.remedy else {
        return "No setting of presence.max_stale or presence.when_free makes them fit: they need a higher presence.rate, \
                which is Graph's to grant, or more than one application."
            .to_owned();
    };
    let mut steps = Vec::new();
    if let Some(max_stale) = max_stale {
        steps.push(format!("presence.max_stale = \"{}\"", span(max_stale)));
    }
    if when_free_off {
        steps.extend(off(&plan.policy, plan));
    }
    format!("This would make them fit: {}.", steps.join(" and "))
}

/// What keeps free people at Available, and how to end that.
fn off<'a>(policy: &Policy, plan: &'a Plan) -> impl Iterator<Item = String> + use<'a> {
    let free = policy.when_free.map(|_| "presence.when_free = \"nothing\"".to_owned());
    let signals = plan.signals.iter().filter(|signal| signal.presence == Some(Presence::Available));
    free.into_iter().chain(signals.map(|signal| format!("signals.{} = \"none\"", signal.name)))
}

/// As the configuration writes it.
fn span(span: Duration) -> String {
    let seconds = span.as_secs_f64().ceil();
    match seconds {
        ..120.0 => format!("{seconds:.0}s"),
        ..7200.0 => format!("{:.0}m", (seconds / 60.0).ceil()),
        _ => format!("{:.0}h", (seconds / 3600.0).ceil()),
    }
}
