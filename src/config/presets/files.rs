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
    "yealink2mqtt"
    "zigbee2mqtt-occupancy"
}
