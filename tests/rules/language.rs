//! What the language can say, feature by feature, through the core on virtual time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use presence_bridge::config::Config;
use presence_bridge::presence::{Core, Link, Plan, Presence, Reason, Restart};

use super::messages::{rig, said};
use crate::support::rig::{PEOPLE, Rig};

const CALL: Option<Presence> = Some(Presence::InACall);

pub fn plan(rules: &str) -> Plan {
    let text = format!("time_zone = 'Europe/Berlin'\n{PEOPLE}\n{rules}");
    Config::parse_trusting(&text, "t.toml", Path::new(".")).unwrap_or_else(|problems| panic!("{problems}")).plan
}

fn under(rules: &str) -> Rig {
    rig(plan(rules))
}

/// A rule about Alice's call.
fn rule(topic: &str, more: &str) -> String {
    format!("[[rule]]\ntopic = '{topic}'\nsubject = '=alice'\nsignal = 'call'\n{more}\n")
}

#[test]
fn a_number_between_the_bounds_leaves_things_as_they_are_and_keeps_them_alive() {
    let mut rig =
        under(&rule("ble", "format = 'json'\nvalue = '/m'\non = { below = 2 }\noff = { above = 3 }\nttl = '60s'"));
    assert_eq!(rig.publish("ble", r#"{"m": 2.5}"#), Err(Reason::OtherValue), "nothing was said before");
    rig.publish("ble", r#"{"m": "1.5"}"#).unwrap();
    for _ in 0..4 {
        rig.drive(50);
        rig.publish("ble", r#"{"m": 2.5}"#).unwrap();
        rig.sees_wanted("alice", CALL);
    }
    rig.drive(61);
    rig.sees_wanted("alice", None); // the beacon is silent
    assert_eq!(rig.publish("ble", r#"{"m": 2.5}"#), Err(Reason::OtherValue), "and does not come back in between");
    rig.publish("ble", r#"{"m": 1}"#).unwrap();
    rig.publish("ble", r#"{"m": 3.5}"#).unwrap();
    rig.publish("ble", r#"{"m": 2.5}"#).unwrap();
    rig.sees_wanted("alice", None);
    for nonsense in [r#"{"m": "nan"}"#, r#"{"m": "inf"}"#, r#"{"m": 1e400}"#, r#"{"m": null}"#, r#"{"m": []}"#] {
        assert!(rig.publish("ble", nonsense).is_err(), "{nonsense}");
    }
}

#[test]
fn a_press_toggles_once_however_often_it_is_delivered() {
    let mut rig = under(&rule("button", "toggle = 'single'\noff = 'long'\nttl = '1h'"));
    assert_eq!(rig.replay("button", "single"), Err(Reason::RetainedIgnored));
    rig.drive(5);
    rig.publish("button", "single").unwrap();
    assert_eq!(rig.publish("button", "single"), Err(Reason::Duplicate), "the broker delivers it twice");
    rig.sees_wanted("alice", CALL);
    assert_eq!(rig.publish("button", ""), Err(Reason::OtherValue), "the button is let go");
    rig.drive(5);
    rig.publish("button", "single").unwrap();
    rig.sees_wanted("alice", None);
    rig.drive(5);
    rig.publish("button", "single").unwrap();
    rig.publish("button", "long").unwrap();
    rig.sees_wanted("alice", None);
    rig.drive(5);
    rig.publish("button", "single").unwrap();
    rig.drive(3_601);
    rig.sees_wanted("alice", None); // forgotten, so the next press turns it on
    rig.publish("button", "single").unwrap();
    rig.sees_wanted("alice", CALL);
}

#[test]
fn each_call_of_a_phone_may_hold_a_share_of_its_own() {
    let more = "format = 'json'\nvalue = '/type'\non = 'up'\noff = 'down'\ndevice = '/id'";
    let mut rig = under(&rule("calls", more));
    for (event, id, on) in [("up", 1, true), ("up", 2, true), ("down", 1, true), ("down", 2, false)] {
        rig.publish("calls", &format!(r#"{{"type":"{event}","id":{id}}}"#)).unwrap();
        rig.sees_wanted("alice", CALL.filter(|_| on));
    }
    assert_eq!(rig.publish("calls", r#"{"type":"up"}"#), Err(Reason::Missing));
}

/// The process ends and another goes on from what it wrote down.
fn restart(rig: &mut Rig, rules: &str) {
    let json = serde_json::to_string(&rig.core.snapshot(rig.now)).unwrap();
    let how = Restart { same_boot: true, clean: true };
    rig.core = Core::restore(rig.now, Arc::new(plan(rules)), serde_json::from_str(&json).unwrap(), how);
    rig.link(Link::Up { session_present: true, expiry: Duration::from_secs(300) });
}

#[test]
fn a_press_that_is_delivered_again_after_a_restart_is_the_same() {
    let rules = rule("button", "format = 'json'\nvalue = '/e'\ntoggle = 'S'\ndedupe = '/n'\nttl = '1h'");
    let mut rig = under(&rules);
    rig.publish("button", r#"{"e":"S","n":74}"#).unwrap();
    restart(&mut rig, &rules);
    assert_eq!(rig.publish("button", r#"{"e":"S","n":74}"#), Err(Reason::Duplicate));
    rig.drive(11);
    rig.sees_wanted("alice", CALL);
    rig.publish("button", r#"{"e":"S","n":75}"#).unwrap();
    rig.sees_wanted("alice", None);
}

#[test]
fn what_siblings_retained_is_known_again_after_a_restart() {
    let rules = rule("cal/{who}", CALENDAR);
    let mut rig = under(&rules);
    rig.publish("cal/x/all_day", "true").unwrap();
    rig.publish("cal/x", "on").unwrap();
    restart(&mut rig, &rules);
    assert_eq!(rig.replay("cal/x/all_day", "true"), Err(Reason::Replay));
    assert_eq!(rig.replay("cal/x", "on"), Err(Reason::Replay));
    rig.link(Link::Replayed);
    rig.publish("cal/x", "on").unwrap();
    rig.sees_wanted("alice", None);
    rig.publish("cal/x/all_day", "false").unwrap();
    rig.sees_wanted("alice", CALL);
}

#[test]
fn a_pulse_lasts_as_long_as_it_lasts() {
    let mut rig = under(&rule("bell", "pulse = 'ding'\nttl = '20s'"));
    assert_eq!(rig.replay("bell", "ding"), Err(Reason::RetainedIgnored));
    rig.publish("bell", "ding").unwrap();
    rig.drive(15);
    rig.publish("bell", "ding").unwrap();
    rig.drive(15);
    rig.sees_wanted("alice", CALL);
    rig.drive(6);
    rig.sees_wanted("alice", None);
}

const CALENDAR: &str = "on = 'on'\noff = 'off'\nttl = '8h'\nattach.until = { topic = 'cal/{who}/end' }\nattach.unless = { topic = 'cal/{who}/all_day', is = true }";

#[test]
fn siblings_come_in_any_order() {
    let rule = rule("cal/{who}", CALENDAR);
    let messages = [("cal/x", "on"), ("cal/x/end", "\"2026-11-24 11:00:00\""), ("cal/x/all_day", "false")];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut rig = under(&rule);
        for at in order {
            rig.publish(messages[at].0, messages[at].1).unwrap();
        }
        rig.sees_wanted("alice", CALL);
        rig.drive(29 * 60); // the clock began at 10:30 in Berlin
        rig.sees_wanted("alice", CALL);
        rig.drive(61);
        rig.sees_wanted("alice", None);
        rig.publish("cal/x/end", "2026-11-24T11:30:00+01:00").unwrap(); // extended at its end
        rig.sees_wanted("alice", CALL);
        rig.publish("cal/x/all_day", "true").unwrap();
        rig.sees_wanted("alice", None);
        rig.publish("cal/x/all_day", "false").unwrap();
        rig.sees_wanted("alice", CALL);
        rig.publish("cal/x", "off").unwrap();
        rig.publish("cal/x/end", "2026-11-24T12:30:00+01:00").unwrap(); // the next one
        rig.sees_wanted("alice", None);
        assert_eq!(rig.publish("cal/x/end", "soon"), Err(Reason::BadTime));
    }
}

#[test]
fn siblings_find_their_rule_again_after_a_reload() {
    let cal = rule("cal/{who}", CALENDAR);
    let mut rig = under(&cal);
    rig.publish("cal/x", "on").unwrap();
    let signals = "[signals]\nringing = 'none'\ncall = 'Busy/InACall'\n";
    let (before, _) = PEOPLE.split_once("[signals]").unwrap();
    let text = format!("time_zone = 'Europe/Berlin'\n{before}{signals}{}{cal}", rule("other", "on = 'on'"));
    rig.reload(Config::parse_trusting(&text, "t.toml", Path::new(".")).unwrap().plan);
    rig.sees_wanted("alice", CALL);
    rig.publish("cal/x/all_day", "true").unwrap();
    rig.sees_wanted("alice", None);
}

#[test]
fn no_end_is_further_away_than_the_longest_lease() {
    let more = "format = 'json'\nvalue = '/s'\non = 'on'\nuntil = '/u'\ntime = '/t'";
    let mut rig = under(&rule("x", more));
    rig.publish("x", r#"{"s":"on","u":"9999-12-31"}"#).unwrap();
    rig.drive(31 * 86_400 - 60);
    rig.sees_wanted("alice", CALL);
    rig.drive(61);
    rig.sees_wanted("alice", None);
    // Made long ago, and still on by its own end.
    let mut rig = under(&rule("x", more));
    rig.publish("x", r#"{"s":"on","t":"2026-11-23","u":"2026-11-25"}"#).unwrap();
    rig.sees_wanted("alice", CALL);
    assert_eq!(rig.publish("x", r#"{"s":"on","t":"2026-11-23"}"#), Err(Reason::TooOld));
}

#[test]
fn a_stale_end_does_not_end_what_begins() {
    let mut rig = under(&rule("cal/{who}", CALENDAR));
    rig.publish("cal/x/end", "2026-11-24 09:00:00").unwrap();
    rig.publish("cal/x", "on").unwrap();
    rig.sees_wanted("alice", CALL);
}

#[test]
fn a_device_that_went_away_takes_its_shares_along() {
    let more = "on = 'on'\noff = 'off'\navailability = [{ topic = 'hub' }, { topic = 'd/{id}/lwt', format = 'json', value = '/state', up = 'here', down = 'gone' }]";
    let rule = rule("d/{id}", more);
    let mut rig = under(&rule);
    rig.publish("d/1", "on").unwrap();
    rig.publish("d/1/lwt", r#"{"state":"gone"}"#).unwrap();
    rig.drive(14);
    rig.sees_wanted("alice", CALL); // for the grace
    rig.drive(2);
    rig.sees_wanted("alice", None);
    rig.publish("d/1/lwt", r#"{"state":"here"}"#).unwrap();
    rig.sees_wanted("alice", None); // it has to speak
    rig.publish("d/1", "on").unwrap();
    rig.sees_wanted("alice", CALL);
    rig.publish("hub", "offline").unwrap();
    rig.drive(5);
    rig.publish("hub", "online").unwrap(); // a restart of the hub does not flash
    rig.drive(60);
    rig.sees_wanted("alice", CALL);
    assert_eq!(rig.publish("d/2/lwt", r#"{"state":"gone"}"#), Ok(())); // another one
    rig.drive(60);
    rig.sees_wanted("alice", CALL);
}

#[test]
fn a_stale_will_is_no_veto() {
    let rule = rule("d/{id}", "on = 'on'\noff = 'off'\navailability = { topic = 'd/{id}/lwt' }");
    let mut rig = under(&rule);
    assert_eq!(rig.replay("d/1/lwt", "offline"), Ok(()));
    assert_eq!(rig.replay("d/1", "on"), Err(Reason::DeviceDown), "what it had retained died with it");
    rig.publish("d/1", "on").unwrap();
    rig.sees_wanted("alice", CALL);
    assert_eq!(rig.replay("d/1/lwt", "offline"), Err(Reason::Replay), "at the next reconnect");
    rig.drive(60);
    rig.sees_wanted("alice", CALL);
}

const WINDOWS: &str = "format = 'json'\nany = '/value'\nwhere = { '/isCancelled' = false, '/showAs' = ['busy', 'oof'] }\nwindow = { start = '/start', end = '/end' }\nmissing = 'off'";

fn event(start: &str, end: &str, show: &str) -> String {
    let time =
        |at: &str| format!(r#"{{"dateTime":"2026-11-24T{at}:00.0000000","timeZone":"W. Europe Standard Time"}}"#);
    format!(r#"{{"start":{},"end":{},"isCancelled":false,"showAs":"{show}"}}"#, time(start), time(end))
}

#[test]
fn the_window_that_covers_now_counts_when_its_time_comes() {
    let mut rig = under(&rule("cal", WINDOWS));
    let list = |events: &[String]| format!(r#"{{"value":[{}]}}"#, events.join(","));
    let (now, later, free) =
        (event("10:00", "11:00", "busy"), event("11:30", "12:00", "oof"), event("10:00", "18:00", "free"));
    rig.publish("cal", &list(&[free.clone(), now.clone(), later.clone()])).unwrap();
    rig.sees_wanted("alice", CALL);
    rig.drive(31 * 60);
    rig.sees_wanted("alice", None); // 11:01, without a message
    rig.publish("cal", &list(&[free.clone(), now, later])).unwrap();
    rig.drive(30 * 60);
    rig.sees_wanted("alice", CALL); // 11:31
    // 11:31: it was called off, and another was put where nothing was.
    rig.publish("cal", &list(&[free.clone(), event("11:45", "11:50", "busy")])).unwrap();
    rig.sees_wanted("alice", None);
    rig.drive(15 * 60);
    rig.sees_wanted("alice", CALL);
    rig.publish("cal", &list(&[free])).unwrap();
    rig.sees_wanted("alice", None);
    rig.publish("cal", &list(&[event("11:40", "13:00", "busy")])).unwrap();
    rig.publish("cal", "").unwrap(); // withdrawn
    rig.drive(20);
    rig.sees_wanted("alice", None);
}

#[test]
fn a_message_says_how_old_it_is_and_how_long_it_lasts() {
    let more = "format = 'json'\nvalue = '/s'\non = 'on'\noff = 'off'\ntime = '/t'\nmax_age = '5m'\nttl = '/for'";
    let mut rig = under(&rule("x", more));
    let at = |seconds: i64| 1_795_512_601 - seconds;
    assert_eq!(rig.publish("x", &format!(r#"{{"s":"on","t":{},"for":"1h"}}"#, at(301))), Err(Reason::TooOld));
    rig.publish("x", &format!(r#"{{"s":"on","t":{},"for":60}}"#, at(20))).unwrap();
    rig.drive(39);
    rig.sees_wanted("alice", CALL);
    rig.drive(3);
    rig.sees_wanted("alice", None);
    assert_eq!(rig.publish("x", r#"{"s":"on","for":"soon"}"#), Err(Reason::BadTime));
    assert_eq!(rig.publish("x", r#"{"s":"on","t":"soon"}"#), Err(Reason::BadTime));
}

#[test]
fn subjects_are_cut_and_spelt_alike() {
    let devices = "[[rule]]\ntopic = 'p/{id}'\nsubject = { from = '{id}', as = 'mac' }\nsignal = 'call'\non = 'on'\n\
                   [[rule]]\ntopic = 'q/{id}'\nsubject = { from = '{id}', strip_prefix = 'SIP-', strip_suffix = ['-a', '-b'] }\nsignal = 'call'\non = 'on'\n\
                   [[rule]]\ntopic = 'r'\nformat = 'json'\nsubject = { from = '/who', as = 'phone' }\nsignal = 'call'\nvalue = '/is'\non = 'on'\n\
                   [[rule]]\ntopic = 's'\nformat = 'query'\nsubject = { from = 'who', match = '<sip:(\\d+)@' }\nsignal = 'call'\nvalue = 'is'\non = 'on'\n";
    let text =
        PEOPLE.replace("\"1001\" =", "\"AABB.CC11.2233\" = \"alice\"\n\"+49 (30) 123-45\" = \"alice\"\n\"1001\" =");
    let plan = Config::parse_trusting(&format!("{text}\n{devices}"), "t", Path::new("."));
    let plan = plan.unwrap_or_else(|problems| panic!("{problems}")).plan;
    for (topic, payload) in [
        ("p/aa:bb:cc:11:22:33", "on"),
        ("p/AABBCC112233", "on"),
        ("p/aa-bb-cc-11-22-33", "on"),
        ("q/SIP-1001-b", "on"),
        ("r", r#"{"who":"sip:+493012345@pbx;user=phone","is":"on"}"#),
        ("r", r#"{"who":"0049 30 12345","is":"on"}"#),
        ("r", r#"{"who":"\"A\" <tel:1001>","is":"on"}"#),
        ("s", "is=on&who=%22A%22+%3Csip%3A1001%40pbx%3E"),
    ] {
        assert_eq!(said(&plan, topic, payload.as_bytes(), false), ["call on"], "{topic} {payload}");
    }
    for (topic, payload) in
        [("p/aabbcc11223", "on"), ("p/gg:bb:cc:11:22:33", "on"), ("r", r#"{"who":"anonymous","is":"on"}"#)]
    {
        assert!(said(&plan, topic, payload.as_bytes(), false).is_empty(), "{topic} {payload}");
    }
}

#[test]
fn elements_speak_for_their_own_subjects() {
    let rule = "[[rule]]\ntopic = 'all'\nformat = 'json'\nany = '/phones'\nwhere = { '/type' = 'desk' }\nsubject = '/ext'\nsignal = 'call'\nvalue = '/state'\non = 'busy'\noff = 'idle'\n";
    let found = said(
        &plan(rule),
        "all",
        br#"{"phones":[{"ext":"1001","type":"desk","state":"idle"},{"ext":"9","type":"desk","state":"busy"},{"ext":"1002","type":"desk","state":"busy"},{"ext":"1001","type":"desk","state":"busy"},{"ext":"1003","type":"soft","state":"busy"}]}"#,
        false,
    );
    assert_eq!(found, ["call on", "call on"]); // 1001 once, and 1002
}

#[test]
fn missing_means_what_the_rule_says() {
    for (missing, means) in [("ignore", vec![]), ("off", vec!["call off"]), ("unknown", vec!["call unknown"])] {
        let plan = plan(&rule("x", &format!("format = 'json'\nvalue = '/call'\non = 'active'\nmissing = '{missing}'")));
        assert_eq!(said(&plan, "x", b"{}", false), means, "{missing}");
        assert_eq!(said(&plan, "x", br#"{"call":"active"}"#, false), ["call on"]);
        assert!(said(&plan, "x", br#"{"call":"other"}"#, false).is_empty());
    }
}

#[test]
fn what_is_not_there_is_none_of_the_words() {
    let more = "format = 'json'\nvalue = '/v'\nwhen = { '/transparency' = { not = 'transparent' } }\non = 'x'\noff = { not = 'x' }";
    let plan = plan(&rule("x", more));
    for (payload, means) in [
        (r#"{"v":"x"}"#, vec!["call on"]),
        (r#"{"v":"x","transparency":"opaque"}"#, vec!["call on"]),
        (r#"{"v":"x","transparency":"transparent"}"#, vec![]),
        (r#"{"v":"y"}"#, vec!["call off"]),
        ("{}", vec![]), // which is for `missing` to say
    ] {
        assert_eq!(said(&plan, "x", payload.as_bytes(), false), means, "{payload}");
    }
    let absent =
        self::plan(&rule("x", "format = 'json'\nvalue = '/v'\non = { exists = false }\noff = { exists = true }"));
    assert_eq!(said(&absent, "x", b"{}", false), ["call on"]);
    assert_eq!(said(&absent, "x", br#"{"v":1}"#, false), ["call off"]);
}

#[test]
fn conditions_ask_what_they_say() {
    for (condition, yes, no) in [
        ("{ not = ['idle', 'off'] }", vec!["\"x\"", "true"], vec!["\"IDLE\"", "\"off\""]),
        ("{ above = 0 }", vec!["1", "\"0.5\""], vec!["0", "\"\"", "true", "null", "\"1 W\""]),
        ("{ above = 10, below = 20 }", vec!["15"], vec!["10", "20"]),
        ("{ contains = 'Office' }", vec!["[\"office\",\"x\"]", "\"my office\"", "{\"OFFICE\":1}"], vec!["[]", "\"x\""]),
        ("{ exists = true }", vec!["0", "\"\"", "[]"], vec!["null"]),
        ("{ match = '^a.c$' }", vec!["\"ABC\"", "\"a\\nc\""], vec!["\"abcd\""]),
        ("[1, 'yes', true]", vec!["1", "1.0", "\"1\"", "\"YES\"", "true"], vec!["\"1.0\"", "2", "false", "\"true x\""]),
    ] {
        let plan = plan(&rule("x", &format!("format = 'json'\nvalue = '/v'\non = {condition}")));
        let is_on = |value: &str| said(&plan, "x", format!(r#"{{"v":{value}}}"#).as_bytes(), false) == ["call on"];
        for value in yes {
            assert!(is_on(value), "{condition} takes {value}");
        }
        for value in no {
            assert!(!is_on(value), "{condition} does not take {value}");
        }
    }
}

#[test]
fn who_is_no_longer_in_a_list_is_off_and_so_is_a_call_of_his_that_is_not() {
    let list = "[[rule]]\ntopic = 'room/{room}'\nformat = 'json'\nany = '/in'\nsignal = 'call'\nabsent = 'off'\n";
    let mut rig = under(&format!("{list}subject = ''\nvalue = ''\non = {{ exists = true }}\nttl = '1h'"));
    rig.publish("room/1", r#"{"in":["alice","bob"]}"#).unwrap();
    rig.publish("room/2", r#"{"in":["bob"]}"#).unwrap();
    rig.publish("room/1", r#"{"in":["bob","nobody that we know"]}"#).unwrap();
    rig.sees_wanted("alice", None);
    rig.sees_wanted("bob", CALL);
    assert_eq!(rig.publish("room/1", r#"{"other":1}"#), Err(Reason::Missing), "that says nothing of the list");
    assert_eq!(rig.publish("room/1", r#"{"in":"#), Err(Reason::BadJson));
    rig.publish("room/1", r#"{"in":["alice"]}"#).unwrap();
    rig.sees_wanted("bob", CALL); // he went to the other room
    assert_eq!(rig.publish("room/2", r#"{"in":[]}"#), Err(Reason::EmptyList), "the list itself is about nobody");
    rig.sees_wanted("bob", None);
    rig.sees_wanted("alice", CALL);
    assert_eq!(rig.replay("room/1", r#"{"in":["alice"]}"#), Err(Reason::Replay));
    rig.sees_wanted("alice", CALL);
    assert_eq!(rig.publish("room/1", r#"{"in":[]}"#), Err(Reason::EmptyList));
    rig.sees_wanted("alice", None);
    assert_eq!(rig.replay("room/1", r#"{"in":[]}"#), Err(Reason::EmptyList));
    rig.sees_wanted("alice", None);
    rig.publish("room/1", r#"{"in":["alice"]}"#).unwrap();
    assert_eq!(rig.publish("room/1", ""), Err(Reason::EmptyList), "the list is withdrawn");
    rig.sees_wanted("alice", None);

    let aged = "subject = ''\nvalue = ''\non = { exists = true }\ntime = '/at'\nmax_age = '10m'";
    let mut rig = under(&format!("{list}{aged}"));
    rig.publish("room/1", r#"{"at":"2026-11-24 10:30","in":["alice"]}"#).unwrap();
    assert_eq!(rig.publish("room/1", r#"{"at":"2026-11-24 09:30","in":[]}"#), Err(Reason::TooOld));
    assert_eq!(rig.publish("room/1", r#"{"at":"2026-11-24 09:30","in":["bob"]}"#), Err(Reason::TooOld));
    rig.sees_wanted("alice", CALL); // neither of the old ones ends it
    assert_eq!(rig.publish("room/1", r#"{"at":"2026-11-24 10:30","in":[]}"#), Err(Reason::EmptyList));
    rig.sees_wanted("alice", None);

    let mut rig = under(&format!("{list}subject = '/who'\ndevice = '/id'\nvalue = '/is'\non = 'up'\noff = 'down'"));
    rig.publish("room/1", r#"{"in":[{"id":1,"who":"alice","is":"up"},{"id":2,"who":"alice","is":"up"}]}"#).unwrap();
    rig.publish("room/1", r#"{"in":[{"id":2,"who":"alice","is":"up"}]}"#).unwrap();
    rig.sees_wanted("alice", CALL);
    rig.publish("room/1", r#"{"in":[{"id":1,"who":"alice","is":"up"},{"id":2,"who":"alice","is":"down"}]}"#).unwrap();
    rig.sees_wanted("alice", CALL);
    rig.publish("room/1", r#"{"in":[{"id":1,"who":"alice","is":"down"},{"id":3,"who":"alice","is":"down"}]}"#).unwrap();
    rig.sees_wanted("alice", None);
}

#[test]
fn a_list_of_bookings_is_a_calendar_for_each_of_those_it_names() {
    let booking = |who: &str, from: &str, to: &str| {
        format!(r#"{{"who":"{who}","from":"2026-11-24T{from}:00+01:00","to":"2026-11-24T{to}:00+01:00"}}"#)
    };
    let list = |bookings: &[String]| format!(r#"{{"in":[{}]}}"#, bookings.join(","));
    let rule = "[[rule]]\ntopic = 'desk'\nformat = 'json'\nany = '/in'\nsubject = '/who'\nsignal = 'call'\n";
    let mut rig = under(&format!("{rule}window = {{ start = '/from', end = '/to' }}\nmissing = 'off'\nabsent = 'off'"));
    rig.publish("desk", &list(&[booking("alice", "00:00", "23:50"), booking("bob", "00:10", "23:40")])).unwrap();
    rig.sees_wanted("alice", CALL);
    rig.sees_wanted("bob", CALL);
    rig.publish("desk", &list(&[booking("bob", "00:10", "23:40")])).unwrap();
    rig.sees_wanted("alice", None);
    rig.sees_wanted("bob", CALL);
    assert_eq!(rig.publish("desk", &list(&[])), Err(Reason::EmptyList));
    rig.sees_wanted("bob", None);
}

#[test]
fn an_event_whose_start_and_end_come_on_topics_of_their_own_is_on_between_them_in_whatever_order_they_come() {
    let more = "window = { start = '' }\nattach.until = { topic = 'next/end' }\nattach.unless = { topic = 'next/all_day', is = true }\nmissing = 'off'";
    let mut rig = under(&rule("next/start", more));
    rig.publish("next/start", "2026-11-24 11:00").unwrap();
    rig.drive(60 * 60);
    rig.sees_wanted("alice", None); // 11:30, and nobody has said when it ends
    rig.publish("next/end", "2026-11-24 12:00").unwrap();
    rig.sees_wanted("alice", CALL);
    rig.publish("next/all_day", "true").unwrap();
    rig.sees_wanted("alice", None);
    rig.publish("next/all_day", "false").unwrap();
    rig.sees_wanted("alice", CALL);
    rig.publish("next/end", "2026-11-24 13:00").unwrap();
    rig.drive(60 * 60);
    rig.sees_wanted("alice", CALL); // 12:30, extended
    // The next one, its end first.
    rig.publish("next/end", "2026-11-24 15:00").unwrap();
    rig.publish("next/start", "2026-11-24 14:00").unwrap();
    rig.sees_wanted("alice", None);
    rig.drive(2 * 60 * 60);
    rig.sees_wanted("alice", CALL); // 14:30
    rig.drive(31 * 60);
    rig.sees_wanted("alice", None);
}

#[test]
fn a_payload_may_be_one_event_with_its_start_and_end() {
    let mut rig = under(&rule("next", "format = 'json'\nwindow = { start = '/from', end = '/to' }\nmissing = 'off'"));
    rig.publish("next", r#"{"from":"2026-11-24 11:00","to":"2026-11-24 12:00"}"#).unwrap();
    rig.sees_wanted("alice", None);
    rig.drive(45 * 60);
    rig.sees_wanted("alice", CALL);
    rig.publish("next", r#"{"from":"2026-11-24 14:00","to":"2026-11-24 15:00"}"#).unwrap();
    rig.sees_wanted("alice", None); // it was moved
    assert_eq!(rig.publish("next", r#"{"from":"soon","to":"2026-11-24 15:00"}"#), Err(Reason::BadTime));
    rig.publish("next", r#"{"from":null,"to":null}"#).unwrap();
    rig.drive(5 * 60 * 60);
    rig.sees_wanted("alice", None);
}
