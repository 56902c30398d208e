//! The fields of a JSON object that a client sent, each taken once. What nobody takes is not known, and ignored.
//!
//! Every refusal names the field by its path, as `messages[2].content`.

use std::{fmt, ops::RangeInclusive};

use serde_json::{Map, Value};

use crate::http::{body, problem::Problem};

/// A field that this server can't do, and which values of it ask for nothing.
pub(super) type Unsupported = (&'static str, fn(&Value) -> bool);

/// An object, and where it stands in the body.
pub(super) struct Fields {
    map: Map<String, Value>,
    /// Empty for the body itself.
    path: String,
}

impl Fields {
    /// Of the body.
    pub(super) fn body(map: Map<String, Value>) -> Self {
        Self { map, path: String::new() }
    }

    /// Of the object `value`, which stands at `path`.
    ///
    /// # Errors
    /// Where it is no object.
    pub(super) fn of(value: Value, path: String) -> Result<Self, Problem> {
        match value {
            Value::Object(map) => Ok(Self { map, path }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(Problem::field(&path, "must be an object"))
            }
        }
    }

    /// Where the field `name` stands.
    pub(super) fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A refusal of the field `name`: `fault` continues a sentence that begins with its path.
    pub(super) fn refuse(&self, name: &str, fault: impl fmt::Display) -> Problem {
        Problem::field(&self.path(name), fault)
    }

    /// The value of `name`; null is as good as nothing.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// True where `name` is given as null.
    pub(super) fn is_null(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(Value::is_null)
    }

    /// A text.
    ///
    /// # Errors
    /// Where it is anything else.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.refuse(name, "must be a string")),
        }
    }

    /// True or false.
    ///
    /// # Errors
    /// Where it is anything else.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(self.refuse(name, "must be a boolean")),
        }
    }

    /// A number.
    ///
    /// # Errors
    /// Where it is anything else, or not within the bounds.
    pub(super) fn number(&mut self, name: &str, within: RangeInclusive<f64>) -> Result<Option<f64>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_f64().filter(|number| within.contains(number));
        let (least, most) = within.into_inner();
        number.map(Some).ok_or_else(|| self.refuse(name, format_args!("must be a number from {least} to {most}")))
    }

    /// A whole number that is not negative.
    ///
    /// # Errors
    /// Where it is anything else, or not within the bounds.
    pub(super) fn count(&mut self, name: &str, within: RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_number().and_then(body::count).filter(|number| within.contains(number));
        let (least, most) = within.into_inner();
        number.map(Some).ok_or_else(|| self.refuse(name, format_args!("must be a whole number from {least} to {most}")))
    }

    /// A whole number.
    ///
    /// # Errors
    /// Where it is anything else, or beyond 64 bits.
    pub(super) fn whole(&mut self, name: &str) -> Result<Option<i64>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let whole = value.as_number().and_then(body::whole);
        whole.map(Some).ok_or_else(|| self.refuse(name, "must be a whole number"))
    }

    /// A list.
    ///
    /// # Errors
    /// Where it is anything else.
    pub(super) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(_) => Err(self.refuse(name, "must be a list")),
        }
    }

    /// An object.
    ///
    /// # Errors
    /// Where it is anything else.
    pub(super) fn object(&mut self, name: &str) -> Result<Option<Self>, Problem> {
        let path = self.path(name);
        self.take(name).map(|value| Self::of(value, path)).transpose()
    }

    /// The object as it was, with the text of `name` put back.
    pub(super) fn back(mut self, name: &str, text: String) -> Value {
        self.map.insert(name.to_owned(), Value::String(text));
        Value::Object(self.map)
    }

    /// Refuses what this server can't do, unless what is asked is none of it.
    ///
    /// # Errors
    /// `unsupported_parameter`, with the field's name.
    pub(super) fn unsupported(&mut self, names: &[Unsupported]) -> Result<(), Problem> {
        for (name, is_harmless) in names {
            if self.take(name).is_some_and(|value| !is_harmless(&value)) {
                let fault = "is not supported by this server; please leave it out";
                return Err(self.refuse(name, fault).coded("unsupported_parameter"));
            }
        }
        Ok(())
    }
}

/// A value that this server can't do, where others would be fine.
pub(super) fn unsupported_value(path: &str, fault: impl fmt::Display) -> Problem {
    Problem::field(path, fault).coded("unsupported_value")
}

/// Nothing of it would be harmless.
pub(super) fn never(_: &Value) -> bool {
    false
}

/// Harmless: an empty list or object.
pub(super) fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

/// Harmless: false, or 0.
pub(super) fn is_off(value: &Value) -> bool {
    *value == Value::Bool(false) || value.as_u64() == Some(0)
}

/// Harmless: a choice that chooses no tool.
pub(super) fn is_no_tool(value: &Value) -> bool {
    matches!(value.as_str(), Some("none" | "auto"))
}
