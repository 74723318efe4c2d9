//! A message on its way through the rules, for whoever asks.

use super::shown::{cut, place, value};
use super::{Condition, Elements, List, Look, Outcome, Passed, Trace};
use crate::presence::action::SourceId;
use crate::presence::plan::RuleId;
use crate::presence::rule::elements::{calendars, elements, words};
use crate::presence::rule::json::Json;
use crate::presence::rule::judge::all_hold;
use crate::presence::rule::payload::{Payload, Sight};
use crate::presence::rule::reason::Refused;
use crate::presence::rule::text::Scratch;
use crate::presence::rule::words::Value;
use crate::presence::rule::{Fact, LARGEST, Place, Reason, Role, Rule, Rules, Words};
use crate::presence::topic::Pattern;

impl Rules {
    /// What each rule makes of a message, in the order in which the core takes them: a pause, topics beside the rules'
    /// own, the door, the rules. Rules that do not take the topic are not among them.
    #[must_use]
    pub fn trace(&self, source: SourceId, topic: &str, payload: &[u8]) -> Vec<Trace> {
        let mut traces = Vec::new();
        if let Some(said) = self.pause(topic, payload) {
            traces.push(self.through_door(topic, payload, said.map(Outcome::Pause)));
        }
        let read = Payload::new(payload);
        self.beside(source, topic, payload, &mut |id, link, fact| {
            if let Some(trace) = self.trace_beside(id, link, topic, &read, fact) {
                traces.push(trace);
            }
        });
        if let Some(rest) = self.door.as_deref().and_then(|door| topic.strip_prefix(door)) {
            self.enter(rest, payload, &mut |_, result| {
                let result = result.map(|effect| Outcome::Share(effect.into()));
                traces.push(self.through_door(topic, payload, result));
            });
        }
        self.index.find(topic, &mut |id| {
            let rule = &self.rules[id as usize];
            if self.passes_over(rule, source, topic).is_none()
                && let Some(captures) = rule.pattern.captures(topic)
            {
                self.trace_rule(RuleId(id), &captures, &read, &mut traces);
            }
        });
        traces
    }

    /// Whether a rule or a topic beside one listens to `topic` at this broker.
    #[must_use]
    pub fn takes(&self, source: SourceId, topic: &str) -> bool {
        let mut taken = false;
        let of = |rule: &Rule| rule.source.is_none_or(|only| only == source);
        self.index.find(topic, &mut |id| taken |= of(&self.rules[id as usize]));
        self.sibling_index.find(topic, &mut |id| taken |= of(&self.rules[self.beside[id as usize].0.0 as usize]));
        taken
    }

