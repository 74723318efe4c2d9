//! A picture of a day: per person a bar for each signal while it is on, what colleagues see, and the calls to Graph. Plain
//! SVG, so that a browser shows it and an issue can carry it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::Played;
use super::tell::{Event, What, rfc3339, words};
use crate::presence::{Plan, Signal, Timestamp};

/// Bars and ticks that are kept, of everybody together.
const MOST_MARKS: usize = 20_000;
/// People that are drawn, in the order of their names.
const MOST_PEOPLE: usize = 200;

const LEFT: f64 = 170.0;
const WIDTH: f64 = 1000.0;
const RIGHT: f64 = 30.0;
const ROW: f64 = 22.0;
const BAR: f64 = 15.0;
const TOP: f64 = 60.0;
/// A letter of the small font, about.
const LETTER: f64 = 6.2;

/// Collects what is drawn.
#[derive(Debug, Default)]
pub struct Picture {
    /// Names in the order of priority, with the colour of what each calls for.
    signals: Vec<(Box<str>, &'static str)>,
    people: BTreeMap<Arc<str>, Day>,
    marks: usize,
    left_out: u64,
}

#[derive(Debug, Default)]
struct Day {
    signals: BTreeMap<Box<str>, Vec<(Duration, Option<Duration>)>>,
    seen: Vec<(Duration, String)>,
    calls: Vec<(Duration, Call)>,
}

#[derive(Clone, Debug)]
enum Call {
    Set(String),
    Refresh(String),
    Clear,
}

impl Picture {
    /// With the signals of a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let light = |signal: &Signal| match signal.presence {
            Some(presence) => colours(presence.as_str()).map_or(PLAIN, |colours| colours.1),
            None => PLAIN,
        };
        let signals = plan.signals.iter().map(|signal| (signal.name.clone(), light(signal))).collect();
        Picture { signals, ..Picture::default() }
    }

    /// Takes an event.
    pub fn add(&mut self, event: &Event) {
        let t = event.t;
        let user = match &event.what {
            What::Signal { user, .. } | What::Call { user, .. } | What::Seen { user, .. } => user,
            What::Effect(_) | What::Wanted { .. } => return,
        };
        if let What::Signal { signal, on: false, .. } = &event.what {
            let bars = self.people.get_mut(user).and_then(|day| day.signals.get_mut(signal));
            if let Some((_, end @ None)) = bars.and_then(|bars| bars.last_mut()) {
                *end = Some(t);
            }
            return;
        }
        if self.marks >= MOST_MARKS || self.people.len() >= MOST_PEOPLE && !self.people.contains_key(user) {
            self.left_out += 1;
            return;
        }
        self.marks += 1;
        let day = self.people.entry(Arc::clone(user)).or_default();
        match &event.what {
            What::Signal { signal, .. } => day.signals.entry(signal.clone()).or_default().push((t, None)),
            What::Seen { presence, .. } => day.seen.push((t, presence.clone())),
            What::Call { set: None, .. } => day.calls.push((t, Call::Clear)),
            What::Call { set: Some((presence, _)), refresh, .. } => {
                let pair = presence.to_string();
                day.calls.push((t, if *refresh { Call::Refresh(pair) } else { Call::Set(pair) }));
            }
            What::Effect(_) | What::Wanted { .. } => {}
        }
    }

    /// The whole picture.
    #[must_use]
    pub fn draw(&self, played: &Played) -> String {
        let axis = Axis { start: played.start, span: played.span.max(Duration::from_secs(1)) };
        let rows: usize = self.people.values().map(|day| day.signals.len() + 4).sum();
        let bottom = TOP + ROW * count(rows.max(1));
        let mut svg = Svg::default();
        svg.text(12.0, 24.0, "title", &format!("Presence from {} on, {}", rfc3339(played.start), words(played.span)));
        let mut heads = TOP;
        for day in self.people.values() {
            svg.band(heads, "head");
            svg.band(heads + ROW * count(day.signals.len() + 1), "shown");
            heads += ROW * count(day.signals.len() + 4);
        }
        axis.draw(&mut svg, bottom);
        let mut y = TOP;
        for (user, day) in &self.people {
            y = day.draw(user, &self.signals, &axis, y, &mut svg);
        }
        if self.people.is_empty() {
            svg.text(LEFT, TOP + BAR, "row", "Nothing happened to anybody.");
        }
        legend(&mut svg, bottom + 24.0, self.left_out);
        svg.finish(LEFT + WIDTH + RIGHT, bottom + 64.0)
    }
}

