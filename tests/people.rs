//! Who is listed: in the configuration, in a file, by user name; and what a change of that does to a running bridge.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use presence_bridge::admin::{Address, ask};
use presence_bridge::clock::Clock;
use presence_bridge::config::{Config, Names, Problems};
use presence_bridge::presence::{OnStop, Timestamp};
use presence_bridge::sandbox::tenant::Person;

use crate::support::fake_graph::{FakeGraph, TENANT};
use crate::support::live::{Live, configuration};
use crate::support::{ALICE, BOB, sandbox, until};

const CAROL: &str = "33333333-3333-4333-8333-333333333333";

/// Loads a configuration with a people file.
pub fn load(more: &str, csv: impl AsRef<[u8]>) -> Result<Config, Problems> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "secret").unwrap();
    std::fs::write(dir.path().join("people.csv"), csv).unwrap();
    load_in(dir.path(), more)
}

fn load_in(dir: &Path, more: &str) -> Result<Config, Problems> {
    let state = format!("[state]\ndir = \"{}\"\n", dir.display());
    let path = dir.join("bridge.toml");
    let text = configuration(1883, "http://127.0.0.1:1", &format!("{state}{more}"));
    std::fs::write(&path, text).unwrap();
    Config::load(&path)
}

pub const FILE: &str = "[people]\nfile = \"people.csv\"\n";

/// Label, id and devices, in order of the list.
fn people(config: &Config) -> Vec<(String, String)> {
    config.plan.people.iter().map(|who| (who.label.to_string(), who.object_id.to_string())).collect()
}

fn whose(config: &Config, device: &str) -> Option<String> {
    let place = config.plan.rules.resolve(device)?;
    Some(config.plan.people[place].label.to_string())
}

#[test]
fn a_people_file_is_read_as_spreadsheets_write_it() {
    let comma = format!("id,name,devices\n{ALICE},alice,1001 AA:BB:CC:11:22:33\n\n# on leave\n{BOB},bob,\n");
    let semicolon = format!("\u{feff}Name;Devices;ID\r\nalice;\"1001;AA:BB:CC:11:22:33\";{ALICE}\r\nbob;;{BOB}\r\n");
    let quoted = format!("\"id\", \"name\" , devices\n\"{ALICE}\",alice,\"1001|AA:BB:CC:11:22:33\"\n{BOB},bob\n");
    for csv in [comma, semicolon, quoted] {
        let config = load(FILE, &csv).unwrap_or_else(|problems| panic!("{csv}\n{problems}"));
        let expected = [("alice", ALICE), ("bob", BOB)].map(|(label, id)| (label.to_owned(), id.to_owned()));
        assert_eq!(people(&config), expected);
        for device in ["1001", "aa:bb:cc:11:22:33", "alice"] {
            assert_eq!(whose(&config, device).as_deref(), Some("alice"), "{device} in {csv}");
        }
        assert_eq!(whose(&config, "1002"), None);
    }
}

#[test]
fn users_and_a_people_file_stand_side_by_side() {
    let more = format!("{FILE}[users]\ncarol = \"{CAROL}\"\n[devices]\n\"1003\" = \"carol\"\n\"1009\" = \"bob\"\n");
    let config = load(&more, format!("id,name\n{BOB},bob\n")).unwrap();
    assert_eq!(people(&config).len(), 2);
    assert_eq!(whose(&config, "1003").as_deref(), Some("carol"));
    assert_eq!(whose(&config, "1009").as_deref(), Some("bob"), "a device of the table may be of somebody in the file");
}

