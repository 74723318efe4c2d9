//! Forgetting somebody: of all that devices said of them nothing is left, neither here nor in the next snapshot.

use super::super::action::{Action, PersonId};
use super::super::now::Now;
use super::super::snapshot::Tag;
use super::{Core, index};

impl Core {
    /// Forgets what devices said of a person: the shares, what their topics said last, what rules remember, and a pause. What
    /// Graph holds by that goes by a clear, as when everything had ended; when that is answered nothing is left to save. Who is listed
    /// is set again by the next message.
    pub fn handle_forget(&mut self, now: Now, person: PersonId) {
        self.tick(now);
        let tag = self.tag(person);
        if index(person) >= self.people.len() {
            return;
        }
        self.stop_renewals(); // topics may go that others' shares were renewed by
        let known = &mut self.people[index(person)];
        known.board.retain(|_| false);
        known.paused = None;
        let partition = 1_u64 << (known.partition.0 % 64);
        self.memory.forget(person, partition, tag);
        // A journal is written anew: in what it holds by now they are named.
        self.unsaved.everything();
        self.out.push_back(Action::Changed { person });
        self.settle(person);
    }

    /// Of a person, for what is remembered.
    pub(super) fn tag(&self, person: PersonId) -> Tag {
        self.people.get(index(person)).map_or(Tag::SEVERAL, |person| Tag::of(person.seed))
    }
}
