//! The forecast against simulated hours of the core itself: calls per second, the rush, and where a tenant is too large.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use presence_bridge::cli::check::{cost, too_many};
use presence_bridge::presence::backoff::fraction;
use presence_bridge::presence::{
    Action, Cause, Core, Forecast, Habits, Held, Link, Mono, Now, Outcome, PersonId, Plan, Policy, Presence, Publish,
    Signal, SourceId, Ticket, Timestamp, forecast,
};

use crate::support::plan;

const ROUND_TRIP: Duration = Duration::from_millis(100);
const HOUR: u64 = 3600;

/// An office on virtual time: everybody is taken and free in turn, for times that are exponentially distributed.
struct Office {
    core: Core,
    now: Now,
    habits: Habits,
    taken: Vec<bool>,
    changes: BinaryHeap<Reverse<(Mono, usize)>>,
    answers: VecDeque<(Mono, Ticket)>,
    dice: u64,
    calls: u32,
    refreshes: u32,
    /// What was sent last.
    sent: HashMap<PersonId, Option<Presence>>,
    /// Calls that set again what should have been refreshed.
    lapsed: u32,
}

impl Office {
    fn open(people: usize, habits: Habits, policy: &Policy) -> Office {
        let now = Now { mono: Mono::from_millis(1_000_000), wall: Timestamp::from_millis(1_795_000_000_000) };
        let core = Core::new(now, Arc::new(plan::office(people, policy.clone())));
        let mut office = Office {
            core,
            now,
            habits,
            taken: vec![false; people],
            changes: BinaryHeap::new(),
            answers: VecDeque::new(),
            dice: 0,
            calls: 0,
            refreshes: 0,
            sent: HashMap::new(),
            lapsed: 0,
        };
        office.core.handle_link(now, SourceId(0), Link::Up { session_present: false, expiry: Duration::ZERO });
        for person in 0..people {
            office.taken[person] = office.roll() < habits.taken;
            office.say(person);
            office.plan_change(person);
        }
        office
    }

    fn roll(&mut self) -> f64 {
        self.dice += 1;
        fraction(self.dice)
    }

    fn plan_change(&mut self, person: usize) {
        let stays = self.habits.changes_per_day / 2.0 / (8.0 * 3600.0);
        let part = if self.taken[person] { self.habits.taken } else { 1.0 - self.habits.taken };
        let stay = -(1.0 - self.roll()).ln() * part / stays;
        self.changes.push(Reverse((self.now.mono + Duration::from_secs_f64(stay), person)));
    }

    fn say(&mut self, person: usize) {
        let topic = format!("presence-bridge/in/p{person}/call");
        let payload = if self.taken[person] { "on" } else { "off" };
        let publish = Publish { topic: topic.as_bytes(), payload: payload.as_bytes(), retain: false, expiry: None };
        assert!(self.core.handle_publish(self.now, SourceId(0), &publish).steps[0].result.is_ok());
    }

    fn perform(&mut self) {
        while let Some(action) = self.core.poll_action() {
            let (ticket, person, pair, cause) = match action {
                Action::SetPresence { ticket, person, presence, cause, .. } => (ticket, person, Some(presence), cause),
                Action::ClearPresence { ticket, person, .. } => (ticket, person, None, Cause::Change),
                _ => continue,
            };
            self.calls += 1;
            self.refreshes += u32::from(cause == Cause::Refresh);
            let again = self.sent.insert(person, pair) == Some(pair);
            self.lapsed += u32::from(again && cause == Cause::Change);
            self.answers.push_back((self.now.mono + ROUND_TRIP, ticket));
        }
    }