#[test]
fn every_problem_of_a_people_file_comes_at_once_by_line() {
    let csv = format!(
        "id,name,devices\n\
         {ALICE},alice,1001\n\
         1234,bob,\n\
         {BOB},b/ob,\n\
         {ALICE},alicia,\n\
         {CAROL},Alice,\n\
         \"{CAROL},carol,\n\
         {CAROL},carol,1001,1002\n\
         bob@example.com,bob,\n\
         {CAROL},carol,1001\n"
    );
    let more = format!("{FILE}[users]\ndave = \"no id\"\n");
    let problems = load(&more, csv).unwrap_err();
    let shown = problems.to_string();
    for part in [
        "people.csv:3: id = 1234: not a GUID like",
        "people.csv:4: name = b/ob: cannot be a name",
        "people.csv:5: id = 11111111-1111-4111-8111-111111111111: alice has the same object id",
        "people.csv:6: id = 33333333-3333-4333-8333-333333333333: the name Alice differs from another by letter case only",
        "people.csv:7: a quote that does not end on its line",
        "people.csv:8: 4 fields where the first line names 3",
        "people.csv:9: id = bob@example.com: a user name, not an object id",
        "people.csv:10: devices = 1001: 1001 is a device of alice already",
        "users.dave",
        "9 problems in",
    ] {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
}

#[test]
fn a_people_file_that_is_none_is_refused() {
    for (csv, part) in [
        (&b""[..], "people.csv:1: empty"),
        (b"\n# nobody\n", "people.csv:1: empty"),
        (b"id,name\n", "people.csv:1: lists nobody"),
        (b"alice,1001\n", "there is no column id"),
        (b"id,nam\n1,2\n", "column = nam: unknown column\n    did you mean name?"),
        (b"id,name,id\n1,2,3\n", "the same column twice"),
        (b"id,name\n\xff\xfe,x\n", "people.csv:2: not UTF-8"),
        (b"id,name\n\"a\"b,x\n", "people.csv:2: text after the closing quote of a field"),
    ] {
        let shown = load(FILE, csv).unwrap_err().to_string();
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
    let missing = load("[people]\nfile = \"nowhere.csv\"\n", "").unwrap_err().to_string();
    assert!(missing.contains("nowhere.csv:0: cannot be read") || missing.contains("cannot be read"), "{missing}");
    let nobody = load("", "").unwrap_err().to_string();
    assert!(nobody.contains("or file in [people]"), "{nobody}");
}

#[test]
fn problems_of_a_large_file_are_bounded_and_counted() {
    let mut csv = "id,name\n".to_owned();
    for n in 0..5_000 {
        writeln!(csv, "not-an-id-{n},p{n}").unwrap();
    }
    let problems = load(FILE, csv).unwrap_err();
    assert_eq!(problems.problems.len(), 1_001);
    assert!(problems.to_string().contains("4000 more lines are wrong"), "{problems}");
}

#[test]
fn a_hundred_thousand_lines_are_read() {
    let csv = hundred_thousand();
    let config = load(FILE, csv).unwrap();
    assert_eq!(config.plan.people.len(), 100_000);
    assert_eq!(whose(&config, "ext-99999").as_deref(), Some("p99999"));
}

pub fn hundred_thousand() -> String {
    let mut csv = "id,name,devices\n".to_owned();
    for n in 0..100_000 {
        writeln!(csv, "11111111-1111-4111-8111-{n:012x},p{n},ext-{n} AA:BB:CC:{n:06x}").unwrap();
    }
    csv
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_file_is_taken_up_and_who_is_removed_is_cleared_once() {
    let sandbox = sandbox(false).await;
    let csv = format!("id,name,devices\n{ALICE},alice,1001\n");
    let live = Live::start(&sandbox.graph_url(), FILE, &[("people.csv", &csv)]).await;
    let calls = |user: &str| {
        let tenant = sandbox.tenant().lock().unwrap();
        tenant.log().iter().filter(|entry| entry.user == user).map(|entry| entry.what.clone()).collect::<Vec<_>>()
    };
    live.publish("pbx/1001", "INUSE").await;
    until("alice is set", || calls(ALICE) == ["setPresence"]).await;
    until("her topic", || live.topic("people/alice").is_some_and(|text| text.contains("call@1001"))).await;
    // Bob comes, Alice goes.
    live.replace("people.csv", &format!("id,name,devices\n{BOB},bob,1002\n"));
    until("alice is cleared", || calls(ALICE) == ["setPresence", "clearPresence"]).await;
    until("her topic is deleted", || live.topic("people/alice").is_none()).await;
    live.publish("pbx/1002", "INUSE").await;
    until("bob is set", || calls(BOB) == ["setPresence"]).await;
    live.publish("pbx/1001", "INUSE").await;
    live.publish("pbx/1002", "NOT_INUSE").await;
    until("bob is cleared", || calls(BOB) == ["setPresence", "clearPresence"]).await;
    assert_eq!(calls(ALICE), ["setPresence", "clearPresence"], "once, and never set again");
    // Another name for the same person: nothing is called, and the topic moves.
    live.replace("people.csv", &format!("id,name,devices\n{BOB},robert,1002\n"));
    until("the new topic", || live.topic("people/robert").is_some() && live.topic("people/bob").is_none()).await;
    assert_eq!(calls(BOB).len(), 2);
    live.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_63_a_bad_list_changes_nothing_and_says_why() {
    let sandbox = sandbox(false).await;
    let csv = format!("id,name,devices\n{ALICE},alice,1001\n");
    let live = Live::start(&sandbox.graph_url(), FILE, &[("people.csv", &csv)]).await;
    live.replace("people.csv", &format!("id,name,devices\n{BOB},bob,1002\nnonsense,carol,1003\n"));
    until("an alarm", || live.status().contains("configuration_refused")).await;
    let status = live.status();
    assert!(status.contains("people.csv:3: id = nonsense: not a GUID"), "{status}");
    assert!(status.contains("presence-bridge check"), "{status}");
    let seen = |user: &str| {
        let now = Clock::live().now().mono.as_millis();
        sandbox.tenant().lock().unwrap().seen(now, user).to_string()
    };
    live.publish("pbx/1002", "INUSE").await; // Bob is on no list that counts
    live.publish("pbx/1001", "INUSE").await;
    until("alice is still listed", || seen(ALICE) == "Busy/InACall").await;
    assert_ne!(seen(BOB), "Busy/InACall");
    live.replace("people.csv", &format!("id,name,devices\n{ALICE},alice,1001\n{BOB},bob,1002\n"));
    until("the alarm ends", || !live.status().contains("configuration_refused")).await;
    live.publish("pbx/1002", "INUSE").await;
    until("bob is listed", || seen(BOB) == "Busy/InACall").await;
    // What cannot be taken up without a restart is refused whole.
    let text =
        std::fs::read_to_string(live.config()).unwrap().replace("[mqtt]\n", "[mqtt]\ntopic_prefix = \"other\"\n");
    live.replace("bridge.toml", &text);
    until("refused", || live.status().contains("topic_prefix, or the names")).await;
    live.stop(OnStop::Leave).await;
}

const RESOLVE: &str = "resolve_names = true\n";

#[test]
fn user_names_wait_until_their_id_is_known() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "secret").unwrap();
    let csv = format!("id,name,devices\nAlice@Example.com,alice,1001\nbob@example.com,bob,1002\n{CAROL},carol,\n");
    std::fs::write(dir.path().join("people.csv"), csv).unwrap();
    let more = format!("{FILE}{RESOLVE}");
    let config = load_in(dir.path(), &more).unwrap();
    assert_eq!(people(&config), [("carol".to_owned(), CAROL.to_owned())]);
    assert_eq!(config.people.waiting.len(), 2);
    let mut names = Names::default();
    assert!(names.learn("ALICE@example.com", ALICE.parse().unwrap(), Timestamp::default()));
    assert!(!names.learn("alice@example.com", ALICE.parse().unwrap(), Timestamp::default()), "no news");
    assert!(names.learn("bob@example.com", CAROL.parse().unwrap(), Timestamp::default()));
    names.save(dir.path(), TENANT.parse().unwrap()).unwrap();
    let config = load_in(dir.path(), &more).unwrap();
    assert_eq!(people(&config).len(), 2);
    assert_eq!(whose(&config, "1001").as_deref(), Some("alice"));
    assert_eq!(config.people.doubles, [("carol".into(), "bob".into())], "two names of one account are one person");
    // A damaged file, or one of another tenant, is as none.
    for broken in ["", "{", "{\"version\":9}"] {
        std::fs::write(dir.path().join("names.json"), broken).unwrap();
        assert_eq!(load_in(dir.path(), &more).unwrap().people.waiting.len(), 2);
    }
    names.save(dir.path(), CAROL.parse().unwrap()).unwrap();
    assert_eq!(load_in(dir.path(), &more).unwrap().people.waiting.len(), 2);
    let new = dir.path().join("state");
    names.save(&new, TENANT.parse().unwrap()).unwrap();
    assert_eq!(Names::load(&new, TENANT.parse().unwrap()).get("alice@example.com"), Some(ALICE.parse().unwrap()));
    let error = names.save(&new.join("a/b"), TENANT.parse().unwrap()).unwrap_err();
    assert!(error.contains("names.json cannot be written"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn user_names_are_looked_up_once_and_kept_on_disk() {
    let graph = FakeGraph::start().await;
    graph.state().users.insert("alice@example.com".to_owned(), ALICE.to_owned());
    let more = format!("[state]\ndir = \".\"\n{FILE}{RESOLVE}");
    let csv = "id,name,devices\nalice@example.com,alice,1001\nnobody@example.com,nobody,\n";
    let live = Live::start(&graph.url, &more, &[("people.csv", csv)]).await;
    until("an alarm names who is unknown", || live.status().contains("nobody@example.com: correct them")).await;
    until("her topic", || live.topic("people/alice").is_some()).await;
    live.publish("pbx/1001", "INUSE").await;
    until("alice can be set", || graph.calls(&format!("{ALICE}/presence/setPresence")) == 1).await;
    let names = Names::load(&live.dir, TENANT.parse().unwrap());
    assert_eq!(names.get("alice@example.com"), Some(ALICE.parse().unwrap()));
    let lookups = [graph.calls("alice@example.com"), graph.calls("nobody@example.com")];
    assert_eq!(lookups, [1, 1]);
    // The list was corrected: what Graph did not know is asked for again.
    graph.state().users.insert("bob@example.com".to_owned(), BOB.to_owned());
    live.replace("people.csv", &csv.replace("nobody@", "bob@"));
    until("bob is listed, and the alarm ends", || {
        live.topic("people/nobody").is_some() && !live.status().contains("names_unknown")
    })
    .await;
    assert_eq!(graph.calls("alice@example.com"), 1);
    live.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_name_is_looked_up_in_the_sandbox() {
    let sandbox = sandbox(false).await;
    let alice = Person { upn: "alice@example.com".to_owned(), ..Person::default() };
    {
        let mut tenant = sandbox.tenant().lock().unwrap();
        tenant.settings().roles.push("User.Read.All".to_owned());
        tenant.settings().people.insert(ALICE.to_owned(), alice);
    }
    let more = format!("[state]\ndir = \".\"\n{FILE}{RESOLVE}");
    let csv = "id,name,devices\nAlice@Example.com,alice,1001\nnobody@example.com,nobody,\n";
    let live = Live::start(&sandbox.graph_url(), &more, &[("people.csv", csv)]).await;
    until("an alarm names who is unknown", || live.status().contains("nobody@example.com: correct them")).await;
    until("her topic", || live.topic("people/alice").is_some()).await;
    live.publish("pbx/1001", "INUSE").await;
    let set = || sandbox.tenant().lock().unwrap().calls(ALICE, "setPresence").len();
    until("alice is set by her object id", || set() == 1).await;
    live.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_names_are_looked_up_the_core_leaves_them_room() {
    let graph = FakeGraph::start().await;
    let mut csv = "id,name\n".to_owned();
    for n in 0..20 {
        graph.state().users.insert(format!("p{n}@example.com"), format!("33333333-3333-4333-8333-{n:012x}"));
        writeln!(csv, "p{n}@example.com,p{n}").unwrap();
    }
    let more = format!("[state]\ndir = \".\"\n{FILE}{RESOLVE}");
    let live = Live::start(&graph.url, &more, &[("people.csv", &csv)]).await;
    let socket = Address::Unix(live.socket());
    let (mut shared, mut without_id) = (false, 20);
    for _ in 0..500 {
        let (_, status) = ask(&socket, "/status").await.unwrap();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let lookups = status["budget"]["lookups_per_second"].as_f64().unwrap();
        without_id = status["people"]["without_id"].as_u64().unwrap();
        shared |= lookups == 10.0;
        if without_id == 0 && lookups == 0.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(shared, "ten calls a second were the lookups'");
    assert_eq!((without_id, graph.calls("@example.com")), (0, 20), "each once");
    live.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn user_names_are_looked_up_again_after_a_day() {
    let graph = FakeGraph::start().await;
    // The name was given to somebody else, overnight.
    graph.state().users.insert("alice@example.com".to_owned(), BOB.to_owned());
    let known = tempfile::tempdir().unwrap();
    let hours_ago = |hours: i64| Timestamp::from_millis(Clock::live().now().wall.as_millis() - hours * 3_600_000);
    let mut names = Names::default();
    names.learn("alice@example.com", ALICE.parse().unwrap(), hours_ago(25));
    names.learn("carol@example.com", CAROL.parse().unwrap(), hours_ago(23));
    names.save(known.path(), TENANT.parse().unwrap()).unwrap();
    let more = format!("[state]\ndir = {:?}\n{FILE}{RESOLVE}", known.path());
    let csv = "id,name,devices\nalice@example.com,alice,1001\ncarol@example.com,carol,1003\n";
    let live = Live::start(&graph.url, &more, &[("people.csv", csv)]).await;
    live.publish("pbx/1003", "INUSE").await;
    until("carol is known from yesterday", || graph.calls(&format!("{CAROL}/presence/setPresence")) == 1).await;
    let now = |name: &str| Names::load(known.path(), TENANT.parse().unwrap()).get(name);
    until("alice's name is another account", || now("alice@example.com") == Some(BOB.parse().unwrap())).await;
    // The plan follows what is on disk by a moment.
    for payload in ["INUSE", "NOT_INUSE"].iter().cycle().take(1_000) {
        live.publish("pbx/1001", payload).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        if graph.calls(&format!("{BOB}/presence/setPresence")) > 0 {
            break;
        }
    }
    assert!(graph.calls(&format!("{BOB}/presence/setPresence")) > 0, "the other account is set");
    assert_eq!(graph.calls("carol@example.com"), 0);
    live.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_is_taken_up_when_what_it_needs_is_back() {
    let sandbox = sandbox(false).await;
    let csv = format!("id,name,devices\n{ALICE},alice,1001\n");
    let live = Live::start(&sandbox.graph_url(), FILE, &[("people.csv", &csv)]).await;
    std::fs::rename(live.dir.join("secret"), live.dir.join("away")).unwrap();
    live.replace("people.csv", &format!("id,name,devices\n{ALICE},alice,1001\n{BOB},bob,1002\n"));
    until("refused", || live.status().contains("cannot read the secret file")).await;
    std::fs::rename(live.dir.join("away"), live.dir.join("secret")).unwrap();
    let taken = async {
        while live.topic("people/bob").is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), taken).await.expect("read again without another change");
    until("the alarm ends", || !live.status().contains("configuration_refused")).await;
    live.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_permission_to_look_names_up_the_alarm_says_what_to_grant() {
    let graph = FakeGraph::start().await;
    graph.state().no_lookups = true;
    let more = format!("[state]\ndir = \".\"\n{FILE}{RESOLVE}");
    let csv = format!("id,name,devices\nalice@example.com,alice,1001\n{BOB},bob,1002\n");
    let live = Live::start(&graph.url, &more, &[("people.csv", &csv)]).await;
    until("an alarm", || live.status().contains("names_not_allowed")).await;
    let status = live.status();
    assert!(status.contains("User.Read.All") && status.contains("admin consent"), "{status}");
    let socket = Address::Unix(live.socket());
    let (code, alice) = ask(&socket, "/status/alice").await.unwrap();
    assert!(code == 404 && alice.contains("alice@example.com, whose object id is not known yet"), "{alice}");
    let (_, overview) = ask(&socket, "/status").await.unwrap();
    let overview: serde_json::Value = serde_json::from_str(&overview).unwrap();
    assert_eq!((&overview["people"]["listed"], &overview["people"]["without_id"]), (&2.into(), &1.into()));
    assert_eq!(overview["budget"]["lookups_per_second"], 0.0, "while nobody is looked up, the rate is the core's");
    live.publish("pbx/1002", "INUSE").await;
    until("others are set", || graph.calls(&format!("{BOB}/presence/setPresence")) == 1).await;
    assert_eq!(graph.calls("alice@example.com"), 1, "not asked again and again");
    live.stop(OnStop::Leave).await;
}

#[test]
fn problems_of_a_people_file_are_shown_in_their_lines() {
    use presence_bridge::config::Look;
    let shown = load(FILE, format!("id;name;devices\n{ALICE};ali/ce;1001\n")).unwrap_err().report(Look::PLAIN);
    let wanted = format!("people.csv:2:38\n  |\n2 | {ALICE};ali/ce;1001\n  |{}^^^^^^\n", " ".repeat(38));
    assert!(shown.contains(&wanted), "{wanted}\nis missing in\n{shown}");
}
