//! `POST /v1/responses`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    fields::{Fields, Unsupported, is_empty, is_no_tool, is_off, never},
    items::{self, Entry, Field},
    metadata::metadata,
    sampling,
};
use crate::{http::problem::Problem, reply::Sampling};

const UNSUPPORTED: &[Unsupported] = &[
    ("tools", is_empty),
    ("tool_choice", is_no_tool),
    ("include", is_empty),
    ("prompt", never),
    ("top_logprobs", is_off),
    ("background_options", never),
];

/// Too long a conversation is refused.
const WHOLE: &str = "disabled";
/// The oldest of it is left out.
const CUT: &str = "auto";

/// A response that is asked for.
#[derive(Debug, PartialEq)]
pub(in crate::http::api::v1) struct NewResponse {
    /// What is said.
    pub(in crate::http::api::v1) input: Vec<Entry>,
    /// Where that stands.
    pub(in crate::http::api::v1) field: Field,
    /// What the model is told first.
    pub(in crate::http::api::v1) instructions: Option<String>,
    /// How the words are chosen.
    pub(in crate::http::api::v1) sampling: Sampling,
    /// True for events as they come.
    pub(in crate::http::api::v1) stream: bool,
    /// True where it is kept.
    pub(in crate::http::api::v1) store: bool,
    /// The id of the conversation that it belongs to.
    pub(in crate::http::api::v1) conversation: Option<String>,
    /// What is given back as it came.
    pub(in crate::http::api::v1) echo: Echo,
}

/// What a response's object gives back of its request, beside the words and their sampling.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::http::api::v1) struct Echo {
    /// What is kept with it.
    pub(in crate::http::api::v1) metadata: Map<String, Value>,
    /// The response that it goes on behind.
    pub(in crate::http::api::v1) previous: Option<String>,
    /// True where nobody waits for it.
    pub(in crate::http::api::v1) background: bool,
    /// The form of its text, where that is not plain.
    pub(in crate::http::api::v1) format: Option<Value>,
    /// What was to be done with too long a conversation.
    pub(in crate::http::api::v1) truncation: Option<String>,
    /// How many items were stored with it, before the one that it answers.
    pub(in crate::http::api::v1) inputs: usize,
}

impl Echo {
    /// True where nothing of the conversation may be left out.
    pub(in crate::http::api::v1) fn is_whole(&self) -> bool {
        self.truncation.as_deref() == Some(WHOLE)
    }

    /// What is done with too long a conversation: without a word, the oldest is left out.
    pub(in crate::http::api::v1) fn truncation(&self) -> &'static str {
        if self.is_whole() { WHOLE } else { CUT }
    }
}

impl NewResponse {
    /// Reads the body. Any model's name is taken, and so are fields that nobody knows.
    ///
    /// # Errors
    /// For the first field that can't be done or is not what it should be.
    pub(in crate::http::api::v1) fn read(body: Map<String, Value>) -> Result<Self, Problem> {
        let mut fields = Fields::body(body);
        fields.text("model")?;
        fields.unsupported(UNSUPPORTED)?;
        let store = fields.flag("store")?.unwrap_or(true);
        let background = fields.flag("background")?.unwrap_or_default();
        let conversation = conversation(&mut fields)?;
        let previous = fields.text("previous_response_id")?;
        if conversation.is_some() && previous.is_some() {
            return Err(fields.refuse("previous_response_id", "may not come together with conversation"));
        }
        if !store && (background || conversation.is_some()) {
            let fault = "may not be false together with background or conversation: these are stored";
            return Err(fields.refuse("store", fault));
        }
        let mut sampling = sampling::sampling(&mut fields, "max_output_tokens")?;
        let format = format(&mut fields)?;
        sampling.response_format = format.as_ref().map(as_chat_format);
        let truncation = truncation(&mut fields)?;
        let (input, field) = items::input(&mut fields)?;
        let metadata = metadata(&mut fields)?.unwrap_or_default();
        Ok(Self {
            input,
            field,
            instructions: fields.text("instructions")?.filter(|text| !text.is_empty()),
            sampling,
            stream: fields.flag("stream")?.unwrap_or_default(),
            store,
            conversation,
            echo: Echo { metadata, previous, background, format, truncation, inputs: 0 },
        })
    }
}

/// An id, or an object that has it.
fn conversation(fields: &mut Fields) -> Result<Option<String>, Problem> {
    match fields.take("conversation") {
        None => Ok(None),
        Some(Value::String(id)) => Ok(Some(id)),
        Some(value @ Value::Object(_)) => {
            let mut fields = Fields::of(value, fields.path("conversation"))?;
            fields.text("id")?.map(Some).ok_or_else(|| fields.refuse("id", "missing; please add it"))
        }
        Some(_) => Err(fields.refuse("conversation", "must be an id, or an object with an id")),
    }
}

fn truncation(fields: &mut Fields) -> Result<Option<String>, Problem> {
    let truncation = fields.text("truncation")?;
    match truncation.as_deref() {
        None | Some(CUT | WHOLE) => Ok(truncation),
        Some(_) => Err(fields.refuse("truncation", "must be \"auto\" or \"disabled\"")),
    }
}

/// The form in `text`; nothing where it is plain.
fn format(fields: &mut Fields) -> Result<Option<Value>, Problem> {
    let Some(mut text) = fields.object("text")? else { return Ok(None) };
    let Some(format) = text.object("format")? else { return Ok(None) };
    sampling::format(format)
}

/// The same form as chat completions have it, where a schema stands in an object of its own.
fn as_chat_format(format: &Value) -> Value {
    let Some(fields) = format.as_object().filter(|fields| fields["type"] == "json_schema") else {
        return format.clone();
    };
    let schema: Map<_, _> =
        fields.iter().filter(|(name, _)| *name != "type").map(|(a, b)| (a.clone(), b.clone())).collect();
    json!({"type": "json_schema", "json_schema": schema})
}
