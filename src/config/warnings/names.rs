//! Names that stand in topics, and that some brokers read otherwise.

use std::ops::Range;

use super::super::reader::Section;
use super::{DOTS_IN_NAMES, Read};

/// As many names as one warning shows.
const SHOWN: usize = 3;

const HINT: &str = "with such a broker write a-b or a_b; with mosquitto, EMQX or HiveMQ it does no harm: allow = [\"dots-in-names\"] in \
                    [check]";

pub(super) fn find(root: &Section<'_, '_>, read: &Read<'_>) {
    // Only these are names of topics where the bridge has no others.
    if read.sources.iter().any(|source| source.own_topics) {
        if let Some(section) = root.table("signals") {
            let names: Vec<&str> =
                read.plan.signals.iter().map(|signal| &*signal.name).filter(|name| splits(name)).collect();
            tell(root, "signals", place_in(&section, &names), &names);
        }
        people(root, read);
        if splits(read.topic_prefix) {
            tell(root, "topic_prefix", None, &[read.topic_prefix]);
        }
    }
    let ids: Vec<&str> = read.sources.iter().map(|source| &*source.client_id).filter(|id| splits(id)).collect();
    let brokers = root.table("mqtt").into_iter().chain(root.tables("source"));
    let written = brokers.filter_map(|broker| broker.text("client_id").or_else(|| broker.text("name")));
    let place = written.into_iter().find(|at| splits(&at.value)).map(|at| at.span);
    tell(root, "client_id", place, &ids);
}

/// Everybody at once: there may be a hundred thousand of them.
fn people(root: &Section<'_, '_>, read: &Read<'_>) {
    let waiting = read.people.waiting.iter().map(|(label, _)| &**label);
    let labels = read.plan.people.iter().map(|person| &*person.label).chain(waiting);
    let names: Vec<&str> = labels.filter(|name| splits(name)).collect();
    let users = root.table("users").and_then(|users| place_in(&users, &names));
    let file = || root.table("people").and_then(|people| people.find("file")).map(|at| at.span);
    tell(root, "users", users.or_else(file), &names);
}

fn splits(name: &str) -> bool {
    name.contains(['.', '*', ' '])
}

fn place_in(section: &Section<'_, '_>, names: &[&str]) -> Option<Range<usize>> {
    let first = *names.first()?;
    section.each().find(|(key, _)| key.value == first).map(|(key, _)| key.span)
}

fn tell(root: &Section<'_, '_>, key: &str, place: Option<Range<usize>>, names: &[&str]) {
    if names.is_empty() {
        return;
    }
    let mut shown = names.iter().take(SHOWN).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        shown += &format!(" and {} more", names.len() - SHOWN);
    }
    let text = format!(
        "a dot, a star or a space in what stands in topics, {shown}: RabbitMQ makes a level of the dot and a wildcard of the star, \
         NATS ends the connection of whoever publishes a dot or a space"
    );
    root.warn_at(DOTS_IN_NAMES, place, key, text, HINT);
}