    fn drive(&mut self, seconds: u64) {
        let end = self.now.mono + Duration::from_secs(seconds);
        loop {
            self.perform();
            let timeout = self.core.poll_timeout().map_or(Mono::MAX, |deadline| deadline.mono);
            let answer = self.answers.front().map_or(Mono::MAX, |answer| answer.0);
            let change = self.changes.peek().map_or(Mono::MAX, |change| change.0.0);
            let next = timeout.min(answer).min(change).max(self.now.mono);
            let span = next.min(end).since(self.now.mono);
            self.now = Now { mono: self.now.mono + span, wall: self.now.wall + span };
            if next > end {
                return;
            }
            if answer <= next {
                let (_, ticket) = self.answers.pop_front().unwrap();
                self.core.handle_outcome(self.now, ticket, Outcome::Accepted);
            } else if change <= next {
                let Reverse((_, person)) = self.changes.pop().unwrap();
                self.taken[person] = !self.taken[person];
                self.say(person);
                self.plan_change(person);
            } else {
                self.core.handle_timeout(self.now);
            }
        }
    }

    fn behind(&self) -> usize {
        let shows = |id| match self.core.view(id).held() {
            Held::Pair { presence, .. } => Some(presence),
            _ => None,
        };
        self.core.people().filter(|&id| shows(id) != self.core.view(id).wanted()).count()
    }

    /// Calls and refreshes per second over `seconds`.
    fn measure(&mut self, seconds: u32) -> (f64, f64) {
        (self.calls, self.refreshes) = (0, 0);
        self.drive(u64::from(seconds));
        (f64::from(self.calls) / f64::from(seconds), f64::from(self.refreshes) / f64::from(seconds))
    }
}

fn policy(max_stale: u64, when_free: Option<Presence>, rate: f64) -> Policy {
    Policy { max_stale: Duration::from_secs(max_stale), when_free, rate, ..Policy::default() }
}

fn near(expected: f64, found: f64, tolerance: f64) -> bool {
    (expected - found).abs() <= tolerance * found
}

#[test]
fn calls_per_second_are_as_in_simulated_days() {
    let habits = |changes_per_day, taken| Habits { changes_per_day, taken };
    for (max_stale, when_free, habits, replicas) in [
        (300, None, habits(20.0, 0.3), false),
        (300, None, habits(20.0, 0.3), true),
        (300, Some(Presence::Available), habits(20.0, 0.3), false),
        (HOUR, None, habits(20.0, 0.3), false), // a stay is shorter than a period: hardly a refresh
        (HOUR, Some(Presence::Available), habits(4.0, 0.8), true),
        (1200, Some(Presence::Away), habits(60.0, 0.5), false),
    ] {
        let policy = Policy { replicas, ..policy(max_stale, when_free, 45.0) };
        let expected = forecast(1_000, habits, &policy);
        let mut office = Office::open(1_000, habits, &policy);
        office.drive(HOUR);
        let (calls, refreshes) = office.measure(8 * 3_600); // a working day
        let said = format!("{max_stale} s {when_free:?} {habits:?}: {expected:?}; found {calls:.3}, {refreshes:.3}");
        println!("{said}");
        assert!(near(expected.calls, calls, 0.15), "{said}");
        assert!(near(expected.refreshes, refreshes, 0.15) || refreshes < 0.2 * calls, "{said}");
    }
}

#[test]
fn the_last_of_a_rush_waits_as_long_as_forecast() {
    let policy = policy(300, Some(Presence::Available), 5.0);
    let quiet = Habits { changes_per_day: 1.0, taken: 0.0 };
    for people in [300, 900] {
        let expected = forecast(people, quiet, &policy).peak_lag.as_secs_f64();
        let mut office = Office::open(0, quiet, &policy);
        office.drive(60); // the bucket is full
        office.core.handle_config(office.now, Arc::new(plan::office(people, policy.clone())));
        office.taken = vec![true; people];
        (0..people).for_each(|person| office.say(person));
        let start = office.now.mono;
        let all = u32::try_from(people).unwrap();
        while office.calls - office.refreshes < all {
            office.drive(1);
        }
        let found = office.now.mono.since(start).as_secs_f64();
        assert!(near(expected, found, 0.15), "{people}: expected {expected}, found {found}");
    }
}

