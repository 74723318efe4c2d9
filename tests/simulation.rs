//! The core against a hostile world, on virtual time, from a seed. What colleagues see is decided by the tenant model,
//! what they should see by an oracle; neither shares code with the core. `tests/simulate --seeds N [--seed S]` runs more.

mod oracle;
mod world;

use std::collections::BTreeMap;

use self::world::{Report, World};

const PEOPLE: usize = 10;
const HOURS: u64 = 24;

/// What a run of some length must have met; otherwise it proves less than it says.
const SITUATIONS: &[&str] = &[
    // Outcomes of calls.
    "accepted",
    "throttled",
    "not sent",
    "ambiguous",
    "unauthorised",
    "forbidden",
    "no such user",
    "refused",
    // Kinds of faults.
    "some of everything",
    "no token",
    "Graph is silent",
    "a storm of 429",
    "the application is refused",
    "a publish that was lost",
    "a message out of order",
    "a message twice",
    "a flapping device",
    "a device that died",
    "broker lost",
    "broker without its store",
    "deaf link",
    "killed",
    "power cut",
    "asked to stop",
    "suspended",
    "wall clock stepped",
    "a rule changed",
    "two people change desks",
    // What operators and replicas do.
    "somebody pauses",
    "somebody leaves the list",
    "another replica took over",
    "another replica calls",
    // Situations that have their traps.
    "a replay of what was known",
    "a replay of a dead topic",
    "a backlog",
    "an end on its own",
    "an extension at the end",
    "a lease that ended during a gate",
    "a write that landed late over another",
    "a late landing after a hang-up",
    "killed with a call out",
    "killed between answer and journal",
    "a boot with a clock that went backwards",
    "a clean stop",
    "a message about somebody who is not listed",
    "an alarm",
];

fn run(seeds: impl Iterator<Item = u64>) -> Report {
    let mut total = Report::default();
    let mut coverage: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in seeds {
        let mut report = World::new(seed, PEOPLE, HOURS).run();
        if !report.violations.is_empty() {
            report.violations = World::new(seed, PEOPLE, HOURS).traced().run().violations;
        }
        total.hours += report.hours;
        total.calls += report.calls;
        total.throttled += report.throttled;
        total.worst_stuck = total.worst_stuck.max(report.worst_stuck);
        for (total, worst) in total.worst_stuck_truth.iter_mut().zip(report.worst_stuck_truth) {
            *total = worst.max(*total);
        }
        total.violations.extend(report.violations);
        for (what, times) in report.coverage {
            *coverage.entry(what).or_default() += times;
        }
        if !total.violations.is_empty() {
            break;
        }
    }
    total.coverage = coverage;
    total
}

#[track_caller]
fn check(report: &Report) {
    assert!(
        report.violations.is_empty(),
        "{} violations, the first:\n{}",
        report.violations.len(),
        report.violations[0]
    );
    if report.hours < 20 * HOURS {
        return; // one seed cannot meet everything
    }
    let missing: Vec<_> = SITUATIONS.iter().filter(|what| !report.coverage.contains_key(**what)).collect();
    assert!(missing.is_empty(), "never reached: {missing:?}");
}

/// Seeds that once found something.
const FOUND: [u64; 11] = [
    25_846_486_952_561,
    25_846_486_956_370,
    1_275_269_523_857,
    12_156_140_171_372,
    12_156_140_177_820,
    19_986_449_061_098,
    1_744_818_176_608,
    8_932_897_497_974,
    22_356_471_284_560,
    1_795_613_870_768,
    1_795_614_629_002,
];

#[test]
fn a_fixed_set_of_seeds() {
    check(&run((1..=20).chain(FOUND)));
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a stopwatch")]
fn fresh_seeds_for_a_minute() {
    let start = std::time::Instant::now();
    let first = fastrand::u64(..1 << 48);
    let report = run((first..).take_while(|_| start.elapsed().as_secs() < 60));
    println!("fresh seeds from {first}: {} simulated hours", report.hours);
    assert!(
        report.violations.is_empty(),
        "{} violations, the first:\n{}",
        report.violations.len(),
        report.violations[0]
    );
}

#[test]
#[allow(clippy::disallowed_methods, reason = "tests/simulate says which seeds")]
#[ignore = "as long as one likes: tests/simulate"]
fn many() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = number("SIMULATE_SEEDS").unwrap_or(100);
    let first = number("SIMULATE_SEED").unwrap_or_else(|| fastrand::u64(..1 << 48));
    let report = run(first..first + seeds);
    println!("seeds {first} to {}, {} simulated hours of {PEOPLE} people", first + seeds - 1, report.hours);
    println!("calls {}, answered 429: {}", report.calls, report.throttled);
    println!("where max_stale is 5 min, the longest that anybody was seen with what was");
    println!("  not wanted any more: {} ms", report.worst_stuck);
    let [told, unheard, never] = report.worst_stuck_truth;
    println!("  not true any more: {told} ms if told, {unheard} ms if not heard, {never} ms if never told");
    for (what, times) in &report.coverage {
        println!("  {times:>8} {what}");
    }
    println!("violations: {}", report.violations.len());
    for violation in &report.violations {
        println!("{violation}");
    }
    check(&report);
}
