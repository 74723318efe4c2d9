//! What the bridge relies on, asked of a broker thing by thing. The answers are short words, one line each, and each
//! broker's test holds what its broker answered: the tables of `docs/brokers.md` are made of these lines.

use std::time::Duration;

use presence_bridge::clock::Clock;

use super::wire::{Access, Client, Closed, Connect, Message, Version};

/// The lines of one broker under one version of MQTT. `forbidden` is a topic that the login may not touch.
async fn observe(access: &Access, forbidden: Option<&str>) -> Vec<(&'static str, String)> {
    let silent = tokio::spawn(keep_alive(access.clone()));
    let mut lines = vec![
        ("CONNACK says", connack(access).await),
        ("several filters", filters(access).await),
        ("retained", retained(access).await),
        ("session", session(access).await),
        ("session expiry 1 s", expiry(access).await),
        ("unacknowledged", unacknowledged(access).await),
        ("in flight", window(access).await),
        ("larger than announced", too_large(access).await),
        ("last will", will(access).await),
        ("take-over", take_over(access).await),
        ("topics", topics(access).await),
        ("100 kB", large(access).await),
    ];
    if let Some(topic) = forbidden {
        lines.push(("forbidden filter", forbidden_filter(access, topic).await));
        lines.push(("forbidden publish", forbidden_publish(access, topic).await));
    }
    lines.push(("keep-alive 2 s", silent.await.unwrap()));
    lines
}

/// The lines of one version.
pub async fn answers(access: &Access, forbidden: Option<&str>) -> String {
    observe(access, forbidden).await.iter().map(|(what, found)| format!("{what}: {found}\n")).collect()
}

/// The lines of 3.1.1 and of 5, in one where they agree.
pub async fn answers_of_both(access: impl Fn(Version) -> Access, forbidden: Option<&str>) -> String {
    let old = observe(&access(Version::V311), forbidden).await;
    let new = observe(&access(Version::V5), forbidden).await;
    let pairs = old.iter().zip(&new);
    pairs
        .map(|((what, old), (_, new))| match old == new {
            true => format!("{what}: {old}\n"),
            false => format!("{what} (3.1.1): {old}\n{what} (5): {new}\n"),
        })
        .collect()
}

fn payloads(messages: &[Message]) -> String {
    let all: Vec<&str> = messages.iter().map(|message| message.payload.as_str()).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(" ") }
}

fn ended(closed: Closed) -> String {
    closed.0.map_or("closed".to_owned(), |code| format!("DISCONNECT {code:#04x}"))
}

async fn connack(access: &Access) -> String {
    let (client, welcome) = Client::connect(access, &Connect::new("says")).await.unwrap();
    client.leave().await;
    let names = [
        (0x11, "expiry"),
        (0x13, "keep-alive"),
        (0x21, "receive maximum"),
        (0x24, "QoS"),
        (0x25, "retain"),
        (0x27, "packet"),
        (0x28, "wildcards"),
        (0x2a, "shared"),
    ];
    let said = names.iter().filter_map(|(id, name)| welcome.properties.get(id).map(|it| format!("{name} {it}")));
    let said: Vec<String> = said.collect();
    if said.is_empty() { "nothing".to_owned() } else { said.join(", ") }
}

/// Exact, both wildcards, and below `$`; then one message through each.
async fn filters(access: &Access) -> String {
    let mut client = Client::welcomed(access, &Connect::new("filters")).await;
    let codes = match client.subscribe(&["filters/exact", "filters/+/one", "filters/all/#", "+/deep/+/#"]).await {
        Ok(codes) => codes.iter().map(|code| format!("{code:02x}")).collect::<Vec<_>>().join(" "),
        Err(closed) => return ended(closed),
    };
    for (n, topic) in ["filters/exact", "filters/x/one", "filters/all/a/b", "y/deep/z/1"].into_iter().enumerate() {
        client.publish(topic, &n.to_string(), false).await.unwrap();
    }
    let found = client.messages().await;
    let plain = found.iter().all(|message| message.qos == 1 && !message.retain);
    format!("{codes}, heard {}{}", payloads(&found), if plain { " at QoS 1" } else { " otherwise" })
}

/// By each kind of filter: replayed on SUBSCRIBE and on a second one, marked as such; not marked when live; deleted.
async fn retained(access: &Access) -> String {
    let mut writer = Client::welcomed(access, &Connect::new("retains")).await;
    let mut found = Vec::new();
    for (n, filter) in ["kept0/a", "kept1/+", "kept2/#"].into_iter().enumerate() {
        writer.publish(&format!("kept{n}/a"), "old", true).await.unwrap();
        let mut reader = Client::welcomed(access, &Connect::new(&format!("reads-{n}"))).await;
        let mut steps = Vec::new();
        for _ in 0..2 {
            reader.subscribe(&[filter]).await.unwrap();
            steps.push(reader.messages().await);
        }
        writer.publish(&format!("kept{n}/a"), "new", true).await.unwrap();
        steps.push(reader.messages().await);
        writer.publish(&format!("kept{n}/a"), "", true).await.unwrap();
        reader.messages().await;
        reader.subscribe(&[filter]).await.unwrap();
        steps.push(reader.messages().await);
        let steps: Vec<String> = steps.iter().map(|step| marked(step)).collect();
        found.push(format!("{} {}", &filter[6..], steps.join(", ")));
    }
    format!("{} (subscribed, again, live, deleted)", found.join("; "))
}

