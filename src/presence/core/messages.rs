//! What a message does: its rules, the memory of its topic, the shares it changes; and the short cut of repeats.

use std::sync::Arc;
use std::time::Duration;

use super::super::action::{Publish, SourceId};
use super::super::board::{Applied, Origin};
use super::super::memory::{Recall, Renewal, TopicKey};
use super::super::now::{Deadline, Mono, Now, Timestamp};
use super::super::plan::RuleId;
use super::super::rule::door::Pause;
use super::super::rule::{Effect, Missing, Reason};
use super::super::snapshot::Tag;
use super::{Core, Handled, Step, index};

/// A retained message on a topic never heard before has unknown age: its share lasts this long at most.
pub(super) const FIRST_RETAINED: Duration = Duration::from_secs(3600);

/// A message on its way through the rules.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) source: SourceId,
    pub(super) key: TopicKey,
    pub(super) publish: &'a Publish<'a>,
    pub(super) recall: Recall,
}

/// What nobody may publish on (MQTT 3.3.2.1, 1.5.4) is not delivered by a broker in its right mind; a rule with a constant
/// subject would take it.
fn is_topic(topic: &str) -> bool {
    !topic.is_empty() && !topic.bytes().any(|byte| matches!(byte, 0 | b'+' | b'#'))
}

impl Core {
    /// A message came. Says what each rule made of it.
    pub fn handle_publish(&mut self, now: Now, source: SourceId, publish: &Publish<'_>) -> Handled<'_> {
        self.tick(now);
        self.steps.clear();
        let Ok(topic) = std::str::from_utf8(publish.topic) else {
            return self.refuse(Reason::BadTopic);
        };
        let key = TopicKey::new(source, topic);
        if !publish.retain
            && let Some((Renewal { person, rule, .. }, due)) = self.memory.renew(now.mono, key, publish.payload)
        {
            if due {
                self.unsaved.person(person);
                self.unsaved.topic(key);
            }
            self.steps.push(Step { rule: Some(rule), person: Some(person), result: Ok(Applied::Renewed) });
            return Handled { steps: &self.steps };
        }
        if !is_topic(topic) {
            return self.refuse(Reason::BadTopic);
        }
        self.stop_renewal(key);
        if self.memory.is_full(self.people.len()) {
            self.stop_renewals();
            self.memory.forget_oldest();
            self.unsaved.everything();
        }
        self.shortest = Duration::MAX;
        let plan = Arc::clone(&self.plan);
        let mut recall = None;
        let mut renewal = None;
        let mut named = Vec::new();
        if let Some(said) = plan.rules.forget(topic, publish.payload) {
            let step = self.take_forget(said, publish.retain);
            self.steps.push(step);
            return Handled { steps: &self.steps }; // the topic itself is not remembered either
        }
        if let Some(said) = plan.rules.pause(topic, publish.payload) {
            let heard = self.memory.recall(self.now.mono, key, publish.payload);
            recall = said.is_ok().then_some(heard);
            let step = self.take_pause(said, Message { source, key, publish, recall: heard });
            self.steps.push(step);
        }
        plan.rules.beside(source, topic, publish.payload, &mut |rule, link, fact| {
            let step = match fact {
                Err(reason) => Step { rule: Some(rule), person: None, result: Err(reason) },
                Ok(fact) => {
                    let recall = *recall.get_or_insert_with(|| self.memory.recall(self.now.mono, key, publish.payload));
                    self.hear_beside(Message { source, key, publish, recall }, rule, link, fact)
                }
            };
            self.steps.push(step);
        });
        plan.rules.evaluate(source, topic, publish.payload, &mut |rule, result| {
            let step = match result {
                Err(reason) => Step { rule: Some(rule), person: None, result: Err(reason) },
                Ok(effect) => {
                    let recall = *recall.get_or_insert_with(|| self.memory.recall(self.now.mono, key, publish.payload));
                    if plan.rules.get(rule).is_some_and(|rule| rule.absent != Missing::Ignore) {
                        named.push((rule, effect.person, effect.device.to_owned()));
                    }
                    let (step, renews) = self.weigh_in(Message { source, key, publish, recall }, rule, effect);
                    renewal = renews;
                    step
                }
            };
            self.steps.push(step);
        });
        let unchanged = publish.retain && recall == Some(Recall::Same);
        if !unchanged && plan.rules.have_lists() {
            let heard = || self.memory.recall(self.now.mono, key, publish.payload);
            let heard = recall.unwrap_or_else(heard);
            if self.sweep(Message { source, key, publish, recall: heard }, topic, &named) {
                recall = Some(heard); // it reached whom it no longer names
            }
        }
        if recall.is_some() {
            // Where more than one rule takes the topic, a repeat is not that simple.
            let renewal = renewal.filter(|_| self.steps.len() == 1);
            self.remember(source, key, publish.payload, renewal);
        }
        if self.steps.is_empty() {
            return self.refuse(Reason::NoRule);
        }
        Handled { steps: &self.steps }
    }

    /// What the topic said, for its replays; and for the journal, where that has to know.
    fn remember(&mut self, source: SourceId, key: TopicKey, payload: &[u8], renewal: Option<Renewal>) {
        let reached = self.steps.iter().filter_map(|step| step.person);
        let partition = |person| 1 << (self.people[index(person)].partition.0 % 64);
        let partitions = reached.clone().fold(0_u64, |all, person| all | partition(person));
        let tags = reached.map(|person| self.tag(person));
        let tag = tags.reduce(|one, other| if one == other { one } else { Tag::SEVERAL });
        let about = (partitions, tag.unwrap_or_default(), self.shortest);
        if self.memory.remember(self.now.mono, (source, key), payload, renewal, about) {
            self.unsaved.topic(key);
            self.steps.iter().filter_map(|step| step.person).for_each(|person| self.unsaved.person(person));
        }
    }

    fn refuse(&mut self, reason: Reason) -> Handled<'_> {
        self.steps.push(Step { rule: None, person: None, result: Err(reason) });
        Handled { steps: &self.steps }
    }

