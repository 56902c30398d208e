//! What one key takes: its type, unit and bounds, and the field of [`Config`] that it sets.
//!
//! A file, the environment and flags all go through here, so a key means the same in each.

use std::time::Duration;

use super::{
    Condition, Config, LimitUnit,
    given::{Given, parse_size, show_size},
};

/// The field that a key sets. It serves reading as well as writing, so that a key cannot show what it does not set.
type At<T> = fn(&mut Config) -> &mut T;

/// Why a text is refused: in its own words, or because it is simply not what the key wants.
pub(super) type Refusal = Option<String>;

/// What stands for a value that may be a secret.
const HIDDEN: &str = "\"(hidden)\"";

/// One key that can be set.
pub struct Setting {
    /// Its full name, as `server.listen`.
    pub key: &'static str,
    pub(super) field: Field,
}

/// The type of a key, with the field that it sets.
pub(super) enum Field {
    /// A whole number of `unit`.
    Usize { at: At<usize>, least: usize, most: usize, unit: &'static str },
    /// A whole number of `unit`.
    U32 { at: At<u32>, least: u32, most: u32, unit: &'static str },
    /// A whole number of a unit of time.
    Time { at: At<Duration>, least: u64, most: u64, unit: TimeUnit },
    /// Bytes, or a text with a unit.
    Size { at: At<u64>, least: u64, most: u64 },
    /// A limit and how long it must be passed, in one string.
    Condition { at: At<Option<Condition>>, unit: LimitUnit },
    /// A string of a form that `wants` describes.
    Text { wants: &'static str, set: fn(&mut Config, &str) -> Result<(), Refusal>, show: fn(&Config) -> String },
    /// A list of strings, each of a form that `wants` describes.
    List {
        wants: &'static str,
        set: fn(&mut Config, &[String]) -> Result<(), String>,
        show: fn(&Config) -> Vec<String>,
    },
}

/// What a time is counted in; the key's name ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeUnit {
    Milliseconds,
    Seconds,
    Hours,
    Days,
}

impl TimeUnit {
    fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "milliseconds",
            Self::Seconds => "seconds",
            Self::Hours => "hours",
            Self::Days => "days",
        }
    }

    fn duration(self, count: u64) -> Duration {
        match self {
            Self::Milliseconds => Duration::from_millis(count),
            Self::Seconds => Duration::from_secs(count),
            Self::Hours => Duration::from_secs(count.saturating_mul(3_600)),
            Self::Days => Duration::from_secs(count.saturating_mul(86_400)),
        }
    }

    fn count(self, time: Duration) -> u128 {
        match self {
            Self::Milliseconds => time.as_millis(),
            Self::Seconds => u128::from(time.as_secs()),
            Self::Hours => u128::from(time.as_secs() / 3_600),
            Self::Days => u128::from(time.as_secs() / 86_400),
        }
    }
}

