//! What is subscribed: asked for in requests of a few filters, told apart by their packet ids, and those that a broker
//! refused once more from time to time. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::presence::Mono;

/// Filters in one SUBSCRIBE. AWS IoT Core takes no more.
const TOGETHER: usize = 8;
/// A filter that was refused is asked for again: rights come back without a word.
const AGAIN: Duration = Duration::from_secs(60);

/// The subscriptions of one link.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// Given to the client, not yet sent.
    unsent: VecDeque<Vec<String>>,
    /// Sent, not yet answered.
    sent: Vec<(u16, Vec<String>)>,
    /// Refused, and in which words.
    refused: Vec<(String, String)>,
    again: Option<Mono>,
}

impl Subscriptions {
    /// The requests for these filters.
    pub(super) fn requests<'a>(filters: impl Iterator<Item = &'a String>) -> Vec<Vec<String>> {
        let filters: Vec<String> = filters.cloned().collect();
        filters.chunks(TOGETHER).map(<[String]>::to_vec).collect()
    }

    /// A request is with the client.
    pub(super) fn asked(&mut self, filters: Vec<String>) {
        self.unsent.push_back(filters);
    }

    /// The client sent the oldest request.
    pub(super) fn sent(&mut self, pkid: u16) {
        if let Some(filters) = self.unsent.pop_front() {
            self.sent.push((pkid, filters));
        }
    }

    /// The broker answered. `true`: it was the last answer awaited.
    pub(super) fn answered(&mut self, now: Mono, pkid: u16, codes: Vec<Result<(), String>>) -> bool {
        let Some(place) = self.sent.iter().position(|(sent, _)| *sent == pkid) else { return false };
        let (_, filters) = self.sent.swap_remove(place);
        self.refused.retain(|(filter, _)| !filters.contains(filter));
        for (filter, code) in filters.into_iter().zip(codes) {
            if let Err(words) = code {
                self.refused.push((filter, words));
            }
        }
        self.again = (!self.refused.is_empty()).then(|| now + AGAIN);
        !self.are_awaited()
    }

    pub(super) fn refused(&self) -> &[(String, String)] {
        &self.refused
    }

    /// A filter is not wanted any more, refused or not.
    pub(super) fn drop_refused(&mut self, filter: &str) {
        self.refused.retain(|(refused, _)| refused != filter);
        self.again = self.again.filter(|_| !self.refused.is_empty());
    }

    /// When refused filters are asked for again.
    pub(super) fn wake(&self) -> Mono {
        self.again.unwrap_or(Mono::MAX)
    }

    /// The refused filters, if their time has come.
    pub(super) fn timeout(&mut self, now: Mono) -> Vec<Vec<String>> {
        if self.again.is_none_or(|again| now < again) {
            return Vec::new();
        }
        self.again = Some(now + AGAIN);
        Self::requests(self.refused.iter().map(|(filter, _)| filter))
    }

    /// The broker has not answered everything that was asked.
    pub(super) fn are_awaited(&self) -> bool {
        !(self.unsent.is_empty() && self.sent.is_empty())
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self) {
        *self = Subscriptions::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(filters: &[&str]) -> Vec<String> {
        filters.iter().map(|filter| (*filter).to_owned()).collect()
    }

    #[test]
    fn answers_are_told_apart_by_their_packet_ids_and_only_the_refused_are_asked_for_again() {
        let (start, mut subscriptions) = (Mono::from_millis(1_000_000), Subscriptions::default());
        subscriptions.asked(names(&["a", "b"]));
        subscriptions.asked(names(&["c"]));
        subscriptions.sent(1);
        subscriptions.sent(2);
        assert!(!subscriptions.answered(start, 2, vec![Err("no".to_owned())]));
        assert!(subscriptions.answered(start, 1, vec![Ok(()), Err("never".to_owned())]));
        assert!(!subscriptions.answered(start, 9, vec![Ok(())]), "not ours");
        let refused: Vec<_> = subscriptions.refused().iter().map(|(filter, _)| filter.as_str()).collect();
        assert_eq!(refused, ["c", "b"]);
        assert!(subscriptions.timeout(start + Duration::from_secs(59)).is_empty());
        assert_eq!(subscriptions.timeout(start + AGAIN), [names(&["c", "b"])]);
        subscriptions.asked(names(&["c", "b"]));
        subscriptions.sent(3);
        assert!(subscriptions.answered(start, 3, vec![Ok(()), Ok(())]));
        assert!(subscriptions.refused().is_empty());
        assert_eq!(subscriptions.wake(), Mono::MAX);
    }

    #[test]
    fn requests_hold_a_few_filters_each() {
        let many: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let sizes: Vec<usize> = Subscriptions::requests(many.iter()).iter().map(Vec::len).collect();
        assert_eq!(sizes, [8, 8, 4]);
    }
}