fn marked(messages: &[Message]) -> String {
    let all: Vec<String> =
        messages.iter().map(|it| format!("{}{}", it.payload, if it.retain { "(r)" } else { "" })).collect();
    if all.is_empty() { "-".to_owned() } else { all.join("+") }
}

/// QoS 1 while we are away.
async fn session(access: &Access) -> String {
    let keep = Connect { keep: Some(300), ..Connect::new("stays") };
    let mut client = Client::welcomed(access, &keep).await;
    client.subscribe(&["stays/#"]).await.unwrap();
    client.leave().await;
    let mut writer = Client::welcomed(access, &Connect::new("meanwhile")).await;
    for n in 1..=20 {
        writer.publish("stays/a", &n.to_string(), false).await.unwrap();
    }
    let (mut client, welcome) = Client::connect(access, &keep).await.unwrap();
    let found = client.messages().await;
    let in_order = (1..=20).map(|n| n.to_string()).eq(found.iter().map(|message| message.payload.clone()));
    let known = if welcome.session_present { "present" } else { "absent" };
    client.leave().await;
    let (mut client, _) = Client::connect(access, &keep).await.unwrap();
    let again = client.messages().await.len();
    client.leave().await;
    let (_, clean) = Client::connect(access, &Connect::new("stays")).await.unwrap();
    let wiped = if clean.session_present { "a clean start finds it" } else { "a clean start wipes it" };
    let heard = if in_order { "20 in order".to_owned() } else { payloads(&found) };
    format!("{known}, {heard}, then {again}; {wiped}")
}

async fn expiry(access: &Access) -> String {
    if access.version == Version::V311 {
        return "not in 3.1.1".to_owned();
    }
    let keep = Connect { keep: Some(1), ..Connect::new("expires") };
    Client::welcomed(access, &keep).await.leave().await;
    let soon = Client::connect(access, &keep).await.unwrap();
    soon.0.leave().await;
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let (_, late) = Client::connect(access, &keep).await.unwrap();
    let known = |present: bool| if present { "present" } else { "gone" };
    format!("{} at once, {} after 3.5 s", known(soon.1.session_present), known(late.session_present))
}

/// Three come, one is acknowledged, the link is cut.
async fn unacknowledged(access: &Access) -> String {
    let keep = Connect { keep: Some(300), ..Connect::new("acks") };
    let mut client = Client::welcomed(access, &keep).await;
    client.acks = false;
    client.subscribe(&["acks/#"]).await.unwrap();
    let mut writer = Client::welcomed(access, &Connect::new("acked")).await;
    for n in ["1", "2", "3"] {
        writer.publish("acks/a", n, false).await.unwrap();
    }
    let found = client.messages().await;
    client.ack(found[0].pkid).await;
    client.messages().await; // so that it is read before the cut
    drop(client);
    let (mut client, _) = Client::connect(access, &keep).await.unwrap();
    let began = Clock::live().real();
    let first = client.message_within(Duration::from_secs(5)).await;
    let soon = Clock::live().real().since(began) < Duration::from_secs(1);
    let again: Vec<Message> = first.into_iter().chain(client.messages().await).collect();
    let dup = again.iter().all(|message| message.dup);
    client.leave().await;
    let when = if soon { "at once" } else { "after a while" };
    format!("{} again {when}, {}", payloads(&again), if dup { "DUP" } else { "no DUP" })
}

/// How many of 150 come before the first is acknowledged; on MQTT 5 also when 5 are announced.
async fn window(access: &Access) -> String {
    let mut found = Vec::new();
    for announced in [None, Some(5)] {
        if announced.is_some() && access.version == Version::V311 {
            break;
        }
        let id = format!("window-{}", announced.unwrap_or(0));
        let connect = Connect { receive_maximum: announced, ..Connect::new(&id) };
        let mut client = Client::welcomed(access, &connect).await;
        client.acks = false;
        client.subscribe(&[&format!("{id}/#")]).await.unwrap();
        let mut writer = Client::welcomed(access, &Connect::new("fills")).await;
        for n in 0..150 {
            writer.publish(&format!("{id}/a"), &n.to_string(), false).await.unwrap();
        }
        let first = client.messages().await;
        client.acks = true;
        for message in &first {
            client.ack(message.pkid).await;
        }
        let all = first.len() + client.messages().await.len();
        let of = announced.map_or(String::new(), |it| format!(" of {it} announced"));
        found.push(format!("{}{of}, then {all} of 150", first.len()));
    }
    found.join("; ")
}

