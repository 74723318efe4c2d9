//! What is subscribed, so that the rules hear what they take.

use super::{Rule, Rules};
use crate::presence::action::SourceId;
use crate::presence::topic::minimal_filters;

impl Rules {
    /// The MQTT filters to subscribe, of all brokers together.
    #[must_use]
    pub fn filters(&self) -> Vec<String> {
        self.filters_where(|_| true, true)
    }

    /// The MQTT filters to subscribe at one broker; `door`: it has the door, too.
    #[must_use]
    pub fn filters_of(&self, source: SourceId, door: bool) -> Vec<String> {
        self.filters_where(|rule| rule.source.is_none_or(|only| only == source), door)
    }

    fn filters_where(&self, wanted: impl Fn(&Rule) -> bool, door: bool) -> Vec<String> {
        let door = self.door.iter().filter(|_| door).map(|door| format!("{door}+/+"));
        let of = |rule: &Rule| rule.siblings.iter().map(|sibling| sibling.pattern.filter()).collect::<Vec<_>>();
        let rules = self.rules.iter().filter(|rule| wanted(rule));
        minimal_filters(rules.flat_map(|rule| [vec![rule.pattern.filter()], of(rule)].concat()).chain(door).collect())
    }
}
