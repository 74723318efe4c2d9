//! `[mqtt]` and `[[source]]`: where a broker is, how it is spoken to, and several of them.

use std::path::Path;

use presence_bridge::config::Config;

use super::problems;
use crate::support::rig::{PEOPLE, RULES};

/// PEOPLE with these lines in the place of `[mqtt]`.
fn with_brokers(lines: &str) -> String {
    PEOPLE.replace("[mqtt]\nurl = \"mqtt://localhost\"\n", &format!("{lines}\n"))
}

fn parsed(text: &str) -> Config {
    Config::parse_trusting(text, "t", Path::new("/etc/bridge")).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn a_broker_is_reached_as_its_url_says() {
    let mqtts = |url: &str| with_brokers(&format!("[mqtt]\nurl = \"{url}\""));
    for (url, shown) in [
        ("mqtt://localhost", "mqtt://localhost:1883"),
        ("mqtts://broker.example", "mqtts://broker.example:8883"),
        ("mqtt://[::1]:2000", "mqtt://[::1]:2000"),
        ("ws://127.0.0.1:9001/mqtt", "ws://127.0.0.1:9001/mqtt"),
        ("ws://localhost", "ws://localhost:80/"),
        ("wss://broker.example/a/b?c=d", "wss://broker.example:443/a/b?c=d"),
        ("unix:/run/mosquitto/mqtt.sock", "unix:/run/mosquitto/mqtt.sock"),
        ("unix:///run/mosquitto/mqtt.sock", "unix:/run/mosquitto/mqtt.sock"),
    ] {
        let config = parsed(&mqtts(url));
        assert_eq!((config.sources[0].url().as_str(), config.sources[0].name.as_str()), (shown, "mqtt"));
    }
    for (url, part) in [
        ("http://localhost", "ws:// or wss://HOST[:PORT]/PATH, unix:/PATH"),
        ("unix:run/mqtt.sock", "not the path of a socket"),
        (
            "ws://broker.example/mqtt",
            "plain text over a network: passwords and events can be read and forged use wss://",
        ),
        ("mqtt://broker.example", "use mqtts://"),
        ("mqtt://user@localhost", "user and password have keys of their own"),
        ("mqtt://localhost/path", "not a host and a port"),
        ("ws://localhost/a b", "not a host and a port"),
    ] {
        let found = problems(&mqtts(url));
        assert!(found.iter().any(|(_, text)| text.contains(part)), "{url}: {part} is missing in {found:#?}");
    }
    let allowed = with_brokers("[mqtt]\nurl = \"ws://broker.example/mqtt\"\nallow_plaintext = true");
    assert_eq!(parsed(&allowed).sources[0].url(), "ws://broker.example:80/mqtt");
}

#[test]
fn the_protocol_is_one_of_three() {
    use presence_bridge::config::Protocol;
    for (word, protocol) in [("auto", Protocol::Auto), ("5", Protocol::V5), ("3.1.1", Protocol::V311)] {
        let text = with_brokers(&format!("[mqtt]\nurl = \"mqtt://localhost\"\nprotocol = \"{word}\""));
        assert_eq!(parsed(&text).sources[0].protocol, protocol);
    }
    let found = problems(&with_brokers("[mqtt]\nurl = \"mqtt://localhost\"\nprotocol = \"4\""));
    assert!(found[0].1.contains("mqtt.protocol: not one of the choices allowed: auto, 5, 3.1.1"), "{found:?}");
}

#[test]
fn a_client_certificate_is_two_pem_files_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let signed = rcgen::generate_simple_self_signed(["bridge".to_owned()]).unwrap();
    for (name, text) in [
        ("secret", "x"),
        ("good.pem", &signed.cert.pem()),
        ("good.key", &signed.signing_key.serialize_pem()),
        ("bad", "no PEM"),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let load = |lines: &str| {
        let text = with_brokers(&format!("[mqtt]\n{lines}")).replace("\"unused\"", "\"secret\"");
        let path = dir.path().join("bridge.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path)
    };
    let tls = "url = \"mqtts://broker.example\"\n";
    let both = "client_certificate_file = \"good.pem\"\nclient_key_file = \"good.key\"\n";
    let files = load(&format!("{tls}{both}")).unwrap().sources[0].client_certificate.clone();
    assert_eq!(files, Some((dir.path().join("good.pem"), dir.path().join("good.key"))));
    for (lines, part) in [
        (format!("{tls}client_certificate_file = \"good.pem\"\n"), "a certificate without its key"),
        (format!("{tls}client_key_file = \"good.key\"\n"), "a key without its certificate"),
        (format!("url = \"mqtt://localhost\"\n{both}"), "shown over TLS only"),
        (format!("{tls}{}", both.replace("good.pem", "bad")), "holds no certificate"),
        (format!("{tls}{}", both.replace("good.pem", "none.pem")), "none.pem"),
        (format!("{tls}{}", both.replace("good.key", "bad")), "holds no private key"),
        (format!("{tls}{}", both.replace("good.key", "none.key")), "cannot be read"),
        (format!("{tls}{}", both.replace("good.key", "good.pem")), "holds no private key"),
    ] {
        let shown = load(&lines).unwrap_err().to_string();
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
        assert!(!shown.contains("no PEM"), "what stands in the file is not shown: {shown}");
    }
}

const TWO: &str = "[[source]]\nname = \"pbx\"\nurl = \"mqtt://localhost:1884\"\nown_topics = false\n\
                   [[source]]\nname = \"home\"\nurl = \"mqtt://localhost:1885\"\n";

#[test]
fn several_brokers_are_told_apart_and_asked_only_for_what_rules_want_of_them() {
    use presence_bridge::presence::SourceId;
    let first = RULES.replacen("signal =", "source = \"pbx\"\nsignal =", 1);
    let config = parsed(&format!("{}\n{first}", with_brokers(TWO)));
    let [pbx, home] = &config.sources[..] else { panic!("{:?}", config.sources) };
    assert_eq!((pbx.name.as_str(), pbx.own_topics, home.name.as_str(), home.own_topics), ("pbx", false, "home", true));
    assert!(
        pbx.client_id.ends_with("-pbx") && home.client_id.ends_with("-home"),
        "{} {}",
        pbx.client_id,
        home.client_id
    );
    let filters = |place: u16, door| config.plan.rules.filters_of(SourceId(place), door);
    let (pbx, home) = (filters(0, false), filters(1, true));
    let phones = "pbx/devstate/PJSIP/+".to_owned();
    assert!(pbx.contains(&phones) && !home.contains(&phones), "{pbx:?} {home:?}");
    let door = "presence-bridge/in/+/+".to_owned();
    assert!(!pbx.contains(&door) && home.contains(&door), "{pbx:?} {home:?}");
    assert!(pbx.contains(&"cam/+".to_owned()) && home.contains(&"cam/+".to_owned()), "a rule without source takes any");
}

#[test]
fn what_is_wrong_with_several_brokers_is_said_with_the_next_step() {
    let both = format!("[mqtt]\nurl = \"mqtt://localhost\"\n{TWO}");
    let same = TWO.replace("\"home\"", "\"PBX\"");
    let nameless = TWO.replace("name = \"home\"\n", "");
    let unfit = TWO.replace("\"home\"", "\"a/b\"");
    let prefixes = TWO.replace("own_topics = false", "topic_prefix = \"a\"") + "topic_prefix = \"b\"\n";
    let twins = TWO.replace("1885", "1884").replace("url", "client_id = \"me\"\nurl");
    let rule = format!("{TWO}{}", RULES.replacen("signal =", "source = \"pdx\"\nsignal =", 1));
    for (lines, part) in [
        (
            &both,
            "mqtt: [mqtt] is the short form of a single [[source]], and both are there write its lines under a [[source]]",
        ),
        (&same, "source 2.name: another [[source]] has this name"),
        (&nameless, "source 2.name: missing"),
        (&unfit, "source 2.name: cannot be a name 1 to 32 letters"),
        (&prefixes, "source 2.topic_prefix: another source says another prefix"),
        (&twins, "source 2: the same client_id at the same broker as source pbx"),
        (&rule, "rule 1.source: no [[source]] of that name did you mean pbx?"),
        (&String::new(), "mqtt: missing"),
    ] {
        let found = problems(&with_brokers(lines));
        assert!(found.iter().any(|(_, text)| text.contains(part)), "{part} is missing in {found:#?}");
    }
    let short = RULES.replacen("signal =", "source = \"mqtt\"\nsignal =", 1);
    parsed(&format!("{PEOPLE}\n{short}"));
}

#[test]
fn no_signal_is_called_like_a_topic_of_the_door() {
    for name in ["pause", "forget", "error"] {
        let found = problems(&PEOPLE.replace("ringing =", &format!("{name} =")));
        let part = format!("signals.{name}: cannot be a name: in/<label>/{name} is a topic of the bridge itself");
        assert!(found.iter().any(|(_, text)| text.contains(&part)), "{found:#?}");
    }
}
