//! The core as others see it. Calling order: any `handle_*`, then [`Core::poll_action`] until it returns `None`, then
//! sleep until [`Core::poll_timeout`] and call [`Core::handle_timeout`].
//!
//! Everything that can change a person ends in one place, `settle`: forget what is over, decide anew, tell the session,
//! put the person where the queue and the timers need them. It is idempotent, so calling it once too often is harmless.

mod calls;
mod forget;
mod hearing;
mod messages;
mod readback;
mod reload;
mod restart;
mod turns;
mod unsaved;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

use self::calls::circumstances;
use self::hearing::Source;
pub use self::readback::MOST_READ;
pub(super) use self::readback::Readback;
use self::readback::Round;
use self::unsaved::Unsaved;
use super::action::{Action, Alarm, Cause, Link, OnStop, PersonId, SourceId, TenantId};
use super::arbiter::{self, Verdict};
use super::board::{Applied, Board, Gap};
use super::budget::Rate;
use super::keeper::{Due, Lane};
use super::memory::Memory;
use super::now::{Deadline, Mono, Now, Timestamp};
use super::pair::Presence;
use super::partition::{PARTITIONS, Partition};
use super::plan::{ObjectId, PersonPlan, Plan, RuleId};
use super::rule::Reason;
use super::session::{ATTEMPT, Held, LATE, Need, START_WITHIN, Session};
use super::view::View;

/// What one rule did with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The rule; `None` if none matched.
    pub rule: Option<RuleId>,
    /// The person it was for, if it came so far.
    pub person: Option<PersonId>,
    /// Changed or renewed a share, or why not.
    pub result: Result<Applied, Reason>,
}

/// What a message did, rule by rule.
#[derive(Clone, Copy, Debug)]
pub struct Handled<'a> {
    /// At least one step.
    pub steps: &'a [Step],
}

#[derive(Clone)]
pub(super) struct Person {
    pub(super) who: PersonPlan,
    listed: bool,
    partition: Partition,
    pub(super) board: Board,
    pub(super) session: Session,
    pub(super) verdict: Verdict,
    seed: u64,
    due: Option<Due>,
    cause: Cause,
    timer: Deadline,
    shown: Option<(Option<Presence>, Shown, Option<u8>)>,
    alarm: Option<Alarm>,
    /// What the last read said.
    pub(super) readback: Option<Box<Readback>>,
    /// Wants nothing until then.
    pub(super) paused: Option<Deadline>,
    /// When a share last changed.
    stirred: Mono,
}

/// What Graph is known to hold, of all that is shown.
fn holds((_, held, _): (Option<Presence>, Shown, Option<u8>)) -> Option<Presence> {
    held.ok().flatten()
}

/// Held without its times: what is worth telling when it changes.
type Shown = Result<Option<Presence>, ()>;

/// The core. A clone goes its own way: for searches and experiments.
#[derive(Clone)]
pub struct Core {
    now: Now,
    plan: Arc<Plan>,
    people: Vec<Person>,
    /// From the plan's people to ours.
    slots: Vec<PersonId>,
    ids: HashMap<(ObjectId, ObjectId), PersonId>,
    sources: Vec<Source>,
    deafness: Vec<Gap>,
    memory: Memory,
    /// The key of [`Origin`]s.
    names: RandomState,
    lanes: Vec<Lane>,
    owned: [Option<Mono>; PARTITIONS],
    serial: u64,
    mono_timers: BTreeSet<(Mono, PersonId)>,
    wall_timers: BTreeSet<(Timestamp, PersonId)>,
    out: VecDeque<Action>,
    /// Who was due since actions were last drained: whoever is not called by then needs a timer for moving up in the queue.
    waiting: Vec<PersonId>,
    steps: Vec<Step>,
    /// How long the shortest lasts of what the message in hand says.
    shortest: Duration,
    /// What a journal does not know yet.
    unsaved: Unsaved,
    stopping: Option<OnStop>,
    /// Read-back, by tenant.
    rounds: Vec<Round>,
}

