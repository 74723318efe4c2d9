//! Read-back: asks Graph what colleagues see when the core wants to know, and tells what came of it.

use std::collections::HashMap;

use super::{Bridge, report};
use crate::graph::{Seen, Unread};
use crate::presence::{Held, ObjectId, PersonId, TenantId};

/// A read that ended.
pub(super) struct Read {
    tenant: TenantId,
    serial: u64,
    asked: Vec<(ObjectId, PersonId)>,
    answer: Result<Vec<Seen>, Unread>,
}

impl Bridge {
    pub(super) fn read(&mut self, tenant: TenantId, serial: u64) {
        let people = self.core.reading(tenant).iter();
        let asked: Vec<_> = people.map(|&person| (self.core.person(person).object_id, person)).collect();
        let graph = self.graph.clone();
        self.recent.note(self.clock.now().mono);
        self.reads.spawn(async move {
            let answer = match graph {
                Some(graph) => {
                    let ids: Vec<ObjectId> = asked.iter().map(|(id, _)| *id).collect();
                    graph.presences(&ids).await
                }
                None => Ok(Vec::new()), // dry run
            };
            Read { tenant, serial, asked, answer }
        });
    }

    pub(super) fn was_read(&mut self, joined: Result<Read, tokio::task::JoinError>) {
        let Ok(Read { tenant, serial, asked, answer }) = joined else { return };
        let now = self.clock.now();
        self.telemetry.tell(&report::ReadEnded { unread: answer.as_ref().err(), people: asked.len() });
        let answer = match answer {
            Ok(answer) => answer,
            Err(unread) => return self.core.handle_read(now, tenant, serial, Err(unread.why)),
        };
        let people: HashMap<ObjectId, PersonId> = asked.into_iter().collect();
        // Of whom Graph says nothing, nothing is known: they are not lost.
        let known = answer.iter().filter(|seen| !seen.is_unknown());
        let seen: Vec<(PersonId, &str, &str)> =
            known.filter_map(|seen| Some((*people.get(&seen.id)?, &*seen.availability, &*seen.activity))).collect();
        let before: Vec<Held> = seen.iter().map(|&(person, ..)| self.core.view(person).held()).collect();
        self.core.handle_read(now, tenant, serial, Ok(&seen));
        for (&(person, availability, activity), before) in seen.iter().zip(before) {
            let view = self.core.view(person);
            let overridden = matches!(view.seen(), Some(Err(_)));
            let again = before != Held::Unknown && view.held() == Held::Unknown;
            if overridden || again {
                let (user, held) = (view.label(), super::words::held(before));
                self.telemetry.tell(&report::NotSeen { user, held, availability, activity, overridden });
            }
        }
    }
}