impl Day {
    fn draw(&self, user: &str, names: &[(Box<str>, &'static str)], axis: &Axis, mut y: f64, svg: &mut Svg) -> f64 {
        svg.text(12.0, y + BAR, "name", user);
        y += ROW;
        let priority = |signal: &str| names.iter().position(|(name, _)| **name == *signal);
        let mut signals: Vec<_> = self.signals.iter().collect();
        signals.sort_by_key(|(signal, _)| priority(signal).unwrap_or(usize::MAX));
        for (signal, bars) in signals {
            svg.text(24.0, y + BAR - 2.0, "row", signal);
            let colour = priority(signal).map_or(PLAIN, |at| names[at].1);
            for (from, to) in bars {
                axis.bar(svg, y, (*from, to.unwrap_or(axis.span)), colour, "dark", signal);
            }
            y += ROW;
        }
        svg.text(24.0, y + BAR - 2.0, "row", "colleagues see");
        let ends = self.seen.iter().skip(1).map(|(t, _)| *t).chain([axis.span]);
        for ((from, pair), to) in self.seen.iter().zip(ends) {
            if let Some((colour, _)) = colours(pair) {
                axis.bar(svg, y, (*from, to), colour, "in", pair);
            }
        }
        y += ROW;
        svg.text(24.0, y + BAR - 2.0, "row", "calls to Graph");
        for (t, call) in &self.calls {
            axis.call(svg, y, *t, call);
        }
        y + 2.0 * ROW
    }
}

/// A signal that shows nothing.
const PLAIN: &str = "#c9d1dc";

/// Of what is shown, and of a signal that calls for it; `None`: nothing of ours is shown.
fn colours(pair: &str) -> Option<(&'static str, &'static str)> {
    match pair.split('/').next().unwrap_or_default() {
        "Busy" if pair.ends_with("InAConferenceCall") => Some(("#7b5ea7", "#cfc1e6")),
        "Busy" => Some(("#c4314b", "#f0b9c1")),
        "DoNotDisturb" => Some(("#7a1230", "#dba3b4")),
        "Available" => Some(("#3f8f3f", "#b9dcb5")),
        "Away" | "BeRightBack" => Some(("#c98a00", "#f1d9a0")),
        _ => None,
    }
}

struct Axis {
    start: Timestamp,
    span: Duration,
}

/// Steps between times on the axis, seconds.
const STEPS: [u64; 16] = [1, 5, 10, 30, 60, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 604_800];

impl Axis {
    fn x(&self, t: Duration) -> f64 {
        LEFT + WIDTH * (t.as_secs_f64() / self.span.as_secs_f64()).clamp(0.0, 1.0)
    }

    fn step(&self) -> u64 {
        let seconds = self.span.as_secs().max(1);
        STEPS.into_iter().find(|step| seconds / step <= 12).unwrap_or(seconds / 12)
    }

    /// Round times of day, as lines with their names.
    fn draw(&self, svg: &mut Svg, bottom: f64) {
        let step = i64::try_from(self.step().saturating_mul(1000)).unwrap_or(i64::MAX);
        let start = self.start.as_millis();
        let mut at = start.saturating_add((step - start.rem_euclid(step)).rem_euclid(step));
        let mut day = String::new();
        for _ in 0..32 {
            let t = Timestamp::from_millis(at).since(self.start);
            if t > self.span {
                break;
            }
            let (x, text) = (self.x(t), rfc3339(Timestamp::from_millis(at)));
            svg.line(x, TOP - 6.0, x, bottom, "grid");
            let (date, time) = text.split_once('T').unwrap_or((&text, ""));
            svg.text(x, TOP - 10.0, "time", time.get(..if step < 60_000 { 8 } else { 5 }).unwrap_or(time));
            if date != day {
                svg.text(x, TOP - 22.0, "time", &format!("{date} UTC"));
                date.clone_into(&mut day);
            }
            at = at.saturating_add(step);
        }
    }

    fn bar(&self, svg: &mut Svg, y: f64, (from, to): (Duration, Duration), colour: &str, class: &str, name: &str) {
        let (x, end) = (self.x(from), self.x(to));
        let width = (end - x).max(1.0);
        let title = format!("{name}: {} to {}", self.time(from), self.time(to));
        svg.bar(x, y, width, colour, &title);
        if width > LETTER * count(name.chars().count()) + 8.0 {
            svg.text(x + 4.0, y + BAR - 4.0, class, name);
        }
    }

    /// A tick: long for a change, short for a refresh.
    fn call(&self, svg: &mut Svg, y: f64, t: Duration, call: &Call) {
        let x = self.x(t);
        let (class, height, what) = match call {
            Call::Set(pair) => ("set", BAR, format!("setPresence {pair}")),
            Call::Refresh(pair) => ("refresh", BAR / 2.0, format!("refresh of {pair}")),
            Call::Clear => ("clear", BAR, "clearPresence".to_owned()),
        };
        svg.tick(x, y + BAR - height, height, class, &format!("{what} at {}", self.time(t)));
    }

    fn time(&self, t: Duration) -> String {
        rfc3339(self.start + t)
    }
}

fn legend(svg: &mut Svg, y: f64, left_out: u64) {
    let pairs =
        ["DoNotDisturb/Presenting", "Busy/InACall", "Busy/InAConferenceCall", "Available/Available", "Away/Away"];
    let mut x = 12.0;
    for pair in pairs {
        let Some((dark, light)) = colours(pair) else { continue };
        svg.swatch(x, y - 9.0, light);
        svg.swatch(x + 10.0, y - 9.0, dark);
        svg.text(x + 24.0, y, "time left", pair);
        x += 36.0 + LETTER * count(pair.len());
    }
    for (class, height, name) in
        [("set", 10.0, "setPresence"), ("refresh", 5.0, "refresh"), ("clear", 10.0, "clearPresence")]
    {
        svg.tick(x + 4.0, y + 1.0 - height, height, class, name);
        svg.text(x + 10.0, y, "time left", name);
        x += 24.0 + LETTER * count(name.len());
    }
    svg.text(12.0, y + 16.0, "time left", "Light: what signals call for. Dark: what colleagues see. Where nothing is shown, the person's own Teams clients decide.");
    if left_out > 0 {
        svg.text(12.0, y + 32.0, "time left", &format!("{left_out} marks are left out."));
    }
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}

#[derive(Default)]
struct Svg(String);

const STYLE: &str = "text{font:11px sans-serif;fill:#222}.title{font:bold 14px sans-serif}.name{font-weight:bold}\
                     .time{fill:#555;text-anchor:middle;font-size:10px}.left{text-anchor:start}.in{fill:#fff;font-size:10px}.dark{font-size:10px}\
                     .grid{stroke:#dfe3e8}.head{fill:#e9edf2}.shown{fill:#f6f7f9}.set{stroke:#000;stroke-width:2}.refresh{stroke:#777}\
                     .clear{stroke:#1463b8;stroke-width:2}";

impl Svg {
    // Writing into a String cannot fail.
    fn add(&mut self, arguments: std::fmt::Arguments<'_>) {
        let _added = self.0.write_fmt(arguments);
        self.0.push('\n');
    }

    fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        self.add(format_args!(r#"<text x="{x:.1}" y="{y:.1}" class="{class}">{}</text>"#, escaped(text)));
    }

    fn line(&mut self, x1: f64, y1: f64, x2: f64, y2: f64, class: &str) {
        self.add(format_args!(r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" class="{class}"/>"#));
    }

    fn tick(&mut self, x: f64, y: f64, height: f64, class: &str, title: &str) {
        let (end, title) = (y + height, escaped(title));
        self.add(format_args!(
            r#"<line x1="{x:.1}" y1="{y:.1}" x2="{x:.1}" y2="{end:.1}" class="{class}"><title>{title}</title></line>"#
        ));
    }

    fn bar(&mut self, x: f64, y: f64, width: f64, colour: &str, title: &str) {
        let title = escaped(title);
        self.add(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{BAR}" rx="2" fill="{colour}"><title>{title}</title></rect>"#
        ));
    }

    /// Behind a whole row.
    fn band(&mut self, y: f64, class: &str) {
        let (y, width) = (y - 3.0, LEFT + WIDTH - 6.0);
        self.add(format_args!(r#"<rect x="6" y="{y:.1}" width="{width:.1}" height="{ROW}" class="{class}"/>"#));
    }

    fn swatch(&mut self, x: f64, y: f64, colour: &str) {
        self.add(format_args!(r#"<rect x="{x:.1}" y="{y:.1}" width="10" height="10" fill="{colour}"/>"#));
    }

    fn finish(self, width: f64, height: f64) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\" role=\"img\">\n<style>{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" \
             fill=\"#fff\"/>\n{}</svg>\n",
            self.0
        )
    }
}

/// For text and attributes of XML; what XML cannot hold becomes a dot.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\u{fffe}' | '\u{ffff}' => safe.push('\u{b7}'),
            c if c.is_control() => safe.push('\u{b7}'),
            c => safe.push(c),
        }
    }
    safe
}