impl Core {
    /// A core that knows nothing of before: nobody holds anything at Graph, every partition is ours.
    #[must_use]
    pub fn new(now: Now, plan: Arc<Plan>) -> Self {
        let mut core = Core {
            now,
            plan: Arc::default(),
            people: Vec::new(),
            slots: Vec::new(),
            ids: HashMap::new(),
            sources: Vec::new(),
            deafness: Vec::new(),
            memory: Memory::default(),
            names: RandomState::new(),
            lanes: Vec::new(),
            owned: [Some(Mono::MAX); PARTITIONS],
            serial: 0,
            mono_timers: BTreeSet::new(),
            wall_timers: BTreeSet::new(),
            out: VecDeque::new(),
            waiting: Vec::new(),
            steps: Vec::new(),
            shortest: Duration::MAX,
            unsaved: Unsaved::default(),
            stopping: None,
            rounds: Vec::new(),
        };
        core.handle_config(now, plan);
        core
    }

    /// The rate of a tenant changes (a share of the budget, a restored gate).
    pub fn handle_budget(&mut self, now: Now, tenant: TenantId, rate: Rate, gate: Option<Mono>) {
        self.tick(now);
        if let Some(lane) = self.lanes.get_mut(usize::from(tenant.0)) {
            lane.bucket.fill(now.mono);
            lane.bucket.set_rate(rate);
            if let Some(until) = gate {
                lane.gate.shut_until(until);
            }
        }
    }

    /// A partition is ours until `until`, or no longer. No action is given out whose attempt could pass that time.
    pub fn handle_ownership(&mut self, now: Now, partition: Partition, until: Option<Mono>) {
        self.tick(now);
        let Some(owned) = self.owned.get_mut(usize::from(partition.0)) else { return };
        let before = std::mem::replace(owned, until);
        for slot in 0..self.people.len() {
            let person = &mut self.people[slot];
            if person.partition != partition {
                continue;
            }
            if until.is_none() {
                let abandoned = person.session.abandon();
                if let Some(lane) = self.lanes.get_mut(usize::from(person.who.tenant.0)) {
                    lane.gate.abandon(abandoned);
                }
            } else if before.is_none_or(|before| before <= now.mono) && person.session.may_hold(now.mono) {
                person.session.follow(now.mono, now.mono + START_WITHIN + LATE); // somebody else may have called meanwhile
            }
            self.unsaved.person(id_of(slot));
            self.settle(id_of(slot));
        }
    }

    /// A person is paused until then ([`Deadline::NEVER`]: for good) and wants nothing meanwhile, or goes on (`None`).
    /// Somebody who is not listed cannot be paused.
    pub fn handle_pause(&mut self, now: Now, person: PersonId, pause: Option<Deadline>) {
        self.tick(now);
        if let Some(known) = self.people.get_mut(index(person)).filter(|known| known.listed) {
            known.paused = pause;
            self.unsaved.person(person);
            self.settle(person);
        }
    }

    /// The end is near: nothing is listened to, read or refreshed any more, only changes still go. Go on until [`Core::is_idle`], as long as
    /// there is time; shares stay, for a snapshot.
    pub fn handle_stop(&mut self, now: Now, on_stop: OnStop) {
        self.tick(now);
        self.stopping = Some(on_stop);
        for slot in 0..self.sources.len() {
            self.handle_link(now, source_id(slot), Link::Down); // nobody listens from here on
        }
        self.settle_all();
    }