async fn too_large(access: &Access) -> String {
    if access.version == Version::V311 {
        return "not in 3.1.1".to_owned();
    }
    let connect = Connect { max_packet_size: Some(1_000), ..Connect::new("small") };
    let mut client = Client::welcomed(access, &connect).await;
    client.subscribe(&["small/#"]).await.unwrap();
    let mut writer = Client::welcomed(access, &Connect::new("big")).await;
    writer.publish("small/a", &"x".repeat(2_000), false).await.unwrap();
    writer.publish("small/a", "after", false).await.unwrap();
    let found = client.messages().await;
    match client.end(Duration::from_millis(250)).await {
        Some(closed) => ended(closed),
        None if payloads(&found) == "after" => "kept back, the link lives".to_owned(),
        None => format!("{} delivered, the link lives", found.len()),
    }
}

async fn will(access: &Access) -> String {
    let mut watch = Client::welcomed(access, &Connect::new("watch")).await;
    watch.subscribe(&["will/cut"]).await.unwrap();
    let with = |id: &str| Connect { will: Some((format!("will/{id}"), "gone".to_owned())), ..Connect::new(id) };
    drop(Client::welcomed(access, &with("cut")).await);
    let live = watch.message_within(Duration::from_secs(5)).await;
    let mut late = Client::welcomed(access, &Connect::new("late")).await;
    late.subscribe(&["will/cut"]).await.unwrap();
    let kept = late.messages().await;
    Client::welcomed(access, &with("polite")).await.leave().await;
    late.subscribe(&["will/polite"]).await.unwrap();
    let polite = late.messages().await;
    let live = if live.is_some() { "live" } else { "not live" };
    let kept = if kept.iter().any(|it| it.retain) { "retained" } else { "not retained" };
    let after = if polite.is_empty() { "none after DISCONNECT" } else { "also after DISCONNECT" };
    format!("{live}, {kept}, {after}")
}

async fn take_over(access: &Access) -> String {
    let keep = Connect { keep: Some(300), ..Connect::new("twin") };
    let mut one = Client::welcomed(access, &keep).await;
    one.subscribe(&["twin/#"]).await.unwrap();
    let (mut two, welcome) = Client::connect(access, &keep).await.unwrap();
    let end = one.end(Duration::from_secs(3)).await.map_or("the old one stays".to_owned(), ended);
    let mut writer = Client::welcomed(access, &Connect::new("to-twin")).await;
    writer.publish("twin/a", "hello", false).await.unwrap();
    let heard = two.message_within(Duration::from_secs(2)).await.is_some();
    let known = if welcome.session_present { "present" } else { "absent" };
    format!("{end}; session {known}, {}", if heard { "goes on" } else { "deaf" })
}

/// Names that some devices have.
async fn topics(access: &Access) -> String {
    let mut found = Vec::new();
    for (n, level) in ["a.b", "a b", "a//b", "a/", "ü", "a:b", "a*b"].into_iter().enumerate() {
        let mut client = Client::welcomed(access, &Connect::new(&format!("topic-{n}"))).await;
        let (topic, filter) = (format!("names{n}/{level}"), format!("names{n}/#"));
        client.subscribe(&[&filter]).await.unwrap();
        let result = match client.publish(&topic, "x", false).await {
            Err(closed) => ended(closed),
            Ok(_) => match client.message_within(Duration::from_millis(500)).await {
                Some(message) if message.topic == topic => continue,
                Some(message) => format!("arrives as {:?}", message.topic.replace(&format!("names{n}/"), "")),
                None => "lost".to_owned(),
            },
        };
        found.push(format!("{level:?} {result}"));
    }
    if found.is_empty() { "any".to_owned() } else { found.join(", ") }
}

async fn large(access: &Access) -> String {
    let mut client = Client::welcomed(access, &Connect::new("large")).await;
    client.subscribe(&["large/#"]).await.unwrap();
    if let Err(closed) = client.publish("large/a", &"x".repeat(100_000), false).await {
        return ended(closed);
    }
    let arrived = client.message_within(Duration::from_secs(2)).await.is_some();
    if arrived { "arrives".to_owned() } else { "lost".to_owned() }
}

async fn forbidden_filter(access: &Access, topic: &str) -> String {
    let mut client = Client::welcomed(access, &Connect::new("forbidden")).await;
    match client.subscribe(&["allowed/#", topic]).await {
        Ok(codes) => codes.iter().map(|code| format!("{code:02x}")).collect::<Vec<_>>().join(" "),
        Err(closed) => ended(closed),
    }
}

async fn forbidden_publish(access: &Access, topic: &str) -> String {
    let mut client = Client::welcomed(access, &Connect::new("forbidden")).await;
    match client.publish(topic, "x", false).await {
        Ok(code) => format!("PUBACK {code:#04x}"),
        Err(closed) => ended(closed),
    }
}

/// A client that never pings.
async fn keep_alive(access: Access) -> String {
    let connect = Connect { keep_alive: 2, ..Connect::new("silent") };
    let mut client = Client::welcomed(&access, &connect).await;
    let bound = Duration::from_secs(12);
    match client.end(bound).await {
        Some(closed) => format!("{} within 12 s", ended(closed)),
        None => "noticed after 12 s or never".to_owned(),
    }
}
