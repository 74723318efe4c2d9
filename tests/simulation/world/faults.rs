//! What goes wrong, and how it is put right: deaths and restarts, suspend, clocks, reloads, owners, pauses.

use std::collections::BTreeSet;
use std::sync::Arc;

use presence_bridge::presence::{
    Core, Deadline, Link, Mono, OnStop, Outcome, Partition, Restart, Snapshot, SourceId, Timestamp,
};

use super::super::oracle::{At, Gone};
use super::graph::Write;
use super::office::{FOR_GOOD, object_id};
use super::{Event, HOUR, MINUTE, NEVER, SECOND, START, World};

/// How Graph and the network behave for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Calm,
    /// Some of everything.
    Mixed,
    /// No token: nothing leaves.
    NoToken,
    /// Calls vanish.
    Silent,
    /// 429 after 429.
    Storm,
    /// The application is refused.
    Refusing,
}

impl Mood {
    pub(super) fn is_hostile(self) -> bool {
        self != Mood::Calm
    }
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    AtOnce,
    /// With a call out.
    CallOut,
    /// Between an answer and the journal's knowing of it.
    BeforeTheJournal,
    /// And the machine with it: another boot, perhaps with a clock that is wrong.
    PowerCut,
    /// As it was asked to.
    Stop(OnStop),
}

/// Graph keeps nothing longer than 4 h, and a lease holds for 12 h at most.
const TOLD: u64 = 16 * HOUR;

impl World {
    pub(super) fn fault(&mut self, what: &'static str) {
        self.cover(what);
        self.last_fault = self.last_fault.max(self.mono);
        self.note(|| format!("==== {what}"));
    }

    pub(super) fn phase(&mut self) {
        if self.healed {
            return;
        }
        self.note(|| "---- phase".to_owned());
        let span = self.rng.u64(10 * MINUTE..50 * MINUTE);
        self.after(span, Event::Phase);
        if self.mood.is_hostile() {
            self.mood = Mood::Calm;
            if !self.up || self.deaf {
                self.link_up();
            }
            return;
        }
        self.mood = match self.rng.u32(0..100) {
            0..64 => Mood::Mixed,
            64..73 => Mood::NoToken,
            73..82 => Mood::Silent,
            82..91 => Mood::Storm,
            _ => Mood::Refusing,
        };
        let mood = self.mood;
        self.cover(match mood {
            Mood::NoToken => "no token",
            Mood::Silent => "Graph is silent",
            Mood::Storm => "a storm of 429",
            Mood::Refusing => "the application is refused",
            Mood::Calm | Mood::Mixed => "some of everything",
        });
        let someone = |rng: &mut fastrand::Rng, people: usize| rng.usize(0..people);
        let people = self.people.len();
        for kind in 0..12 {
            if self.rng.u32(0..100) >= 35 {
                continue;
            }
            let person = someone(&mut self.rng, people);
            let other = someone(&mut self.rng, people);
            let event = match kind {
                0 => Event::LinkDown,
                1 => Event::Deaf,
                2 => Event::Die(Death::AtOnce),
                3 => Event::Die(if self.rng.bool() { Death::CallOut } else { Death::BeforeTheJournal }),
                4 => Event::Die(Death::PowerCut),
                5 => Event::Die(Death::Stop(if self.rng.bool() { OnStop::Leave } else { OnStop::Clear })),
                6 => Event::Suspend,
                7 => Event::WallStep,
                8 => Event::Pause(person),
                9 => Event::Leave(person),
                10 if self.rng.bool() => Event::NewRule,
                10 => Event::Swap(person, other),
                _ => Event::Lose(person),
            };
            let at = self.rng.u64(0..span);
            self.after(at, event);
        }
    }

