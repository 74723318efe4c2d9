//! What Home Assistant is told so that it makes devices of the bridge's own topics: one retained configuration an entity,
//! as its MQTT discovery takes them. Pure: names in, topics and payloads out.
//!
//! Nothing has to be said when Home Assistant comes up: the broker gives it the retained configurations, and the retained
//! states that they name, as soon as it subscribes. So its own status topic is not listened to; only a broker that lost what it
//! retained has to be told again, and that is done at each connection.
//!
//! **Order.** Home Assistant links a person to the bridge (`via_device`) when it adds an entity of the person while it knows
//! the bridge, and does not look again. It subscribes to topics without a node id first, so the bridge announces itself there,
//! and people below a node id of their own: then the link does not depend on the order in which a broker retains.
//!
//! **Ids** may hold letters, digits, `_` and `-` alone. Any other byte, and `_` itself, is written as `_` and two hex digits;
//! parts are joined by `__`, which no part holds. So two names never get one id, and an id depends on nothing but the names.
//!
//! **Size.** Keys are spelled out: below 1 KiB an entity for usual names, below 8 KiB for any, which the smallest limit of
//! a broker (128 KiB, AWS IoT Core) does not come near, and somebody who looks at them can read them. The short form `~` of a
//! common topic is not used: a name may end with that character.

use serde_json::{Value, json};

/// For each presence the words that people read. What is not among them is nothing.
const WORDS: &str = "{'Busy/InACall': 'In a call', 'Busy/InAConferenceCall': 'In a meeting', \
                     'DoNotDisturb/Presenting': 'Presenting', 'Away/Away': 'Away', 'Available/Available': 'Available'}";
/// Alarms in the attributes: Home Assistant's recorder drops attributes beyond 16 KiB.
const MOST_ALARMS: usize = 20;

/// One bridge at one broker, as Home Assistant is to see it.
#[derive(Clone, Copy, Debug)]
pub struct Discovery<'a> {
    /// First levels of the topics on which Home Assistant looks.
    pub prefix: &'a str,
    /// First levels of the bridge's own topics.
    pub own: &'a str,
    /// The bridge's client id, last level of its status topic.
    pub instance: &'a str,
}

/// One entity: where its configuration is retained, and the configuration. An empty one deletes the entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Topic.
    pub topic: String,
    /// JSON.
    pub payload: String,
}

/// What stands in the topic: the kind of the entity, and which of its device's it is.
struct Place {
    component: &'static str,
    what: String,
}

impl Place {
    fn new(component: &'static str, what: impl Into<String>) -> Self {
        Place { component, what: what.into() }
    }
}

