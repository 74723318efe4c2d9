//! Patterns and topics. An input is text: patterns, one a line, an empty line, then topics, one a line.
//!
//! The index agrees with a matcher that reads patterns level by level and tries everything; what captures stand for, put
//! back into the pattern, is the topic; the filters to subscribe deliver what the patterns take.

use presence_bridge::presence::topic::{Index, Pattern, minimal_filters};

/// Which topics a pattern with several levels in one place does not look at: those of more levels.
const MOST_LEVELS: usize = 64;
const MOST_PATTERNS: usize = 64;
const MOST_TOPICS: usize = 16;

/// The plainest matcher there is. Appends what the named captures stand for.
fn plain(pattern: &[&str], topic: &[&str], found: &mut Vec<String>) -> bool {
    let Some((level, pattern)) = pattern.split_first() else { return topic.is_empty() };
    if *level == "#" {
        return true;
    }
    if level.starts_with('{') && level.ends_with("...}") {
        return (1..=topic.len()).any(|taken| {
            let before = found.len();
            found.push(topic[..taken].join("/"));
            plain(pattern, &topic[taken..], found) || {
                found.truncate(before);
                false
            }
        });
    }
    let Some((text, topic)) = topic.split_first() else { return false };
    if let (Some(open), Some(close)) = (level.find('{'), level.find('}')) {
        let (before, after) = (&level[..open], &level[close + 1..]);
        if text.len() <= before.len() + after.len() || !text.starts_with(before) || !text.ends_with(after) {
            return false;
        }
        found.push(text[before.len()..text.len() - after.len()].to_owned());
    } else if *level != "+" && level != text {
        return false;
    }
    plain(pattern, topic, found)
}

fn matches(pattern: &str, topic: &str) -> Option<Vec<String>> {
    let (levels, parts): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), topic.split('/').collect());
    let several = levels.iter().any(|level| *level == "#" || level.contains("..."));
    if several && parts.len() > MOST_LEVELS || topic.starts_with('$') && levels[0].contains(['+', '#', '{']) {
        return None;
    }
    let mut found = Vec::new();
    plain(&levels, &parts, &mut found).then_some(found)
}

/// The pattern with its captures filled in; `None` where it has wildcards without a name.
fn filled(pattern: &Pattern, captures: &[&str]) -> Option<String> {
    if pattern.as_str().contains(['+', '#']) {
        return None;
    }
    let mut captures = captures.iter();
    let mut text = String::new();
    let mut rest = pattern.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        text += before;
        text += captures.next()?;
        rest = after.split_once('}')?.1;
    }
    Some(text + rest)
}

/// The target.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (patterns, topics) = text.split_once("\n\n").unwrap_or((text, text));
    let patterns: Vec<Pattern> =
        patterns.lines().take(MOST_PATTERNS).filter_map(|line| Pattern::parse(line).ok()).collect();
    let mut index = Index::default();
    for (pattern, id) in patterns.iter().zip(0..) {
        index.add(pattern, id);
        let filter = pattern.filter();
        let again = Pattern::parse(&filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
        assert_eq!(again.filter(), filter, "the filter of a filter");
    }
    let all: Vec<String> = patterns.iter().map(Pattern::filter).collect();
    let minimal = minimal_filters(all.clone());
    assert!(minimal.iter().all(|filter| all.contains(filter)));
    for topic in topics.lines().take(MOST_TOPICS) {
        judge(&patterns, &index, &minimal, topic);
    }
}

fn judge(patterns: &[Pattern], index: &Index, minimal: &[String], topic: &str) {
    let mut offered = Vec::new();
    index.find(topic, &mut |id| offered.push(id));
    let delivers = minimal.iter().any(|filter| matches(filter, topic).is_some());
    for (pattern, id) in patterns.iter().zip(0..) {
        let text = pattern.as_str();
        let captures = pattern.captures(topic);
        let found = captures.as_deref().map(|captures| captures.iter().map(|text| (*text).to_owned()).collect());
        assert_eq!(found, matches(text, topic), "{text} on {topic}");
        let times = offered.iter().filter(|offered| **offered == id).count();
        assert!(times <= 1, "{text} is offered {times} times for {topic}");
        let Some(captures) = captures else { continue };
        assert_eq!(times, 1, "{text} takes {topic}, and the index does not say so");
        assert!(delivers, "{text} takes {topic}, and {minimal:?} do not deliver it");
        if let Some(filled) = filled(pattern, &captures) {
            assert_eq!(filled, topic, "{text}");
        }
    }
}