    pub(super) fn go_wrong(&mut self, fault: Event) {
        match fault {
            Event::LinkDown => self.link_down(),
            Event::LinkUp => self.link_up(),
            Event::Deaf => self.go_deaf(),
            // What was begun is put right also after the end of all faults.
            Event::Resume(person) => self.pause(person, 0),
            Event::Join(person) => self.list(person, true),
            Event::Gain(person) => self.own(person, NEVER),
            Event::Another(person) => self.another_calls(person),
            _ if self.healed || !self.alive || self.stopping.is_some() => {}
            Event::Die(death @ (Death::CallOut | Death::BeforeTheJournal)) => self.dies_at = Some(death),
            Event::Die(death) => self.die(death),
            Event::Suspend => self.suspend(),
            Event::WallStep => self.wall_step(),
            Event::Pause(person) => {
                self.cover("somebody pauses");
                let span = self.rng.u64(MINUTE..3 * HOUR);
                if self.rng.bool() {
                    self.pause(person, FOR_GOOD);
                    self.after(span, Event::Resume(person));
                } else {
                    self.pause(person, self.mono + span);
                }
            }
            Event::Leave(person) => {
                self.cover("somebody leaves the list");
                self.list(person, false);
                let span = self.rng.u64(SECOND..2 * HOUR);
                self.after(span, Event::Join(person));
            }
            Event::NewRule => {
                self.fault("a rule changed");
                self.office.hold = if self.office.hold == 30 * SECOND { 45 * SECOND } else { 30 * SECOND };
                self.oracle.gone(self.mono, Gone::Device("camera"));
                self.reload();
            }
            Event::Swap(one, other) if one != other => {
                self.fault("two people change desks");
                self.office.leads_to.swap(one, other);
                for subject in [one, other] {
                    let person = self.office.leads_to[subject];
                    self.people[person].moved_at = self.mono;
                    self.oracle.gone(self.mono, Gone::Person(person));
                }
                self.reload();
            }
            Event::Lose(person) => {
                self.cover("another replica took over");
                let ends = if self.rng.bool() { self.mono } else { self.mono + self.rng.u64(SECOND..MINUTE) };
                self.own(person, ends);
                let span = self.rng.u64(MINUTE..40 * MINUTE);
                self.after(ends - self.mono + span, Event::Gain(person));
            }
            _ => {}
        }
    }

    // ---- what the operator does ----------------------------------------------------------------------------------

    fn pause(&mut self, person: usize, until: u64) {
        if !self.alive {
            self.after(SECOND, Event::Resume(person));
            return;
        }
        self.note(|| format!(" p{person} paused until {until}"));
        let Some(id) = self.people[person].id.filter(|_| self.people[person].listed) else { return };
        self.people[person].paused_until = until;
        let until = match until {
            0 => None,
            FOR_GOOD => Some(Deadline::NEVER),
            until => Some(Deadline { mono: self.core_mono(until), wall: Timestamp::MAX }),
        };
        self.core.handle_pause(self.now(), id, until);
        self.want(person);
        self.perform();
    }

    fn list(&mut self, person: usize, listed: bool) {
        if self.people[person].listed == listed {
            return;
        }
        if !self.alive || self.stopping.is_some() {
            self.after(SECOND, Event::Join(person));
            return;
        }
        self.note(|| format!(" p{person} listed: {listed}"));
        if !listed {
            self.people[person].paused_until = 0;
            for subject in (0..self.people.len()).filter(|&subject| self.office.leads_to[subject] == person) {
                self.people[subject].truth.values_mut().for_each(|truth| truth.forgotten = true);
            }
        }
        self.people[person].failed = None; // who leaves the list is forgiven
        self.office.listed[person] = listed;
        self.people[person].listed = listed;
        self.oracle.gone(self.mono, Gone::Person(person));
        self.reload();
    }

    fn reload(&mut self) {
        self.core.handle_config(self.now(), Arc::new(self.office.plan()));
        self.find_ids();
        for person in 0..self.people.len() {
            self.want(person);
        }
        self.perform();
    }

    /// The partition of a person, with everybody in it, is ours until then.
    fn own(&mut self, person: usize, until: u64) {
        if !self.alive || self.stopping.is_some() {
            self.after(SECOND, Event::Gain(person));
            return;
        }
        self.last_fault = self.last_fault.max(self.mono);
        self.note(|| format!(" p{person} owned until {until}"));
        let partition = partition(person);
        for other in 0..self.people.len() {
            if partition_of(other) != partition.0 {
                continue;
            }
            let lost = until <= self.mono;
            if lost || self.people[other].owned_until <= self.mono {
                self.people[other].confirmed = Err(()); // somebody else calls, or has called, and that may land yet
                self.people[other].ghost = Some(self.mono);
            }
            if lost && self.rng.bool() {
                let calls = self.rng.u64(SECOND..40 * MINUTE);
                self.after(calls, Event::Another(other));
            }
            if lost {
                self.people[other].ghost = Some(self.mono);
                let abandoned = self.people[other].in_flight.take(); // its answer is not waited for
                self.gate.abandon(abandoned);
            }
            self.people[other].owned_until = until;
        }
        let until = if until == NEVER { Some(Mono::MAX) } else { Some(self.core_mono(until)) };
        let until = until.filter(|&until| until > self.now().mono);
        self.core.handle_ownership(self.now(), partition, until);
        self.perform();
    }

