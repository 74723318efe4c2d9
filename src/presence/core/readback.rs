//! Read-back: whether colleagues see what Graph confirmed. Optional, in rounds, the last in the order of service.
//!
//! Who is not seen as held may have been lost by Graph, or override us by a choice or a client of their own; both look the
//! same. So what is not seen is asserted once more, and what is not seen then counts as overridden: the person's own will,
//! no fault, and nothing is sent until what is seen changes.

use std::time::Duration;

use super::super::action::{Action, Alarm, Outcome, PersonId, TenantId};
use super::super::now::Mono;
use super::super::pair::Presence;
use super::super::session::{ATTEMPT, Held};
use super::{Core, Now, id_of, index, tenant_id};

/// As many people as one read takes (Graph: `getPresencesByUserId`, 650).
pub const MOST_READ: usize = 650;
/// What is wanted only since then may not be seen everywhere yet.
const SETTLES: Duration = Duration::from_secs(15);
/// A read that brought nothing is tried again after this …
const AGAIN: Duration = Duration::from_secs(60);
/// … and one that was refused after this.
const REFUSED: Duration = Duration::from_secs(3600);
/// What is kept of Graph's words, bytes.
const LONGEST_WORD: usize = 64;

/// What a read said of somebody, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Readback {
    /// What was held then.
    of: Presence,
    /// What was seen, where that was something else.
    instead: Option<Box<str>>,
    /// It was asserted again and still not seen, or something more taken is seen.
    overridden: bool,
}

impl Readback {
    /// What is seen instead of `held`, where the person's own will or client overrides us.
    pub(in super::super) fn overridden(&self, held: Presence) -> Option<&str> {
        self.instead.as_deref().filter(|_| self.overridden && self.of == held)
    }

    /// Whether `held` was seen as it is.
    pub(in super::super) fn confirms(&self, held: Presence) -> bool {
        self.instead.is_none() && self.of == held
    }
}

/// Where the reading of one tenant's people has come to.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    /// Not before.
    from: Mono,
    /// Everybody before this place has been read in this round.
    place: usize,
    /// The read that is out.
    out: Option<Read>,
    refused: bool,
}

#[derive(Clone, Debug)]
struct Read {
    serial: u64,
    asked: Mono,
    people: Vec<PersonId>,
}

impl Round {
    /// When it wants to read.
    pub(super) fn wake(&self) -> Mono {
        if self.out.is_some() { Mono::MAX } else { self.from }
    }
}

impl Core {
    /// The people of the read that is out, for [`Action::Read`].
    #[must_use]
    pub fn reading(&self, tenant: TenantId) -> &[PersonId] {
        let round = self.rounds.get(usize::from(tenant.0));
        round.and_then(|round| round.out.as_ref()).map_or(&[], |read| &read.people)
    }

    /// A read ended: availability and activity of whom Graph knows, in its own words, or why it brought nothing.
    pub fn handle_read(
        &mut self,
        now: Now,
        tenant: TenantId,
        serial: u64,
        seen: Result<&[(PersonId, &str, &str)], Outcome>,
    ) {
        self.tick(now);
        let slot = usize::from(tenant.0);
        let Some(round) = self.rounds.get_mut(slot) else { return };
        let Some(read) = round.out.take_if(|read| read.serial == serial) else { return };
        let refused = matches!(seen, Err(Outcome::Unauthorised | Outcome::Forbidden { .. }));
        if refused != std::mem::replace(&mut round.refused, refused) && (refused || seen.is_ok()) {
            self.out.push_back(Action::Alarm { alarm: Alarm::ReadRefused(tenant), on: refused });
        }
        match seen {
            Ok(seen) => {
                for &(person, availability, activity) in seen {
                    self.compare(person, read.asked, availability, activity);
                }
            }
            Err(why) => {
                let round = &mut self.rounds[slot];
                round.place = read.people.first().map_or(0, |&first| index(first));
                round.from = now.mono + if refused { REFUSED } else { AGAIN };
                if let Outcome::Throttled { retry_after } = why {
                    self.lanes[slot].throttled(now.mono, retry_after);
                    self.unsaved.rest();
                }
            }
        }
    }

