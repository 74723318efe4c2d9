//! What the loop owes to a service manager: that it runs, and word of life as long as it and the task of every link progress.
//! Who else could say it would say it also for a loop that hangs.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

use super::Bridge;
use super::links::{Link, State};
use crate::service::Manager;

/// Word of life in this part of the time that the manager waits: one may be late.
const PART: u32 = 3;
/// Not more often: the task of a link shows once a second that it progresses.
const LEAST: Duration = Duration::from_millis(1_200);
/// The status line is looked at so often where nobody waits for a word of life.
const LOOK: Duration = Duration::from_secs(10);

/// The manager, and when it is to be told something.
#[derive(Default)]
pub(super) struct Duty {
    manager: Manager,
    turn: Option<Interval>,
    /// Of each link, at the last word of life.
    turns: Vec<u64>,
}

impl Duty {
    /// Ready when something is to be told; never, where there is no manager. Safe to cancel.
    pub(super) async fn due(&mut self) {
        match &mut self.turn {
            Some(turn) => drop(turn.tick().await),
            None => std::future::pending().await,
        }
    }

    /// The place of a link whose task has not taken a turn since the last time.
    fn hangs(&mut self, turns: Vec<u64>) -> Option<usize> {
        let before = std::mem::replace(&mut self.turns, turns);
        self.turns.iter().zip(before).position(|(now, before)| *now == before)
    }

    pub(super) fn end(&self) {
        self.manager.status("Stopping.");
        self.manager.stopping();
    }
}

impl Bridge {
    /// Tells `manager` how it goes.
    #[must_use]
    pub fn under(mut self, manager: Manager) -> Bridge {
        self.duty.manager = manager;
        self
    }

    pub(super) fn begin_duty(&mut self) {
        let duty = &mut self.duty;
        if !duty.manager.is_there() {
            return;
        }
        let every = duty.manager.watchdog().map_or(LOOK, |limit| (limit / PART).max(LEAST));
        let mut turn = tokio::time::interval(every);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        duty.turn = Some(turn);
        duty.manager.ready();
    }

    pub(super) fn do_duty(&mut self) {
        let turns = self.links.iter().map(|link| link.handle.turns()).collect();
        match self.duty.hangs(turns).and_then(|place| self.links.get(place)) {
            Some(link) => {
                let source = link.name.as_str();
                tracing::error!(source, "The task of this link hangs; the service manager hears no word of life.");
            }
            None => self.duty.manager.alive(),
        }
        self.duty.manager.status(&self.in_a_line());
    }

    fn in_a_line(&self) -> String {
        let link = |link: &Link| match link.state {
            State::Up => format!("{} connected", link.name),
            State::Down => format!("{} NOT CONNECTED", link.name),
            State::Deaf => format!("{} CONNECTED, BUT NOTHING IS HEARD", link.name),
        };
        let links: Vec<String> = self.links.iter().map(link).collect();
        let census = self.census();
        let alarms: Vec<&str> = self.telemetry.alarms().iter().map(|alarm| alarm.name).collect();
        let alarms = if alarms.is_empty() { String::new() } else { format!("; alarms: {}", alarms.join(", ")) };
        format!("{}; {} of {} people taken{alarms}", links.join(", "), census.taken, census.listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_takes_no_turn_hangs_and_one_that_does_is_forgiven() {
        let mut duty = Duty::default();
        let seen = [vec![0, 0], vec![1, 3], vec![1, 4], vec![2, 4], vec![3, 5]].map(|turns| duty.hangs(turns));
        assert_eq!(seen, [None, None, Some(0), Some(1), None]);
    }
}