    /// What one rule makes of a message; with the renewal, if the same again would only renew a share.
    pub(super) fn take(
        &mut self,
        message: Message<'_>,
        rule: RuleId,
        mut effect: Effect<'_>,
    ) -> (Step, Option<Renewal>) {
        let Message { source, key, publish, recall } = message;
        let id = self.slots[effect.person];
        let now = self.now;
        let mut step = Step { rule: Some(rule), person: Some(id), result: Err(Reason::RetainedIgnored) };
        let origin = Origin::new(source, &effect, &self.names);
        let board = &mut self.people[index(id)].board;
        let state = self.sources.get(usize::from(source.0)).copied().unwrap_or_default();
        let mut plain = state.gap.is_none() && effect.only_renews();
        if publish.retain {
            if !effect.accept_retained || effect.timed && recall != Recall::Same {
                return (step, None);
            }
            // Where the clock could not be right, how old it is is as unknown as for a topic never heard before.
            let doubtful = board.doubts(now, origin);
            if recall == Recall::Same && !doubtful {
                if board.confirm(now, origin, &mut self.memory) {
                    self.unsaved.person(id);
                }
                step.result = Err(Reason::Replay);
                self.settle(id);
                return (step, None);
            }
            if recall == Recall::New || doubtful {
                effect.ttl = effect.ttl.min(FIRST_RETAINED);
            }
            effect.ttl = effect.ttl.min(publish.expiry.unwrap_or(effect.ttl));
            plain = false;
        } else if let Some(gap) = state.backlog {
            // It may have waited at the broker since the gap began.
            effect.ttl = effect.ttl.saturating_sub(now.mono.since(gap));
            plain = false;
        }
        let blinded = board.is_blinded(origin);
        let applied = board.apply(now, origin, rule, &effect, self.plan.policy.grace, &mut self.memory);
        step.result = applied.as_ref().map(|(applied, _)| *applied).map_err(|reason| *reason);
        self.shortest = self.shortest.min(effect.ttl);
        let share = applied.ok().and_then(|(_, share)| share).filter(|_| plain);
        let ttl = share.and_then(|share| share.let_renew(now, key));
        if blinded {
            self.unsaved.person(id); // an end that deafness had set is lifted
        }
        if step.result == Ok(Applied::Changed) {
            self.people[index(id)].stirred = now.mono;
            self.unsaved.person(id);
        }
        self.settle(id);
        (step, ttl.map(|ttl| Renewal { person: id, rule, ttl }))
    }

    /// A pause goes the way of a share's message, so that the memory of topics, retained replays and the journal treat it
    /// alike: a replay of what was heard before does not pause anew whoever was let go on by other means.
    fn take_pause(&mut self, said: Result<Pause, Reason>, message: Message<'_>) -> Step {
        let Message { source, publish, recall, .. } = message;
        let refused = |person, reason| Step { rule: Some(RuleId::DOOR), person, result: Err(reason) };
        let Pause { person, on, span, until } = match said {
            Ok(said) => said,
            Err(reason) => return refused(None, reason),
        };
        let id = self.slots[person];
        if publish.retain && recall == Recall::Same {
            return refused(Some(id), Reason::Replay);
        }
        if publish.retain && span.is_some() {
            return refused(Some(id), Reason::RetainedIgnored); // nobody knows when it was said
        }
        let now = self.now;
        // What waited at the broker may be as old as the gap; what is retained lasts as long as the broker keeps it.
        let backlog = self.sources.get(usize::from(source.0)).and_then(|state| state.backlog);
        let span = match backlog.filter(|_| !publish.retain) {
            Some(gap) => span.map(|span| span.saturating_sub(now.mono.since(gap))),
            None => span.or(publish.expiry.filter(|_| publish.retain)),
        };
        let until =
            Deadline { mono: span.map_or(Mono::MAX, |span| now.mono + span), wall: until.unwrap_or(Timestamp::MAX) };
        let pause = on.then_some(until).filter(|until| !until.reached(now));
        let applied = if self.people[index(id)].paused == pause { Applied::Renewed } else { Applied::Changed };
        if applied == Applied::Changed {
            self.handle_pause(now, id, pause);
        }
        Step { rule: Some(RuleId::DOOR), person: Some(id), result: Ok(applied) }
    }

    /// Somebody is to be forgotten. What is retained was said at any time, and is to be said again by whoever means it.
    fn take_forget(&mut self, said: Result<usize, Reason>, retain: bool) -> Step {
        let step = |person, result| Step { rule: Some(RuleId::DOOR), person, result };
        match said {
            Err(reason) => step(None, Err(reason)),
            Ok(_) if retain => step(None, Err(Reason::RetainedIgnored)),
            Ok(place) => {
                let id = self.slots[place];
                self.handle_forget(self.now, id);
                step(Some(id), Ok(Applied::Changed))
            }
        }
    }

    /// A topic speaks of something else: what it renewed so far is written down at the share.
    pub(super) fn stop_renewal(&mut self, key: TopicKey) {
        if let Some((person, at)) = self.memory.stop(key) {
            self.people[index(person)].board.stop_renewal(key, at);
        }
    }

    /// Before anything that bears on all shares.
    pub(super) fn stop_renewals(&mut self) {
        for person in &mut self.people {
            person.board.stop_renewals(&self.memory);
        }
        self.memory.stop_all();
    }
}