    fn compare(&mut self, id: PersonId, asked: Mono, availability: &str, activity: &str) {
        let Some(person) = self.people.get_mut(index(id)) else { return };
        let Held::Pair { presence, sent, .. } = person.session.held() else { return };
        if sent >= asked || person.session.in_flight() {
            return; // it was set meanwhile
        }
        let before = person.readback.take().filter(|before| before.of == presence);
        // Reads often say Busy/Busy of somebody in a call: the availability decides, unless it says that it has faded.
        let is = availability.eq_ignore_ascii_case(presence.availability())
            && !activity.eq_ignore_ascii_case("AvailableInactive");
        let mut readback = Readback { of: presence, instead: None, overridden: false };
        let mut lost = false;
        if !is {
            let words: Box<str> = format!("{availability}/{activity}").chars().take(LONGEST_WORD).collect();
            let same = before.is_some_and(|before| before.instead.as_deref() == Some(&words));
            lost = !same && rank(availability) <= presence.rank();
            readback.overridden = !lost;
            readback.instead = Some(words);
        }
        person.readback = Some(Box::new(readback));
        if lost {
            person.session.doubt(); // so that the wish is sent once more
            self.unsaved.person(id);
        }
        self.out.push_back(Action::Changed { person: id });
        self.settle(id);
    }

    /// The next read, if its time has come and the budget has room beside the calls.
    pub(super) fn read(&mut self) -> Option<Action> {
        let every = self.plan.policy.verify.filter(|_| self.stopping.is_none())?;
        let now = self.now.mono;
        self.rounds.resize(self.lanes.len(), Round::default());
        for slot in 0..self.lanes.len() {
            if now < self.rounds[slot].wake() || !self.lanes[slot].has_room(now) {
                continue;
            }
            let people = self.to_read(slot);
            let round = &mut self.rounds[slot];
            if people.is_empty() {
                (round.place, round.from) = (0, now + every);
                continue;
            }
            round.place = people.last().map_or(0, |&last| index(last) + 1);
            self.serial += 1;
            let (serial, tenant) = (self.serial, tenant_id(slot));
            round.out = Some(Read { serial, asked: now, people });
            self.lanes[slot].bucket.take();
            return Some(Action::Read { tenant, serial, not_after: now + ATTEMPT });
        }
        None
    }

    /// Where nothing is to be read any more, nobody misses the permission.
    pub(super) fn stop_reading(&mut self) {
        if self.plan.policy.verify.is_some() {
            return;
        }
        for (slot, round) in std::mem::take(&mut self.rounds).into_iter().enumerate() {
            if round.refused {
                self.out.push_back(Action::Alarm { alarm: Alarm::ReadRefused(tenant_id(slot)), on: false });
            }
        }
    }

    /// From where the round has come to: whoever holds something for long enough.
    fn to_read(&self, slot: usize) -> Vec<PersonId> {
        let now = self.now.mono;
        let people = self.people.iter().enumerate().skip(self.rounds[slot].place);
        let held = people.filter(|(_, person)| {
            let owned = self.owned[usize::from(person.partition.0)].is_some_and(|until| now < until);
            owned && usize::from(person.who.tenant.0) == slot && person.session.is_settled(now, SETTLES)
        });
        held.map(|(place, _)| id_of(place)).take(MOST_READ).collect()
    }
}

/// How taken somebody with this availability is, as for [`Presence::rank`]; words that nobody knows count for little.
fn rank(availability: &str) -> u8 {
    let is = |word: &str| availability.eq_ignore_ascii_case(word);
    if is("DoNotDisturb") {
        4
    } else if is("Busy") || is("BusyIdle") {
        3
    } else if is("Available") || is("AvailableIdle") {
        2
    } else {
        u8::from(is("Away") || is("BeRightBack"))
    }
}
