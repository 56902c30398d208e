//! The objects that clients of responses and conversations are given.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{ids, seconds, wire::Echo};
use crate::{
    chat::{How, ItemId, Response, ResponseEnd},
    id::SessionId,
    reply::{Refused, Sampling, Usage},
    store::{Message, Speaker, Status},
};

/// A page of a list.
#[derive(Serialize)]
pub(super) struct List {
    object: &'static str,
    data: Vec<Value>,
    first_id: Option<String>,
    last_id: Option<String>,
    has_more: bool,
}

impl List {
    /// Of objects that each have an id.
    pub(super) fn of(data: Vec<Value>, has_more: bool) -> Self {
        let id = |object: Option<&Value>| object.and_then(|object| object["id"].as_str()).map(str::to_owned);
        Self { object: "list", first_id: id(data.first()), last_id: id(data.last()), data, has_more }
    }
}

/// What a response is, whatever became of it.
pub(super) struct Subject {
    /// Its id.
    pub(super) id: String,
    /// The id of the message that it is to give.
    pub(super) item: String,
    /// Seconds since 1970.
    pub(super) created_at: i64,
    /// What makes it.
    pub(super) model: String,
    /// What the model was told first.
    pub(super) instructions: Option<String>,
    /// How the words were chosen.
    pub(super) sampling: Sampling,
    /// What else was asked.
    pub(super) echo: Echo,
    /// True where it is kept.
    pub(super) stored: bool,
    /// The id of its conversation, where one was named.
    pub(super) conversation: Option<String>,
}

/// How a response ended.
pub(super) struct End<'e> {
    /// How.
    pub(super) how: &'e How,
    /// All of its text.
    pub(super) text: &'e str,
    /// What it took, where anybody knows.
    pub(super) usage: Option<Usage>,
    /// Seconds since 1970.
    pub(super) at: i64,
}

impl<'e> From<&'e ResponseEnd> for End<'e> {
    fn from(end: &'e ResponseEnd) -> Self {
        Self { how: &end.how, text: &end.text, usage: end.usage, at: seconds(end.at) }
    }
}

impl Subject {
    /// Of a stored response; `model` is what makes those that run.
    pub(super) fn of(response: &Response, model: &str) -> Self {
        let (session, seq) = (response.session, response.message.seq);
        let made_by = response.end.as_ref().map(|end| end.model.as_str()).filter(|model| !model.is_empty());
        Self {
            id: ids::response(session, seq),
            item: ids::item(session, ItemId::Reply(seq)),
            created_at: seconds(response.message.created_at),
            model: made_by.unwrap_or(model).to_owned(),
            instructions: response.asked.instructions.clone(),
            sampling: response.asked.sampling.clone(),
            echo: serde_json::from_value(response.asked.echo.clone()).unwrap_or_default(),
            stored: true,
            conversation: (!response.asked.own).then(|| ids::conversation(session)),
        }
    }

    /// The object, as it stands while it is made or at its end.
    pub(super) fn object(&self, end: Option<&End<'_>>) -> Value {
        let status = end.map_or("in_progress", |end| status(end.how));
        let (error, incomplete) = end.map_or((Value::Null, Value::Null), |end| why(end.how));
        let output: Vec<_> = end.filter(|end| end.has_item()).map(|end| self.message(end)).into_iter().collect();
        let echo = &self.echo;
        json!({
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "completed_at": end.filter(|end| *end.how == How::Completed).map(|end| end.at),
            "status": status,
            "background": echo.background,
            "error": error,
            "incomplete_details": incomplete,
            "instructions": self.instructions,
            "max_output_tokens": self.sampling.max_tokens,
            "max_tool_calls": null,
            "model": self.model,
            "output": output,
            "parallel_tool_calls": true,
            "previous_response_id": echo.previous,
            "conversation": self.conversation.as_ref().map(|id| json!({"id": id})),
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "prompt_cache_key": null,
            "reasoning": {"effort": null, "summary": null},
            "safety_identifier": null,
            "service_tier": "default",
            "store": self.stored,
            "temperature": self.sampling.temperature.unwrap_or(1.0),
            "text": {"format": echo.format.clone().unwrap_or_else(|| json!({"type": "text"}))},
            "tool_choice": "auto",
            "tools": [],
            "top_logprobs": 0,
            "top_p": self.sampling.top_p.unwrap_or(1.0),
            "truncation": echo.truncation(),
            "user": null,
            "usage": end.and_then(|end| end.usage).map(counts),
            "metadata": echo.metadata,
        })
    }

    /// The message that the response gives.
    pub(super) fn message(&self, end: &End<'_>) -> Value {
        let status = if *end.how == How::Completed { "completed" } else { "incomplete" };
        json!({
            "id": self.item, "type": "message", "role": "assistant", "status": status,
            "content": [output_text(end.text)],
        })
    }
}

impl End<'_> {
    /// True where it has a message, even one without a word.
    pub(super) fn has_item(&self) -> bool {
        !self.text.is_empty() || *self.how == How::Completed
    }
}

/// The part that all text of a model is.
pub(super) fn output_text(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

fn status(how: &How) -> &'static str {
    match how {
        How::Completed => "completed",
        How::TooLong | How::Filtered => "incomplete",
        How::Cancelled => "cancelled",
        How::Failed { .. } => "failed",
    }
}

/// The error of a response, and what is missing of it.
fn why(how: &How) -> (Value, Value) {
    match how {
        How::Completed | How::Cancelled => (Value::Null, Value::Null),
        How::TooLong => (Value::Null, json!({"reason": "max_output_tokens"})),
        How::Filtered => (Value::Null, json!({"reason": "content_filter"})),
        How::Failed { detail, refused, .. } => {
            let code = match refused {
                Some(Refused::TooLong) => "context_length_exceeded",
                Some(Refused::Other) => "invalid_prompt",
                None => "server_error",
            };
            (json!({"code": code, "message": detail}), Value::Null)
        }
    }
}

/// The clients want all of these fields: what nobody said is 0.
fn counts(usage: Usage) -> Value {
    let Usage { input, output, cached, reasoned } = usage;
    json!({
        "input_tokens": input,
        "input_tokens_details": {"cached_tokens": cached.unwrap_or(0), "cache_write_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": reasoned.unwrap_or(0)},
        "total_tokens": input.saturating_add(output),
    })
}

/// A message of the log as an item.
pub(super) fn item(session: SessionId, message: &Message) -> Value {
    let (role, content) = match message.role {
        Speaker::User => ("user", input_text(&message.content)),
        Speaker::System => ("system", input_text(&message.content)),
        Speaker::Developer => ("developer", input_text(&message.content)),
        Speaker::Assistant => ("assistant", output_text(&message.content)),
    };
    let is_part = message.role == Speaker::Assistant && message.status == Status::Stopped;
    json!({
        "id": ids::item(session, ItemId::of(message)), "type": "message", "role": role,
        "status": if is_part { "incomplete" } else { "completed" }, "content": [content],
    })
}

fn input_text(text: &str) -> Value {
    json!({"type": "input_text", "text": text})
}

/// A conversation.
pub(super) fn conversation(session: SessionId, created_at: i64, metadata: &Map<String, Value>) -> Value {
    json!({
        "id": ids::conversation(session), "object": "conversation", "created_at": created_at, "metadata": metadata,
    })
}