    /// Why a rule does not take a topic; `None` if it does, or if there is no such rule.
    #[must_use]
    pub fn passed(&self, id: RuleId, source: SourceId, topic: &str) -> Option<Passed<'_>> {
        self.passes_over(self.get(id)?, source, topic)
    }

    fn passes_over<'a>(&self, rule: &'a Rule, source: SourceId, topic: &str) -> Option<Passed<'a>> {
        if rule.source.is_some_and(|only| only != source) {
            return Some(Passed::Source);
        }
        if rule.pattern.captures(topic).is_none() {
            return Some(Passed::Topic);
        }
        let except = rule.except.iter().find(|except| except.captures(topic).is_some());
        except.map(|except| Passed::Except(except.as_str()))
    }

    fn through_door(&self, topic: &str, payload: &[u8], result: Result<Outcome, Reason>) -> Trace {
        let rest = self.door.as_deref().and_then(|door| topic.strip_prefix(door)).unwrap_or_default();
        let label = rest.split('/').next().unwrap_or_default().to_owned();
        let word = std::str::from_utf8(payload).ok().map(|text| cut(text.trim()));
        Trace {
            withdrawn: payload.is_empty(),
            value: Some(Look { place: "payload".to_owned(), found: word }),
            person: self.resolve(&label),
            key: Some(label.clone()),
            subject: Some(Look { place: "topic".to_owned(), found: Some(label) }),
            ..Trace::new(RuleId::DOOR, result)
        }
    }

    fn trace_beside(
        &self,
        id: RuleId,
        link: u64,
        topic: &str,
        payload: &Payload<'_>,
        fact: Result<Fact, Reason>,
    ) -> Option<Trace> {
        let rule = self.get(id)?;
        let (at, sibling, captures) = rule.siblings.iter().enumerate().find_map(|(at, sibling)| {
            let captures = sibling.pattern.captures(topic)?;
            let same = self.key(id, at, captures.iter().copied()) == link;
            same.then_some((at, sibling, captures))
        })?;
        let mut trace = Trace::new(id, fact.map(Outcome::Beside));
        trace.beside = Some(at);
        trace.captures = named(sibling.pattern.names(), &captures);
        trace.withdrawn = payload.bytes.is_empty();
        if payload.bytes.len() <= LARGEST && !trace.withdrawn {
            let sight = Sight::new(payload, sibling.format, &captures, sibling.regex.as_ref());
            trace.value = sight.ok().map(|sight| look(&sight, &sibling.value, &sibling.pattern));
        }
        // Whom it is about can be told as far as the rule finds that in captures that both have.
        let known = |name: &str| sibling.pattern.names().position(|own| own == name).and_then(|at| captures.get(at));
        let known: Vec<Option<&str>> = rule.pattern.names().map(|name| known(name).copied()).collect();
        if let Place::Topic(template) = &rule.subject {
            let found = template.fill_known(&known);
            trace.of(self, rule, found);
        }
        Some(trace)
    }

    fn trace_rule(&self, id: RuleId, captures: &[&str], payload: &Payload<'_>, traces: &mut Vec<Trace>) {
        let rule = &self.rules[id.0 as usize];
        let mut trace = Trace::new(id, Err(Reason::TooLarge));
        trace.captures = named(rule.pattern.names(), captures);
        trace.withdrawn = payload.bytes.len() <= LARGEST && rule.is_withdrawn(payload);
        let regex = rule.regex.as_ref().filter(|_| !trace.withdrawn);
        let sight = (payload.bytes.len() <= LARGEST).then(|| Sight::new(payload, rule.format, captures, regex).ok());
        let mut seen: Vec<Trace> = Vec::new();
        if let Some(sight) = sight.flatten() {
            trace.see(self, rule, &sight, &mut seen);
        }
        let mut seen = seen.into_iter();
        self.judge(id, captures, payload, &mut |_, result| {
            let result = result.map(|effect| Outcome::Share(effect.into())).map_err(Refused::reason);
            // One more than were seen is an array that could not be searched to its end.
            let seen = seen.next().unwrap_or_else(|| trace.clone());
            traces.push(Trace { result, ..seen });
        });
    }
}

impl Trace {
    fn new(rule: RuleId, result: Result<Outcome, Reason>) -> Self {
        Trace {
            rule,
            beside: None,
            captures: Vec::new(),
            withdrawn: false,
            conditions: Vec::new(),
            elements: None,
            value: None,
            list: None,
            subject: None,
            key: None,
            person: None,
            result,
        }
    }