impl Discovery<'_> {
    /// The bridge itself: whether it is there, its alarms, its calls.
    #[must_use]
    pub fn bridge(&self) -> Vec<Announcement> {
        let bodies = [self.connectivity(), self.alarms(), self.calls()];
        let device = json!({
            "identifiers": [self.bridge_id()],
            "name": self.instance,
            "manufacturer": "presence-bridge",
            "model": "presence-bridge",
            "sw_version": env!("CARGO_PKG_VERSION"),
        });
        let topics = self.topics_of_bridge();
        let each = bridge_places().into_iter().zip(topics).zip(bodies);
        each.map(|((place, topic), body)| announce(topic, &self.bridge_id(), &place, &device, body)).collect()
    }

    /// A person: what they show, whether that is busy, a pause, and a switch for each signal. Nothing where Home Assistant
    /// takes no such topic.
    #[must_use]
    pub fn person(&self, label: &str, signals: &[Box<str>]) -> Vec<Announcement> {
        if label.contains(is_noncharacter) {
            return Vec::new();
        }
        let id = self.person_id(label);
        let device = json!({
            "identifiers": [id],
            "name": label,
            "manufacturer": "presence-bridge",
            "model": "Presence of a person",
            "via_device": self.bridge_id(),
        });
        let fixed = [self.presence(label), self.busy(label), self.pause(label)];
        let bodies = fixed.into_iter().chain(signals.iter().map(|signal| self.signal(label, signal)));
        let named = ["", "", ""].into_iter().chain(signals.iter().map(|signal| &**signal));
        let each = person_places(signals).zip(bodies).zip(named).filter(|(_, name)| !name.contains(is_noncharacter));
        each.map(|((place, body), _)| announce(self.person_topic(&id, &place), &id, &place, &device, body)).collect()
    }

    /// Where [`Discovery::bridge`] is retained.
    #[must_use]
    pub fn topics_of_bridge(&self) -> Vec<String> {
        let id = self.bridge_id();
        let topic = |Place { component, what }| format!("{}/{component}/{id}__{what}/config", self.prefix);
        bridge_places().into_iter().map(topic).collect()
    }

    /// Where [`Discovery::person`] is retained.
    #[must_use]
    pub fn topics_of_person(&self, label: &str, signals: &[Box<str>]) -> Vec<String> {
        let id = self.person_id(label);
        person_places(signals).map(|place| self.person_topic(&id, &place)).collect()
    }

    fn person_topic(&self, id: &str, Place { component, what }: &Place) -> String {
        format!("{}/{component}/{id}/{what}/config", self.prefix)
    }

    /// As the status topic: two bridges are two devices.
    fn bridge_id(&self) -> String {
        format!("{}__status__{}", escaped(self.own), escaped(self.instance))
    }

    /// As the person's topic, which does not depend on the bridge.
    fn person_id(&self, label: &str) -> String {
        format!("{}__people__{}", escaped(self.own), escaped(label))
    }

    fn connectivity(&self) -> Value {
        let status = self.status();
        json!({
            "name": "Connectivity",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": status,
            "value_template": "{{ 'ON' if value_json is defined and value_json.state == 'online' else 'OFF' }}",
            "json_attributes_topic": status,
            "json_attributes_template":
                "{% if value_json is defined %}{{ {'version': value_json.version | default(none), \
                 'links': value_json.links | default([])} | to_json }}{% else %}{}{% endif %}",
        })
    }

    fn alarms(&self) -> Value {
        let status = self.status();
        let attributes = format!(
            "{{% if value_json is defined %}}{{{{ {{'alarms': (value_json.alarms | default([]))[:{MOST_ALARMS}]}} | to_json }}}}\
             {{% else %}}{{}}{{% endif %}}"
        );
        self.available(json!({
            "name": "Alarms",
            "icon": "mdi:alert",
            "entity_category": "diagnostic",
            "state_class": "measurement",
            "state_topic": status,
            "value_template": "{{ value_json.alarms | default([]) | count if value_json is defined else 0 }}",
            "json_attributes_topic": status,
            "json_attributes_template": attributes,
        }))
    }

    fn calls(&self) -> Value {
        self.available(json!({
            "name": "Calls per minute",
            "icon": "mdi:cloud-upload",
            "entity_category": "diagnostic",
            "state_class": "measurement",
            "unit_of_measurement": "calls/min",
            "state_topic": self.status(),
            "value_template": "{{ value_json.calls_per_minute | default(0) if value_json is defined else 0 }}",
        }))
    }

    fn presence(&self, label: &str) -> Value {
        let topic = self.people(label);
        self.available(json!({
            "name": "Presence",
            "icon": "mdi:account-voice",
            "state_topic": topic,
            "value_template":
                format!("{{{{ {WORDS}.get(value_json.wanted, 'none') if value_json is defined else 'none' }}}}"),
            "json_attributes_topic": topic,
            // `until` is the end of the share that decides, found by its name among those that are on.
            "json_attributes_template":
                "{% if value_json is defined %}{% set v = value_json %}\
                 {% set at = v.on.index(v.because) if v.because in v.on else none %}\
                 {{ {'because': v.because, 'since': v.since, 'until': none if at is none else v.until[at], \
                 'on': v.on, 'wanted': v.wanted, 'held': v.held, 'seen': v.seen} | to_json }}{% else %}{}{% endif %}",
        }))
    }

    fn busy(&self, label: &str) -> Value {
        self.available(json!({
            "name": "Busy",
            "icon": "mdi:minus-circle",
            "state_topic": self.people(label),
            "value_template":
                "{{ 'ON' if value_json is defined and \
                 (value_json.wanted or '').split('/')[0] in ['Busy', 'DoNotDisturb'] else 'OFF' }}",
        }))
    }

    fn pause(&self, label: &str) -> Value {
        let topic = self.people(label);
        let mut body =
            self.switch(label, "pause", "{{ 'on' if value_json is defined and value_json.paused else 'off' }}");
        body["name"] = "Pause".into();
        body["icon"] = "mdi:pause-circle".into();
        body["json_attributes_topic"] = topic.into();
        body["json_attributes_template"] =
            "{{ {'until': value_json.paused_until if value_json is defined else none} | to_json }}".into();
        body
    }

    fn signal(&self, label: &str, signal: &str) -> Value {
        let template =
            format!("{{{{ 'on' if value_json is defined and {} in value_json.door else 'off' }}}}", text(signal));
        let mut body = self.switch(label, signal, &template);
        body["name"] = signal.into();
        body
    }

    /// Commands at QoS 1: they are acknowledged when they have had their effect. Not retained: a command is no state.
    fn switch(&self, label: &str, command: &str, template: &str) -> Value {
        self.available(json!({
            "state_topic": self.people(label),
            "value_template": template,
            "command_topic": format!("{}/in/{label}/{command}", self.own),
            "payload_on": "on",
            "payload_off": "off",
            "state_on": "on",
            "state_off": "off",
            "qos": 1,
            "retain": false,
        }))
    }

    /// There while the bridge is: its last will, or its farewell, says when it is not.
    fn available(&self, mut body: Value) -> Value {
        body["availability_topic"] = self.status().into();
        body["availability_template"] = "{{ value_json.state if value_json is defined else 'offline' }}".into();
        body
    }

    fn status(&self) -> String {
        format!("{}/status/{}", self.own, self.instance)
    }

    fn people(&self, label: &str) -> String {
        format!("{}/people/{label}", self.own)
    }
}

