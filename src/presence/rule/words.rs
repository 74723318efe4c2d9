//! What a value is compared with: words, and tests where words do not do.

use std::borrow::Cow;

use super::json::Json;
use super::pattern::Regex;
use super::text::lower_is;

/// From here on different numbers may be the same double: 2^53. They are compared as they are written.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// A value that a rule looks at.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Word(Cow<'a, str>),
    Json(&'a Json),
}

impl<'a> Value<'a> {
    /// As a word; arrays and objects have none.
    pub(super) fn word(&self) -> Option<Cow<'_, str>> {
        match self {
            Value::Word(word) => Some(Cow::Borrowed(word)),
            Value::Json(json) => json.word(),
        }
    }

    pub(super) fn into_word(self) -> Option<Cow<'a, str>> {
        match self {
            Value::Word(word) => Some(word),
            Value::Json(json) => json.word(),
        }
    }

    /// As a number, from JSON or from text; never infinite or not a number.
    pub(super) fn number(&self) -> Option<f64> {
        let number: f64 = match self {
            Value::Json(Json::Bool(_) | Json::Null) => return None,
            Value::Json(Json::Number(number)) => number.as_f64()?,
            _ => self.word()?.trim().parse().ok()?,
        };
        number.is_finite().then_some(number)
    }

    fn contains(&self, part: &str) -> bool {
        match self {
            Value::Json(Json::Array(items)) => {
                items.iter().any(|item| item.word().is_some_and(|word| lower_is(part, &word)))
            }
            Value::Json(Json::Object(fields)) => fields.iter().any(|(key, _)| lower_is(part, key)),
            _ => self.word().is_some_and(|word| word.to_lowercase().contains(part)),
        }
    }
}

/// What may be asked of a value besides being one of some words. All that is asked must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Test {
    /// None of these words.
    pub not: Words,
    /// A number above this.
    pub above: Option<f64>,
    /// A number below this.
    pub below: Option<f64>,
    /// An array with one of these elements, an object with one of these keys, a text with one of these in it; lower case.
    pub contains: Vec<Box<str>>,
    /// There, and not null; or not.
    pub exists: Option<bool>,
    /// A text that this matches.
    pub matches: Option<Regex>,
}

/// Words, compared without letter case; with a test, if there is one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Words(Vec<Box<str>>, Option<Box<Test>>);

impl Words {
    /// Of these.
    #[must_use]
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        Words(words.into_iter().map(|word| word.trim().to_lowercase().into()).collect(), None)
    }

    /// These words, or any if there are none; and the test as well.
    #[must_use]
    pub fn with(self, test: Test) -> Self {
        Words(self.0, Some(Box::new(test)))
    }

    /// Whether nothing is asked for, so that no value is taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty() && self.1.is_none()
    }

    /// Whether it asks for a number above or below another.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.1.as_ref().is_some_and(|test| test.above.is_some() || test.below.is_some())
    }

    /// What is not there is none of the words.
    fn only_excludes(&self, test: &Test) -> bool {
        let excludes = Test { not: test.not.clone(), ..Test::default() };
        self.0.is_empty() && !test.not.is_empty() && *test == excludes
    }

    /// What is asked for: one of these words, and this test.
    pub(super) fn parts(&self) -> (&[Box<str>], Option<&Test>) {
        (&self.0, self.1.as_deref())
    }

    /// Whether it asks that there be no value.
    pub(super) fn wants_none(&self) -> bool {
        self.1.as_ref().is_some_and(|test| test.exists == Some(false))
    }

    fn has(&self, value: &Value<'_>) -> bool {
        if let Value::Json(Json::Number(_)) = value
            && let Some(number) = value.number().filter(|number| number.abs() < WHOLE)
            && self.0.iter().any(|word| word.parse::<f64>().is_ok_and(|word| word == number))
        {
            return true; // 1.0 is 1
        }
        value.word().is_some_and(|value| self.0.iter().any(|word| lower_is(word, &value)))
    }

    /// Whether a value, or its absence, is what is asked for.
    pub(super) fn holds(&self, value: Option<&Value<'_>>) -> bool {
        let Some(test) = &self.1 else { return value.is_some_and(|value| self.has(value)) };
        let there = value.is_some_and(|value| !matches!(value, Value::Json(Json::Null)));
        if test.exists.is_some_and(|exists| exists != there) {
            return false;
        }
        let Some(value) = value else { return test.exists == Some(false) || self.only_excludes(test) };
        let number = || value.number();
        (self.0.is_empty() || self.has(value))
            && !test.not.has(value)
            && test.above.is_none_or(|bound| number().is_some_and(|number| number > bound))
            && test.below.is_none_or(|bound| number().is_some_and(|number| number < bound))
            && (test.contains.is_empty() || test.contains.iter().any(|part| value.contains(part)))
            && test.matches.as_ref().is_none_or(|regex| value.word().is_some_and(|word| regex.is_match(&word)))
    }
}