    /// What the rule sees, once for each thing that it says.
    fn see(&mut self, rules: &Rules, rule: &Rule, sight: &Sight<'_>, seen: &mut Vec<Trace>) {
        if !self.withdrawn && !self.conditions("when", &rule.when, sight, rule) {
            return;
        }
        let list = match &rule.any {
            Some(pointer) if !self.withdrawn => (pointer, sight.list(pointer)),
            _ => return seen.push(self.clone().with(rules, rule, sight)),
        };
        let all = elements(list.1);
        let holds = |element: &&Json| all_hold(&rule.filter, &sight.at(element)) == Ok(true);
        let chosen: Vec<&Json> = all.iter().copied().filter(holds).collect();
        self.elements = Some(Elements { at: list.0.to_string(), all: list.1.map(|_| all.len()), chosen: chosen.len() });
        if let (Some(first), true) = (all.first(), chosen.is_empty()) {
            self.conditions("where", &rule.filter, &sight.at(first), rule); // why not, by the first of them
        }
        if rule.window.is_some() {
            let calendars = calendars(rule, sight, &chosen);
            let of = |sight: &Sight<'_>| {
                let mut shown = self.clone();
                shown.of_sight(rules, rule, sight);
                shown
            };
            seen.extend(calendars.iter().map(|calendar| of(&sight.at(calendar.element))));
            if calendars.is_empty() {
                seen.push(of(sight));
            }
            return;
        }
        let words = words(rule, sight, &chosen);
        if words.is_empty() {
            let shown = self.clone();
            return seen.push(match chosen.first() {
                Some(element) => shown.with(rules, rule, &sight.at(element)),
                None => shown.with(rules, rule, sight),
            });
        }
        seen.extend(words.iter().map(|word| self.clone().with(rules, rule, &sight.at(word.element))));
    }

    /// Whether all of them hold.
    fn conditions(&mut self, key: &'static str, tests: &[(Place, Words)], sight: &Sight<'_>, rule: &Rule) -> bool {
        for (at, words) in tests {
            let mut scratch = Scratch::new();
            let found = sight.look(at, &mut scratch).ok().flatten();
            let holds = words.holds(found.as_ref());
            let look = Look { place: place(at, &rule.pattern), found: found.as_ref().map(value) };
            self.conditions.push(Condition { key, look, wants: words.to_string(), holds });
            if !holds {
                return false;
            }
        }
        true
    }

    fn with(mut self, rules: &Rules, rule: &Rule, sight: &Sight<'_>) -> Self {
        if !self.withdrawn {
            let mut scratch = Scratch::new();
            let found = sight.look(&rule.value, &mut scratch).ok().flatten();
            self.list = rule.list(found.as_ref());
            let found = found.as_ref().map(value);
            self.value = Some(Look { place: place(&rule.value, &rule.pattern), found });
        }
        self.of_sight(rules, rule, sight);
        self
    }

    /// Whom it is about, of the whole text that stands there.
    fn of(&mut self, rules: &Rules, rule: &Rule, found: Option<String>) {
        self.key = found.as_deref().and_then(|found| Some(rule.normal.of(found)?.into_owned()));
        self.person = self.key.as_deref().and_then(|key| rules.resolve(key));
        self.subject = Some(Look { place: rule.written(&rule.subject), found: found.as_deref().map(cut) });
    }

    fn of_sight(&mut self, rules: &Rules, rule: &Rule, sight: &Sight<'_>) {
        let mut scratch = Scratch::new();
        let found = sight.look(&rule.subject, &mut scratch).ok().flatten().and_then(Value::into_word);
        self.of(rules, rule, found.map(|found| found.into_owned()));
    }
}

impl Rule {
    /// The first list that holds.
    fn list(&self, value: Option<&Value<'_>>) -> Option<List> {
        let lists = [
            (&self.on, List::On),
            (&self.pulse, List::Pulse),
            (&self.toggle, List::Toggle),
            (&self.off, List::Off),
            (&self.unknown, List::Unknown),
        ];
        let holds = |words: &Words| (value.is_some() || words.wants_none()) && words.holds(value);
        lists.into_iter().find_map(|(words, list)| holds(words).then_some(list))
    }

    /// Its lists that ask for anything, in the order in which they are tried.
    pub fn lists(&self) -> impl Iterator<Item = (List, &Words)> {
        let lists = [
            (List::On, &self.on),
            (List::Pulse, &self.pulse),
            (List::Toggle, &self.toggle),
            (List::Off, &self.off),
            (List::Unknown, &self.unknown),
        ];
        lists.into_iter().filter(|(_, words)| !words.is_empty())
    }

    /// Where something is looked for, as the rule writes it.
    #[must_use]
    pub fn written(&self, at: &Place) -> String {
        place(at, &self.pattern)
    }
}

impl Role {
    /// Its key in a rule.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Role::Until => "attach.until",
            Role::When(_) => "attach.when",
            Role::Unless(_) => "attach.unless",
            Role::Alive { .. } => "availability",
        }
    }
}

fn look(sight: &Sight<'_>, at: &Place, pattern: &Pattern) -> Look {
    let mut scratch = Scratch::new();
    let found = sight.look(at, &mut scratch).ok().flatten();
    Look { place: place(at, pattern), found: found.as_ref().map(value) }
}

fn named<'a>(names: impl Iterator<Item = &'a str>, captures: &[&str]) -> Vec<(String, String)> {
    names.zip(captures).map(|(name, text)| (name.to_owned(), cut(text))).collect()
}