    /// Another replica sets what is wanted, while the partition is its own; that may land as late as any call, also after we
    /// have taken over again.
    fn another_calls(&mut self, person: usize) {
        let shows = self.want(person);
        let Some(write) = Write::by_another(shows).filter(|_| self.people[person].owned_until <= self.mono) else {
            return;
        };
        self.cover("another replica calls");
        self.people[person].asked.entry(shows).or_default().push_back((self.mono, 300 * SECOND));
        let late = self.rng.u64(0..25 * SECOND);
        self.after(late, Event::Lands(person, write));
    }

    // ---- the process and the machine -----------------------------------------------------------------------------

    /// The instant as the core's clock says it.
    pub(super) fn core_mono(&self, at: u64) -> Mono {
        Mono::from_millis(u64::try_from(i64::try_from(at).unwrap() + self.boot).unwrap())
    }

    /// The journal is complete up to the last answer, or to the one before.
    pub(super) fn die(&mut self, death: Death) {
        match death {
            Death::Stop(on_stop) => {
                self.fault("asked to stop");
                self.stopping = Some((on_stop, self.mono + 5 * SECOND));
                if self.hears() {
                    self.lose(self.mono); // nothing is listened to any more
                }
                self.up = false;
                self.connection += 1;
                self.core.handle_stop(self.now(), on_stop);
                for person in 0..self.people.len() {
                    self.want(person);
                }
                self.perform();
                return;
            }
            Death::PowerCut => self.fault("power cut"),
            Death::BeforeTheJournal => self.fault("killed between answer and journal"),
            _ => self.fault("killed"),
        }
        if self.people.iter().any(|person| person.in_flight.is_some()) {
            self.cover("killed with a call out");
        }
        let snapshot = serde_json::to_string(&self.core.snapshot(self.now())).unwrap();
        self.be_dead(&snapshot, death == Death::PowerCut, false);
    }

    /// Whether a stop has come to its end; then the next process starts.
    pub(super) fn stopped_yet(&mut self, touched: &mut BTreeSet<usize>) {
        let Some((_, by)) = self.stopping else { return };
        if !self.core.is_idle() && self.mono < by {
            if self.core.poll_timeout().is_none_or(|deadline| self.in_mono(deadline) > by) {
                self.after(by - self.mono, Event::Replayed(0)); // only wakes us
            }
            return;
        }
        let clean = self.people.iter().all(|person| person.in_flight.is_none());
        let snapshot = serde_json::to_string(&self.core.snapshot(self.now())).unwrap();
        let machine_too = self.rng.u32(0..100) < 30;
        self.cover(if clean { "a clean stop" } else { "a stop with a call out" });
        self.be_dead(&snapshot, machine_too, clean);
        touched.extend(0..self.people.len());
    }

    fn be_dead(&mut self, snapshot: &str, machine_too: bool, clean: bool) {
        self.compare_journal();
        let saved = self.at();
        if self.hears() {
            self.lose(self.mono);
        }
        (self.up, self.deaf, self.alive, self.stopping) = (false, false, false, None);
        self.connection += 1;
        let away = self.rng.u64(SECOND..20 * MINUTE);
        self.without_us(away);
        self.alive = true;
        let snapshot: Snapshot = serde_json::from_str(snapshot).unwrap();
        let restart = Restart { same_boot: !machine_too, clean };
        if machine_too {
            self.boot_again(saved, away);
        }
        self.core = Core::restore(self.now(), Arc::new(self.office.plan()), snapshot, restart);
        self.begin_journal();
        self.find_ids();
        self.events.retain(|_, event| !matches!(event, Event::Answer(..)));
        let (now, certain) = (self.mono, clean && !machine_too);
        let told: BTreeSet<usize> = (0..self.people.len())
            .filter(|&subject| {
                let devices = self.people[subject].truth.values();
                devices.into_iter().any(|truth| truth.heard > 0 && saved.mono < truth.heard_at + TOLD)
            })
            .map(|subject| self.office.leads_to[subject])
            .collect();
        for (place, person) in self.people.iter_mut().enumerate() {
            // Whose devices spoke may be cleared once, though nothing was wanted: paused, or over when it was heard of.
            let lately = told.contains(&place);
            let touched = person.in_flight.is_some() || person.confirmed != Ok(None) || person.ghost.is_some();
            if person.ghost.is_some() || !certain && (touched || lately) {
                person.confirmed = Err(());
                person.ghost = Some(now);
            }
            person.in_flight = None;
            person.parked = None;
            person.failed = None;
        }
        self.gate.after_restart(now);
        self.refused = Default::default();
        self.dies_at = None;
        self.last_fault = self.last_fault.max(now.max(self.gate.until));
        self.note(|| format!("==== back after {away} ms, {restart:?}"));
        for person in 0..self.people.len() {
            if self.people[person].owned_until != NEVER {
                // The next process does not own what this one had lost, and then takes over.
                self.own(person, self.mono);
                self.own(person, NEVER);
            }
            self.want(person);
        }
        self.perform();
        let span = self.rng.u64(10..30 * SECOND);
        self.after(span, Event::LinkUp);
    }

