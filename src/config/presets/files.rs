//! The files of config/presets, in the program.

macro_rules! files {
    ($($name:literal)*) => {
        /// Name and text, by name.
        pub(super) const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../config/presets/", $name, ".toml")))),*];
    };
}

files! {
    "ami2mqtt"
    "ami2mqtt-hints"
    "baresip"
    "desk-phone-query"
    "desk-phone-relay"
    "esphome"
    "espresense"
    "freeswitch"
    "fritz-callmonitor"
    "hass-agent"
    "home-assistant-android"
    "home-assistant-calendar"
    "home-assistant-eventstream"
    "home-assistant-mac"
    "home-assistant-occupancy"
    "owntracks"
    "poly-xml"
    "shelly1-button"
    "shelly1-switch"
    "shelly2-button"
    "shelly2-switch"
    "tasmota-button"
    "tasmota-power"
    "tasmota-switch"
    "teams-for-linux"
    "teams-for-linux-calendar"
    "teams2mqtt"
    "yealink2mqtt"
    "zigbee2mqtt-button"
    "zigbee2mqtt-occupancy"
    "zigbee2mqtt-presence"
}