#[test]
fn the_largest_tenant_is_served_and_a_larger_one_is_not() {
    let policy = policy(300, Some(Presence::Available), 1.0);
    let habits = Habits::default();
    let Forecast { largest, .. } = forecast(1, habits, &policy);
    assert!(forecast(largest, habits, &policy).fits && !forecast(largest + 1, habits, &policy).fits);
    // How many lapsed in an hour, and how many do not show what they should at its end.
    let hour = |people| {
        let mut office = Office::open(people, habits, &policy);
        office.drive(HOUR);
        office.lapsed = 0;
        office.drive(HOUR);
        (office.lapsed as usize, office.behind())
    };
    let (lapsed, behind) = hour(largest);
    assert!(lapsed == 0 && behind * 20 < largest, "{largest} people: {lapsed} lapsed, {behind} behind");
    let (lapsed, behind) = hour(largest * 2);
    assert!(lapsed > 0 || behind * 10 > largest, "{} people: {lapsed} lapsed, {behind} behind", largest * 2);
}

#[test]
fn the_remedy_is_the_smallest_that_fits() {
    let habits = Habits::default();
    let of = |people, policy: &Policy| forecast(people, habits, policy);
    let free = policy(300, Some(Presence::Available), 45.0);
    let largest = of(1, &free).largest;
    assert!((8_000..14_000).contains(&largest), "near 10,000 people can be shown Available, found {largest}");
    assert_eq!(of(largest, &free).remedy, None);
    let remedy = of(largest + 1, &free).remedy.unwrap();
    assert!(remedy.max_stale.is_some() && !remedy.when_free_off, "{remedy:?}");
    let remedy = of(20_000, &free).remedy.unwrap();
    assert!(remedy.max_stale.is_none() && remedy.when_free_off, "{remedy:?}");
    let remedy = of(50_000, &free).remedy.unwrap();
    assert!(remedy.max_stale.is_some() && remedy.when_free_off, "{remedy:?}");
    assert_eq!(of(1_000_000, &free).remedy, None, "nothing helps against that many changes");
    assert!(of(50_000, &policy(300, None, 45.0)).remedy.is_some_and(|remedy| !remedy.when_free_off));
}

#[test]
fn replicas_refresh_earlier_and_carry_as_many() {
    let policy = policy(300, None, 45.0);
    let [one, two] =
        [false, true].map(|replicas| forecast(1_000, Habits::default(), &Policy { replicas, ..policy.clone() }));
    assert!(two.refreshes > one.refreshes);
    assert_eq!(two.largest, one.largest);
}

#[test]
fn check_names_the_setting_that_would_fit() {
    let told = |plan: &Plan| {
        let (what, remedy) = too_many(plan, Habits::default()).unwrap_or_default();
        format!("{}\n{what}. {remedy}", cost(plan, Habits::default()))
    };
    let said = |people, policy| told(&plan::office(people, policy));
    let good = said(300, policy(300, None, 45.0));
    assert!(good.contains("Calls to Graph, with 20 changes a day and 30 %") && !good.contains("too many"), "{good}");
    let free = said(20_000, policy(300, Some(Presence::Available), 45.0));
    assert!(free.contains("20000 people are too many") && free.contains("presence.when_free = \"nothing\"."), "{free}");
    let stale = said(30_000, policy(300, None, 45.0));
    assert!(stale.contains("fit: presence.max_stale = \""), "{stale}");
    let mut desks = plan::office(20_000, policy(300, None, 45.0));
    desks.signals.push(Signal { name: "desk".into(), presence: Some(Presence::Available) });
    let desks = told(&desks);
    assert!(desks.contains("signals.desk = \"none\""), "{desks}");
    let ceiling = Some(Duration::from_secs(1_800));
    let stretched = said(30_000, Policy { max_stale_ceiling: ceiling, ..policy(300, None, 45.0) });
    assert!(stretched.contains("sessions will stretch up to 30m"), "{stretched}");
}