    /// Nothing is out, nothing is due, and after [`OnStop::Clear`] nothing of ours is left at Graph.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.people.iter().all(|person| match self.stopping {
            Some(OnStop::Clear) => person.session.is_clean(),
            _ => person.due.is_none() && !person.session.in_flight(),
        })
    }

    /// Time passed, or a clock was set.
    pub fn handle_timeout(&mut self, now: Now) {
        self.tick(now);
        self.hear_out();
        for lane in 0..self.lanes.len() {
            self.weigh(lane);
        }
        while self.mono_timers.first().is_some_and(|&(at, _)| at <= now.mono)
            && let Some((_, id)) = self.mono_timers.pop_first()
        {
            self.people[index(id)].timer.mono = Mono::MAX;
            self.settle(id);
        }
        while self.wall_timers.first().is_some_and(|&(at, _)| at <= now.wall)
            && let Some((_, id)) = self.wall_timers.pop_first()
        {
            self.people[index(id)].timer.wall = Timestamp::MAX;
            self.settle(id);
        }
    }

    /// The next thing to do, if any.
    pub fn poll_action(&mut self) -> Option<Action> {
        if let Some(action) = self.out.pop_front() {
            return Some(action);
        }
        for lane in 0..self.lanes.len() {
            while let Some(id) = self.lanes[lane].next(self.now.mono) {
                if let Some(action) = self.call(lane, id) {
                    return Some(action);
                }
            }
        }
        while let Some(id) = self.waiting.pop() {
            let session = &self.people[index(id)].session;
            if !session.in_flight() {
                self.set_timer(id, Deadline::NEVER.at_latest(session.moves(self.now.mono)));
            }
        }
        self.read()
    }

    /// When to call [`Core::handle_timeout`], whatever happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let mut next = Deadline::NEVER;
        if let Some(&(at, _)) = self.mono_timers.first() {
            next.mono = at;
        }
        if let Some(&(at, _)) = self.wall_timers.first() {
            next.wall = at;
        }
        for lane in &self.lanes {
            next = next.at_latest(lane.wake());
        }
        for source in &self.sources {
            next = next.at_latest(source.wake());
        }
        let reads = self.plan.policy.verify.is_some() && self.stopping.is_none();
        for (round, lane) in self.rounds.iter().zip(&self.lanes).filter(|_| reads) {
            next = next.at_latest(round.wake().max(lane.room()));
        }
        (next != Deadline::NEVER).then_some(next)
    }

    /// "Why is Alice busy?"
    #[must_use]
    pub fn view(&self, person: PersonId) -> View<'_> {
        View::new(&self.plan, &self.people[index(person)], &self.memory, &self.deafness, self.now)
    }

    /// Everything that bears on a person's next call but the shares: to tell states apart in an exhaustive search. Instants
    /// are as they are.
    #[doc(hidden)]
    #[must_use]
    pub fn state(&self, person: PersonId) -> String {
        let known = &self.people[index(person)];
        format!("{:?} {:?} {:?}", known.session, known.stirred, self.lanes.get(usize::from(known.who.tenant.0)))
    }

    /// Everybody the core knows, also who is about to be cleared because no longer listed.
    pub fn people(&self) -> impl Iterator<Item = PersonId> + use<> {
        (0..self.people.len()).map(id_of)
    }

    /// How the configuration names a person.
    #[must_use]
    pub fn person(&self, person: PersonId) -> &PersonPlan {
        &self.people[index(person)].who
    }

    /// Whom and what it decides by.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Until when a tenant's gate is shut, if it is.
    #[must_use]
    pub fn gate(&self, tenant: TenantId) -> Option<Mono> {
        self.lanes.get(usize::from(tenant.0)).and_then(|lane| lane.gate.shut(self.now.mono))
    }

    /// The clocks as they are now. Where the wall clock was set back, what it had ended may not be over.
    fn tick(&mut self, now: Now) {
        let before = std::mem::replace(&mut self.now, now);
        if now.wall < before.wall {
            self.settle_all();
        }
    }

    fn settle_all(&mut self) {
        for slot in 0..self.people.len() {
            self.settle(id_of(slot));
        }
    }

    fn settle(&mut self, id: PersonId) {
        let now = self.now;
        let person = &mut self.people[index(id)];
        person.board.expire(now, &self.memory);
        if person.paused.is_some_and(|until| until.reached(now)) {
            person.paused = None;
        }
        let cleared = self.stopping == Some(OnStop::Clear);
        person.verdict = if person.listed && person.paused.is_none() && !cleared {
            arbiter::decide(&self.plan, &person.board, now, &self.deafness)
        } else {
            Verdict::default()
        };
        person.session.want(now.mono, person.verdict.wanted);
        if person.session.age(now.mono) {
            self.unsaved.person(id);
        }
        let owned = self.owned[usize::from(person.partition.0)].is_some_and(|until| now.mono + ATTEMPT < until);
        let mut around = circumstances(&self.plan, &self.sources, &self.deafness, person, now);
        around.at_once = cleared || !person.listed || person.paused.is_some();
        let need = if owned { person.session.need(now.mono, &around) } else { Need::Rest(person.session.expires()) };
        let (due, wake) = match need {
            Need::Rest(until) => (None, until),
            Need::Call { class, deadline, cause } => {
                person.cause = cause;
                self.waiting.push(id);
                (Some((class, deadline, id)), Mono::MAX)
            }
        };
        let due = due.filter(|_| person.cause == Cause::Change || self.stopping.is_none());
        let old = std::mem::replace(&mut person.due, due);
        let lane = usize::from(person.who.tenant.0);
        let timer = person.board.next(now, &self.deafness).at_latest(wake);
        let timer = timer.earlier(person.paused.unwrap_or(Deadline::NEVER));
        let held = match person.session.held() {
            Held::Unknown => Err(()),
            Held::Nothing => Ok(None),
            Held::Pair { presence, .. } => Ok(Some(presence)),
        };
        let shown = Some((person.verdict.wanted, held, person.verdict.because));
        let before = person.shown;
        person.shown = shown;
        if before != shown {
            self.out.push_back(Action::Changed { person: id });
        }
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.requeue(old, due);
            if before != shown {
                lane.load.hold(before.and_then(holds), holds((person.verdict.wanted, held, None)));
            }
        }
        self.set_timer(id, timer);
    }

    /// Wakes a person at `timer`, or earlier. Most deadlines only move later (a lease renewed, a session refreshed): that
    /// touches no ordered set; the timer that goes off for nothing finds the later one by settling.
    fn set_timer(&mut self, id: PersonId, timer: Deadline) {
        let set = &mut self.people[index(id)].timer;
        if timer.mono < set.mono {
            self.mono_timers.remove(&(set.mono, id));
            self.mono_timers.insert((timer.mono, id));
            set.mono = timer.mono;
        }
        if timer.wall < set.wall {
            self.wall_timers.remove(&(set.wall, id));
            self.wall_timers.insert((timer.wall, id));
            set.wall = timer.wall;
        }
    }
}

impl Person {
    fn new(who: PersonPlan, partition: Partition, seed: u64) -> Self {
        Person {
            who,
            listed: true,
            partition,
            board: Board::default(),
            session: Session::default(),
            verdict: Verdict::default(),
            seed,
            due: None,
            cause: Cause::Change,
            timer: Deadline::NEVER,
            shown: Some((None, Ok(None), None)),
            alarm: None,
            readback: None,
            paused: None,
            stirred: Mono::ZERO,
        }
    }
}

fn index(id: PersonId) -> usize {
    id.0 as usize
}

fn id_of(slot: usize) -> PersonId {
    PersonId(u32::try_from(slot).unwrap_or(u32::MAX))
}

fn tenant_id(slot: usize) -> TenantId {
    TenantId(u16::try_from(slot).unwrap_or(u16::MAX))
}

fn source_id(slot: usize) -> SourceId {
    SourceId(u16::try_from(slot).unwrap_or(u16::MAX))
}
