//! Reads: who somebody is, and what colleagues see of people. One attempt each, as for writes; whoever calls keeps them
//! within the tenant's budget.

use serde_json::{Value, json};

use super::{Asked, Failure, Graph, shown};
use crate::presence::{ObjectId, Outcome};

/// As many ids as `getPresencesByUserId` takes (Graph: 650).
pub const MOST_IDS: usize = 650;

/// What a colleague sees, in Graph's words, which grow: unknown ones are kept, letter case means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whom.
    pub id: ObjectId,
    /// `Busy`, or `busy`.
    pub availability: String,
    /// `InACall`.
    pub activity: String,
}

impl Seen {
    /// Whether it is this pair.
    #[must_use]
    pub fn is(&self, availability: &str, activity: &str) -> bool {
        self.availability.eq_ignore_ascii_case(availability) && self.activity.eq_ignore_ascii_case(activity)
    }

    /// Graph has nothing to say of this person: no account, no mailbox, no licence, or it may not be told.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.availability.eq_ignore_ascii_case("PresenceUnknown")
    }
}

/// A read that brought nothing, and what to say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// As for a call. [`Outcome::NoSuchUser`]: Graph does not know what was asked for.
    pub why: Outcome,
    /// For the log.
    pub failure: Box<Failure>,
}

impl Graph {
    /// The object id of a user name (`GET /users/{name}?$select=id`). Needs `User.Read.All`.
    ///
    /// # Errors
    /// Graph did not say.
    pub async fn user_id(&self, name: &str) -> Result<ObjectId, Unread> {
        let answer = json_of(self.ask(&format!("{}?$select=id", user_path(name)), None).await)?;
        let id = answer.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        id.ok_or_else(nonsense)
    }

    /// What colleagues see of these people, at most [`MOST_IDS`] (`getPresencesByUserId`). Whom Graph does not know is not
    /// in the answer, or [`Seen::is_unknown`].
    ///
    /// # Errors
    /// Graph did not say.
    pub async fn presences(&self, ids: &[ObjectId]) -> Result<Vec<Seen>, Unread> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let asked = self.ask("communications/getPresencesByUserId", Some(&json!({ "ids": ids }))).await;
        let answer = json_of(asked)?;
        let list = answer.get("value").and_then(Value::as_array).ok_or_else(nonsense)?;
        Ok(list.iter().filter_map(seen).collect())
    }
}

fn json_of(asked: Asked) -> Result<Value, Unread> {
    let body = asked.body.map_err(|failure| Unread { why: asked.outcome, failure: Box::new(failure) })?;
    serde_json::from_slice(&body).map_err(|_| nonsense())
}

fn nonsense() -> Unread {
    let failure = Failure::new("Graph's answer holds nothing of what was asked for");
    Unread { why: Outcome::Ambiguous, failure: Box::new(failure) }
}

fn seen(presence: &Value) -> Option<Seen> {
    let text = |key: &str| presence.get(key).and_then(Value::as_str);
    let word = |key: &str| shown(text(key).unwrap_or("PresenceUnknown"), &[]);
    Some(Seen { id: text("id")?.parse().ok()?, availability: word("availability"), activity: word("activity") })
}

/// Guests' names hold `#`; a name that begins with `$` stands in parentheses (Graph: "Get a user").
fn user_path(name: &str) -> String {
    let mut encoded = String::new();
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' => encoded.push(byte.into()),
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    if name.starts_with('$') { format!("users('{encoded}')") } else { format!("users/{encoded}") }
}

#[cfg(test)]
mod tests {
    use super::user_path;

    #[test]
    fn user_names_are_encoded_for_the_address() {
        assert_eq!(user_path("alice@example.com"), "users/alice@example.com");
        let guest = "users/bob_example.org%23EXT%23@contoso.example";
        assert_eq!(user_path("bob_example.org#EXT#@contoso.example"), guest);
        assert_eq!(user_path("o'neil@example.com"), "users/o%27neil@example.com");
        assert_eq!(user_path("$a@example.com"), "users('%24a@example.com')");
    }
}
