//! `init`: a few questions, and a commented configuration that `check` accepts.

use std::fs::OpenOptions;
use std::io::{BufRead, Write};
use std::path::Path;

use crate::presence::ObjectId;

struct Question {
    ask: &'static str,
    default: &'static str,
    wrong: fn(&str) -> Option<&'static str>,
}

const QUESTIONS: [Question; 7] = [
    Question { ask: "Directory (tenant) ID", default: "", wrong: guid },
    Question { ask: "Application (client) ID", default: "", wrong: guid },
    Question { ask: "File with the client secret's value", default: "client-secret", wrong: text },
    Question { ask: "Broker", default: "mqtt://localhost:1883", wrong: broker },
    Question { ask: "First person: a short name", default: "alice", wrong: name },
    Question { ask: "Object ID of that person", default: "", wrong: guid },
    Question { ask: "Extension of that person's phone", default: "1001", wrong: text },
];

/// Asks on `out`, reads from `answers`, writes `path`.
///
/// # Errors
/// The file exists, cannot be written, or the answers end early.
pub fn init(mut answers: impl BufRead, mut out: impl Write, path: &Path) -> Result<(), String> {
    if path.exists() {
        return Err(format!("{} exists already; nothing was changed", path.display()));
    }
    let failed = |error: std::io::Error| error.to_string();
    writeln!(out, "docs/entra.md says where the ids are found. An empty answer takes what stands in brackets.")
        .map_err(failed)?;
    let mut given = Vec::new();
    for question in &QUESTIONS {
        given.push(ask(&mut answers, &mut out, question)?);
    }
    let text = render(&given);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    file.write_all(text.as_bytes()).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    let path = path.display();
    writeln!(out, "Wrote {path}. Next: put the secret into {}, then presence-bridge check -c {path}", given[2])
        .map_err(failed)
}

fn ask(answers: &mut impl BufRead, out: &mut impl Write, question: &Question) -> Result<String, String> {
    loop {
        let shown = if question.default.is_empty() { String::new() } else { format!(" [{}]", question.default) };
        write!(out, "{}{shown}: ", question.ask).and_then(|()| out.flush()).map_err(|error| error.to_string())?;
        let mut line = String::new();
        let read = answers.read_line(&mut line).map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("the answers ended; nothing was written".to_owned());
        }
        let answer = match line.trim() {
            "" => question.default,
            answer => answer,
        };
        match (question.wrong)(answer) {
            None => return Ok(answer.to_owned()),
            Some(wrong) => writeln!(out, "  {wrong}").map_err(|error| error.to_string())?,
        }
    }
}

fn guid(answer: &str) -> Option<&'static str> {
    answer.parse::<ObjectId>().is_err().then_some("that is not a GUID like 11111111-2222-3333-4444-555555555555")
}

fn text(answer: &str) -> Option<&'static str> {
    (answer.is_empty() || answer.contains(['"', '\\'])).then_some("something without quotes and backslashes, please")
}

fn name(answer: &str) -> Option<&'static str> {
    let fits = !answer.is_empty() && answer.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    (!fits).then_some("letters, digits, - and _: it becomes part of topics")
}

fn broker(answer: &str) -> Option<&'static str> {
    let known = answer.starts_with("mqtt://") || answer.starts_with("mqtts://");
    (!known || text(answer).is_some()).then_some("mqtt://HOST:PORT, or mqtts:// for TLS")
}

fn render(given: &[String]) -> String {
    let [tenant, client, secret, broker, person, object_id, phone] = given else { return String::new() };
    format!(
        r#"# Written by presence-bridge init. Every key with its default: config/bridge.toml in the source.

[graph]
tenant_id = "{tenant}"
client_id = "{client}"
client_secret_file = "{secret}" # relative to this file; holds the secret's value, not its id

[mqtt]
url = "{broker}"
# A broker elsewhere: use mqtts://, or allow_plaintext = true on a network that is yours alone.
# username = "bridge"
# password_file = "mqtt-password"

[users] # the only people who are ever set: name = object id in Entra
{person} = "{object_id}"

[devices] # what messages call them: extension, MAC address, host name
"{phone}" = "{person}"

[signals] # in order of priority: the first that is on decides
call = "Busy/InACall"
meeting = "Busy/InAConferenceCall"

[[rule]] # Asterisk or FreePBX through ami2mqtt; change the topic to what your phones say
topic = "pbx/devstate/PJSIP/{{ext}}"
subject = "{{ext}}"
signal = "call"
on = ["INUSE", "BUSY", "RINGINUSE", "ONHOLD"]
off = ["NOT_INUSE", "RINGING"]
unknown = ["UNAVAILABLE", "INVALID", "UNKNOWN"]
ttl = "8h" # if nothing more is heard for so long, the call is over

# Needs no rule: publish on, off or {{"on": true, "for": "30m"}} to presence-bridge/in/{person}/meeting
"#
    )
}