/// In the order of [`Discovery::bridge`].
fn bridge_places() -> [Place; 3] {
    [
        Place::new("binary_sensor", "connectivity"),
        Place::new("sensor", "alarms"),
        Place::new("sensor", "calls_per_minute"),
    ]
}

/// In the order of [`Discovery::person`].
fn person_places(signals: &[Box<str>]) -> impl Iterator<Item = Place> {
    let fixed = [Place::new("sensor", "presence"), Place::new("binary_sensor", "busy"), Place::new("switch", "pause")];
    let signals = signals.iter().map(|signal| Place::new("switch", format!("signal__{}", escaped(signal))));
    fixed.into_iter().chain(signals)
}

fn announce(topic: String, device_id: &str, place: &Place, device: &Value, mut body: Value) -> Announcement {
    body["unique_id"] = format!("{device_id}__{}", place.what).into();
    body["device"] = device.clone();
    body["origin"] = json!({ "name": "presence-bridge", "sw_version": env!("CARGO_PKG_VERSION") });
    Announcement { topic, payload: body.to_string() }
}

/// A name as a part of an id: see the head of this file.
fn escaped(name: &str) -> String {
    let mut id = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            id.push(char::from(byte));
        } else {
            id.push_str(&format!("_{byte:02x}"));
        }
    }
    id
}

/// A text in a template. Quotes and braces in a name must not end it, so that all but letters and digits are written by
/// their numbers.
fn text(name: &str) -> String {
    let mut quoted = String::from("'");
    for c in name.chars() {
        match u32::from(c) {
            _ if c.is_ascii_alphanumeric() => quoted.push(c),
            code => quoted.push_str(&format!("\\U{code:08x}")),
        }
    }
    quoted.push('\'');
    quoted
}

/// Unicode's 66 code points that are never characters: MQTT discourages them in topics, Home Assistant refuses them.
fn is_noncharacter(c: char) -> bool {
    ('\u{fdd0}'..='\u{fdef}').contains(&c) || u32::from(c) & 0xfffe == 0xfffe
}