    /// Another boot: the clock since boot begins anew, and the other may be wrong until somebody sets it.
    fn boot_again(&mut self, saved: At, away: u64) {
        match self.rng.u32(0..100) {
            0..60 => {}
            60..80 => self.wall += self.rng.i64(-2 * 3_600_000..2 * 3_600_000),
            _ => {
                self.wall = saved.wall - self.rng.i64(0..48 * 3_600_000); // no battery
                self.cover("a boot with a clock that went backwards");
            }
        }
        self.booted = true;
        self.clock_was_set |= self.wall != saved.wall + i64::try_from(away).unwrap();
        if self.rng.bool() {
            let later = self.rng.u64(SECOND..2 * MINUTE);
            self.after(later, Event::WallStep);
        }
        let up_for = self.rng.i64(1_000..60_000);
        self.boot = i64::try_from(Mono::BOOT.as_millis()).unwrap() + up_for - i64::try_from(self.mono).unwrap();
        let now = self.at();
        self.oracle.boot(saved, now);
        // What was measured since the old boot is as far away as the new process believes.
        let believed = u64::try_from(now.wall - saved.wall).unwrap_or(0);
        let shift = |then: u64| (then + away).saturating_sub(believed);
        if self.gate.until > saved.mono {
            self.gate.until = shift(self.gate.until);
        }
        self.lost_at = self.lost_at.max(START);
        for person in &mut self.people {
            if person.paused_until != 0 && person.paused_until != FOR_GOOD {
                person.paused_until = shift(person.paused_until);
            }
        }
    }

    /// Time goes on without us: writes land, devices talk to the broker. Answers wait, and are returned.
    fn without_us(&mut self, away: u64) -> Vec<Event> {
        let back = self.mono + away;
        let mut answers = Vec::new();
        while self.mono < back {
            let next = self.events.keys().next().map_or(back, |key| key.0);
            self.pass(next.min(back).max(self.mono));
            let mut touched = BTreeSet::new();
            while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= self.mono) {
                match entry.remove() {
                    answer @ Event::Answer(..) => answers.push(answer),
                    event => self.happen(event, &mut touched),
                }
            }
            for person in touched {
                self.look(person);
            }
        }
        answers
    }

    /// The machine sleeps: nobody is asked, nothing is heard, answers wait.
    fn suspend(&mut self) {
        self.fault("suspended");
        let since = self.last_heard;
        if self.hears() {
            self.lose(since);
        }
        (self.up, self.deaf, self.alive) = (false, false, false);
        self.connection += 1;
        let away = self.rng.u64(MINUTE..3 * HOUR);
        let answers = self.without_us(away);
        self.alive = true;
        self.last_fault = self.last_fault.max(self.mono);
        self.note(|| "==== awake".to_owned());
        self.core.handle_link(self.now(), SourceId(0), Link::Slept { since: self.core_mono(since) });
        self.core.handle_timeout(self.now());
        let mut touched = BTreeSet::new();
        for answer in answers {
            if let Event::Answer(ticket, person, _) = answer {
                self.answer(ticket, person, Outcome::Ambiguous, &mut touched); // the attempt timed out meanwhile
            }
        }
        for person in &mut self.people {
            person.confirmed = Err(());
            person.ghost = Some(self.mono);
        }
        self.perform();
        let span = self.rng.u64(10..30 * SECOND);
        self.after(span, Event::LinkUp);
    }

    fn wall_step(&mut self) {
        self.fault("wall clock stepped");
        self.oracle.step(self.at());
        self.wall += self.rng.i64(-2 * 3_600_000..2 * 3_600_000);
        self.clock_was_set = true;
        self.core.handle_timeout(self.now());
        self.perform();
    }

    pub(super) fn heal(&mut self) {
        self.mood = Mood::Calm;
        self.healed = true;
        self.dies_at = None;
        self.note(|| "==== healed".to_owned());
        self.link_up();
    }
}

fn partition(person: usize) -> Partition {
    Partition::of(presence_bridge::presence::ObjectId::default(), object_id(person).parse().unwrap())
}

fn partition_of(person: usize) -> u8 {
    partition(person).0
}
