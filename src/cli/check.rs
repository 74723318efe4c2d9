//! `check`: everything that is wrong with a configuration, or what it will do.

use std::path::Path;

use crate::config::{Config, Problems};

/// A summary of a configuration that can be run.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(path: &Path) -> Result<String, Problems> {
    let config = Config::load(path)?;
    let filters = config.plan.rules.filters();
    let mut text = format!(
        "{} is good: {} people, {} signals, broker {}:{}.\nSubscribes to:",
        path.display(),
        config.plan.people.len(),
        config.plan.signals.len(),
        config.mqtt.host,
        config.mqtt.port,
    );
    for filter in filters {
        text += "\n  ";
        text += &filter;
    }
    Ok(text)
}