impl Setting {
    /// The environment variable that sets it: `BONDHU__SERVER__LISTEN`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{}{}", super::load::PREFIX, self.key.to_uppercase().replace('.', "__"))
    }

    /// What it takes, with unit and bounds, to stand after "must be".
    #[must_use]
    pub fn wants(&self) -> String {
        match &self.field {
            Field::Usize { least, most, unit, .. } => format!("a whole number of {unit} from {least} to {most}"),
            Field::U32 { least, most, unit, .. } => format!("a whole number of {unit} from {least} to {most}"),
            Field::Time { least, most, unit, .. } => {
                format!("a whole number of {} from {least} to {most}", unit.name())
            }
            Field::Size { least, most, .. } => {
                format!("bytes from {} to {}, as \"64MiB\" or a whole number", show_size(*least), show_size(*most))
            }
            Field::Condition { unit: LimitUnit::Percent, .. } => {
                "a part and a time, as \"80% for 5m\" (up to 100% and 24h), or \"off\"".to_owned()
            }
            Field::Condition { unit: LimitUnit::Milliseconds, .. } => {
                "two times, as \"2s for 5m\" (1ms to 10m, up to 24h), or \"off\"".to_owned()
            }
            Field::Text { wants, .. } | Field::List { wants, .. } => (*wants).to_owned(),
        }
    }

    /// True where its value may hold a secret, as the URL of a webhook often does.
    fn is_secret(&self) -> bool {
        self.key == "alerts.webhook_url"
    }

    /// Its value in `config`, in TOML, without what is not to be read over a shoulder or copied into a question.
    #[must_use]
    pub fn show_openly(&self, config: &Config) -> String {
        let value = self.show(config);
        // That it is not set is no secret.
        if self.is_secret() && value != self.show(&Config::default()) { HIDDEN.to_owned() } else { value }
    }

    /// Its value in `config`, in TOML.
    #[must_use]
    pub fn show(&self, config: &Config) -> String {
        let mut copy = config.clone(); // A field is reached for writing only; the copy keeps this a read.
        match &self.field {
            Field::Usize { at, .. } => at(&mut copy).to_string(),
            Field::U32 { at, .. } => at(&mut copy).to_string(),
            Field::Time { at, unit, .. } => unit.count(*at(&mut copy)).to_string(),
            Field::Size { at, .. } => quoted(&show_size(*at(&mut copy))),
            Field::Condition { at, unit } => quoted(&Condition::show(*at(&mut copy), *unit)),
            Field::Text { show, .. } => quoted(&show(config)),
            Field::List { show, .. } => {
                let items: Vec<String> = show(config).iter().map(|item| quoted(item)).collect();
                format!("[{}]", items.join(", "))
            }
        }
    }

    /// Reads the text of the environment or of a flag in the way that this key's type asks for.
    pub(super) fn read(&self, text: &str) -> Given {
        match self.field {
            Field::Usize { .. } | Field::U32 { .. } | Field::Time { .. } | Field::Size { .. } => Given::from_text(text),
            Field::Text { .. } | Field::Condition { .. } => Given::Text(text.to_owned()),
            Field::List { .. } => Given::list_from_text(text),
        }
    }

    /// Sets the field of `config`.
    ///
    /// # Errors
    /// A sentence without the key's name; `config` is as it was.
    pub(super) fn set(&self, config: &mut Config, given: &Given) -> Result<(), String> {
        let done = match (&self.field, given) {
            (Field::Usize { at, least, most, .. }, Given::Number(number)) => {
                within(*number, *least, *most).map(|number| *at(config) = number)
            }
            (Field::U32 { at, least, most, .. }, Given::Number(number)) => {
                within(*number, *least, *most).map(|number| *at(config) = number)
            }
            (Field::Time { at, least, most, unit }, Given::Number(number)) => {
                within(*number, *least, *most).map(|count| *at(config) = unit.duration(count))
            }
            (Field::Size { at, least, most }, Given::Number(number)) => {
                within(*number, *least, *most).map(|bytes| *at(config) = bytes)
            }
            (Field::Size { at, least, most }, Given::Text(text)) => parse_size(text)
                .and_then(|bytes| within(i128::from(bytes), *least, *most))
                .map(|bytes| *at(config) = bytes),
            (Field::Condition { at, unit }, Given::Text(text)) => {
                Condition::parse(text, *unit).map(|condition| *at(config) = condition)
            }
            (Field::Text { set, .. }, Given::Text(text)) => match set(config, text) {
                Ok(()) => Some(()),
                Err(Some(reason)) => return Err(reason),
                Err(None) => None,
            },
            (Field::List { set, .. }, Given::List(items)) => return set(config, items),
            (_, _) => None,
        };
        done.ok_or_else(|| format!("must be {}, not {given}", self.wants()))
    }
}

/// `number` in its own type, where it is in the bounds.
fn within<T: TryFrom<i128> + PartialOrd>(number: i128, least: T, most: T) -> Option<T> {
    T::try_from(number).ok().filter(|number| (least..=most).contains(number))
}

/// `text` as a TOML string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.extend(format!("\\u{:04X}", u32::from(c)).chars()),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
