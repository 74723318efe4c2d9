//! A recorded day through the core, on virtual time: lines in, events out. The tenant model stands in for Graph and says
//! what colleagues see.
//!
//! Somebody who writes rules wants to know what they will do before they do it to people. So this is no second opinion on
//! rules and timers but the core itself, driven as the bridge drives it; only the clock and Graph are others. Nothing here
//! does IO, and no input makes it fail: a line that is not a message is refused with a reason, and the rest goes on.

mod heard;
pub mod line;
pub mod picture;
pub mod story;
pub mod tell;
mod world;

use std::sync::Arc;
use std::time::Duration;

pub use self::heard::Heard;
use self::line::{Line, Message};
use self::tell::excerpt;
pub use self::tell::{Effect, Event, What};
pub use self::world::World;
use crate::presence::{Plan, SourceId, Timestamp};

/// How long it goes on after the last message, where nobody says otherwise: what ends by itself is then seen to end.
const AFTERWARDS: Duration = Duration::from_secs(3600);
/// Recordings do not go beyond: a year.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// When a replay begins and ends.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// What the wall clock reads at `t` = 0, whatever the recording says.
    pub at: Option<Timestamp>,
    /// What it reads then if the recording does not say either.
    pub otherwise: Timestamp,
    /// The end, since `t` = 0; `None`: an hour after the last message.
    pub until: Option<Duration>,
}

/// What was played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// Messages that went through the rules.
    pub messages: u64,
    /// Messages later than the end, not played.
    pub beyond: u64,
    /// What the wall clock read at `t` = 0.
    pub start: Timestamp,
    /// How long it lasted.
    pub span: Duration,
}

/// Plays a recording line by line.
pub struct Player {
    plan: Arc<Plan>,
    sources: Vec<String>,
    span: Span,
    world: Option<World>,
    recorded: Option<Timestamp>,
    last: Duration,
    played: Played,
}

impl Player {
    /// Before the first line. `sources` are the names of the brokers, in the order of their ids.
    #[must_use]
    pub fn new(plan: Plan, sources: Vec<String>, span: Span) -> Self {
        Player {
            plan: Arc::new(plan),
            sources,
            span,
            world: None,
            recorded: None,
            last: Duration::ZERO,
            played: Played::default(),
        }
    }

    /// One line of the recording, without its end. Everything that happens up to its time is told.
    ///
    /// # Errors
    /// Why it is not a message; it is left out, and the next may follow.
    pub fn line(&mut self, bytes: &[u8], tell: &mut dyn FnMut(&Event)) -> Result<(), String> {
        match Line::parse(bytes)? {
            Line::Blank => Ok(()),
            Line::Start(_) if self.world.is_some() || self.recorded.is_some() => {
                Err("a start after the first line: recordings are not joined by writing one behind the other"
                    .to_owned())
            }
            Line::Start(at) => {
                self.recorded = Some(at);
                Ok(())
            }
            Line::Message(mut message) => {
                message.source = message.broker.as_deref().map(|name| self.source(name)).transpose()?;
                self.message(&message, tell)
            }
        }
    }

    fn source(&self, name: &str) -> Result<SourceId, String> {
        let place = self.sources.iter().position(|known| *known == name);
        let known = || self.sources.join(", ");
        let place = place
            .ok_or_else(|| format!("no source {:?} in the configuration; it has: {}", excerpt(name, 80), known()))?;
        Ok(SourceId(u16::try_from(place).unwrap_or(u16::MAX)))
    }

    fn message(&mut self, message: &Message, tell: &mut dyn FnMut(&Event)) -> Result<(), String> {
        let t = message.t.unwrap_or(self.last);
        if t < self.last {
            let [t, last] = [t, self.last].map(|t| t.as_secs_f64());
            return Err(format!("t = {t} lies before the {last} of a line above; sort the lines by t"));
        }
        if t > LONGEST {
            let hint = "t counts from the start of the recording; a date belongs into --at";
            return Err(format!("t = {} is more than a year; {hint}", t.as_secs_f64()));
        }
        self.last = t;
        if self.span.until.is_some_and(|until| t > until) {
            self.played.beyond += 1;
            return Ok(());
        }
        self.played.messages += 1;
        let world = self.world();
        world.run(t, tell);
        world.publish(message, tell);
        Ok(())
    }

    fn world(&mut self) -> &mut World {
        let start = self.span.at.or(self.recorded).unwrap_or(self.span.otherwise);
        let sources = u16::try_from(self.sources.len()).unwrap_or(u16::MAX).max(1);
        self.world.get_or_insert_with(|| World::new(Arc::clone(&self.plan), sources, start))
    }

    /// After the last line: what ends by itself ends, up to the end of the replay.
    pub fn finish(mut self, tell: &mut dyn FnMut(&Event)) -> Played {
        let until = self.span.until.unwrap_or(self.last + AFTERWARDS).min(LONGEST + AFTERWARDS);
        let world = self.world();
        world.run(until, tell);
        let start = world.start();
        Played { span: until, start, ..self.played }
    }
}
