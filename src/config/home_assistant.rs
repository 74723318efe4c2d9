//! `[home_assistant]`: whether people and bridge announce themselves there.

use super::SourceSection;
use super::reader::Section;
use super::sections::is_level;

/// Where Home Assistant looks unless it was told otherwise.
const PREFIX: &str = "homeassistant";

/// First levels of the topics on which Home Assistant looks for devices; `None`: nothing is announced.
pub(super) fn read(root: &Section<'_, '_>, sources: Option<&[SourceSection]>) -> Option<String> {
    let section = root.table("home_assistant")?;
    let discovery = section.flag("discovery", false);
    let mut prefix = PREFIX.to_owned();
    if let Some(at) = section.text("prefix") {
        if !at.value.split('/').all(is_level) {
            section.problem(
                &at,
                "not a topic",
                "levels between slashes, without + and #: as in Home Assistant's MQTT options",
            );
        }
        prefix = at.value;
    }
    if discovery && sources.is_some_and(|sources| !sources.iter().any(|source| source.own_topics)) {
        section.wrong(
            "discovery without the topics that it is about",
            "own_topics = true for the broker that Home Assistant is at",
        );
    }
    section.finish();
    discovery.then_some(prefix)
}
