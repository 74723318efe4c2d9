//! "Why is Alice busy?": one person as the core sees them, for logs, topics and commands.

use super::action::SourceId;
use super::arbiter::Standing;
use super::board::{Board, Deafness, Level, Share, deaf};
use super::core::Person;
use super::memory::Memory;
use super::now::{Deadline, Mono, Now, Timestamp};
use super::pair::Presence;
use super::plan::{Plan, RuleId};
use super::session::{Held, Waiting};

/// One person at one instant.
pub struct View<'a> {
    plan: &'a Plan,
    person: &'a Person,
    memory: &'a Memory,
    deafness: &'a Deafness,
    now: Now,
}

/// One share, in words.
#[derive(Clone, Copy, Debug)]
pub struct ShareView<'a> {
    /// The name of the signal.
    pub signal: &'a str,
    /// The subject as the message named it: an extension, a MAC address, a label.
    pub subject: &'a str,
    /// The device behind it.
    pub device: &'a str,
    /// The broker.
    pub source: SourceId,
    /// What it says.
    pub level: Level,
    /// Since when.
    pub since: Timestamp,
    /// Until when it is on if nothing more is heard.
    pub until: Deadline,
}

impl<'a> View<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        person: &'a Person,
        memory: &'a Memory,
        deafness: &'a Deafness,
        now: Now,
    ) -> Self {
        View { plan, person, memory, deafness, now }
    }

    /// The name of the person in the configuration.
    #[must_use]
    pub fn label(&self) -> &'a str {
        &self.person.who.label
    }

    /// What should be shown.
    #[must_use]
    pub fn wanted(&self) -> Option<Presence> {
        self.person.verdict.wanted
    }

    /// Taken, free or unknown.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.person.verdict.standing
    }

    /// What Graph is known to hold.
    #[must_use]
    pub fn held(&self) -> Held {
        self.person.session.held()
    }

    /// The share that decided.
    #[must_use]
    pub fn because(&self) -> Option<ShareView<'a>> {
        self.person.verdict.because.and_then(|index| self.board().share(index)).map(|share| self.share(share))
    }

    /// All shares.
    pub fn shares(&self) -> impl Iterator<Item = ShareView<'a>> {
        self.board().shares().iter().map(|share| self.share(share))
    }

    /// The signals that the door holds on.
    pub fn door(&self) -> impl Iterator<Item = &'a str> {
        let through = self.board().shares().iter().filter(|share| share.rule == RuleId::DOOR);
        through.map(|share| self.share(share)).filter(|share| share.level == Level::On).map(|share| share.signal)
    }

    /// Until when the person wants nothing, if paused; [`Deadline::NEVER`]: for good.
    #[must_use]
    pub fn paused(&self) -> Option<Deadline> {
        self.person.paused.filter(|until| !until.reached(self.now))
    }

    /// Why nothing is sent although something would be due, and until when.
    #[must_use]
    pub fn waiting(&self) -> Option<(Waiting, Mono)> {
        self.person.session.waiting(self.now.mono)
    }

    /// Whether colleagues see what is held: `None` where nobody has looked, `Err` with what they see instead where the
    /// person's own choice or client overrides it.
    #[must_use]
    pub fn seen(&self) -> Option<Result<Presence, &'a str>> {
        let Held::Pair { presence, .. } = self.held() else { return None };
        let readback = self.person.readback.as_ref()?;
        match readback.overridden(presence) {
            Some(instead) => Some(Err(instead)),
            None => readback.confirms(presence).then_some(Ok(presence)),
        }
    }

    /// Whether a call is out.
    #[must_use]
    pub fn in_flight(&self) -> bool {
        self.person.session.in_flight()
    }

    /// Whether Graph can show nothing of ours: nothing held, nothing out, nothing that may still land.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.person.session.is_clean()
    }

    fn board(&self) -> &'a Board {
        &self.person.board
    }

    fn share(&self, share: &'a Share) -> ShareView<'a> {
        let deaf = deaf(self.deafness, share.source);
        let told = share.up_to_date(self.memory);
        ShareView {
            signal: self.plan.signals.get(usize::from(share.signal.0)).map_or("?", |signal| &signal.name),
            subject: &share.subject,
            device: &share.device,
            source: share.source,
            level: told.level(self.now, deaf),
            since: share.since,
            until: told.on_until(deaf),
        }
    }
}
