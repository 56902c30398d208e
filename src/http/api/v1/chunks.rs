//! The lines of a streamed completion. Each is put together in the buffer that is sent; what all have in common is worded
//! once.

use crate::{
    chat::Completed,
    reply::{Finish, Usage},
    sse,
};

/// What a reply that ended so is said to have ended for.
pub(super) fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ContentFilter => "content_filter",
    }
}

/// The counts of a completion.
#[derive(serde::Serialize)]
pub(super) struct Counts {
    #[serde(rename = "prompt_tokens")]
    input: u64,
    #[serde(rename = "completion_tokens")]
    output: u64,
    #[serde(rename = "total_tokens")]
    total: u64,
    #[serde(rename = "prompt_tokens_details", skip_serializing_if = "Option::is_none")]
    of_input: Option<OfInput>,
    #[serde(rename = "completion_tokens_details", skip_serializing_if = "Option::is_none")]
    of_output: Option<OfOutput>,
}

/// What is known of the tokens that were read.
#[derive(serde::Serialize)]
struct OfInput {
    cached_tokens: u64,
}

/// What is known of those that were made.
#[derive(serde::Serialize)]
struct OfOutput {
    reasoning_tokens: u64,
}

impl From<Usage> for Counts {
    fn from(usage: Usage) -> Self {
        let Usage { input, output, cached, reasoned } = usage;
        let of_input = cached.map(|cached_tokens| OfInput { cached_tokens });
        let of_output = reasoned.map(|reasoning_tokens| OfOutput { reasoning_tokens });
        Self { input, output, total: input.saturating_add(output), of_input, of_output }
    }
}

/// The lines of one completion.
pub(super) struct Chunks {
    id: String,
    created: i64,
    model: String,
    /// Up to its choices.
    head: Vec<u8>,
    /// True where the last one says what it took.
    usage: bool,
}

impl Chunks {
    pub(super) fn new(id: &str, created: i64, model: &str, usage: bool) -> Self {
        let (id, model) = (id.to_owned(), model.to_owned());
        let head = head(&id, created, &model);
        Self { id, created, model, head, usage }
    }

    /// What comes next is of this model.
    pub(super) fn made_by(&mut self, model: Option<String>) {
        if let Some(model) = model.filter(|model| *model != self.model) {
            self.head = head(&self.id, self.created, &model);
            self.model = model;
        }
    }

    /// Who speaks.
    pub(super) fn role(&self, out: &mut Vec<u8>) {
        self.choice(out, |out| out.extend_from_slice(b"\"role\":\"assistant\",\"content\":\"\""), None);
    }

    /// Text.
    pub(super) fn text(&self, text: &str, out: &mut Vec<u8>) {
        let delta = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"\"content\":");
            sse::json(&text, out);
        };
        self.choice(out, delta, None);
    }

    /// The end.
    pub(super) fn end(&self, completed: Completed, out: &mut Vec<u8>) {
        self.choice(out, |_| {}, Some(completed.finish));
        if self.usage {
            out.extend_from_slice(&self.head);
            out.extend_from_slice(b"[],\"usage\":");
            sse::json(&Counts::from(completed.usage), out);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn choice(&self, out: &mut Vec<u8>, delta: impl FnOnce(&mut Vec<u8>), finish: Option<Finish>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"[{\"index\":0,\"delta\":{");
        delta(out);
        out.extend_from_slice(b"},\"logprobs\":null,\"finish_reason\":");
        match finish {
            None => out.extend_from_slice(b"null"),
            Some(finish) => {
                out.push(b'"');
                out.extend_from_slice(reason(finish).as_bytes());
                out.push(b'"');
            }
        }
        out.extend_from_slice(if self.usage { b"}],\"usage\":null}\n\n" } else { b"}]}\n\n" });
    }
}

fn head(id: &str, created: i64, model: &str) -> Vec<u8> {
    let model = serde_json::Value::from(model);
    let head = format!(
        "data: {{\"id\":\"{id}\",\"object\":\"chat.completion.chunk\",\"created\":{created},\"model\":{model},\"choices\":"
    );
    head.into_bytes()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn each_line_is_what_the_api_has() {
        let completed = Completed { finish: Finish::Length, usage: Usage { input: 3, output: 4, ..Usage::default() } };
        for usage in [false, true] {
            let chunks = Chunks::new("chatcmpl-1", 17, "a \"model\"", usage);
            let mut out = Vec::new();
            chunks.role(&mut out);
            chunks.text("আমি \"\n", &mut out);
            chunks.end(completed, &mut out);
            let text = String::from_utf8(out).unwrap();
            let mut lines: Vec<_> =
                text.split_terminator("\n\n").map(|line| line.strip_prefix("data: ").unwrap()).collect();
            assert_eq!(lines.pop(), Some("[DONE]"));
            let read: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
            let chunk = |choices: Value, used: Value| {
                let mut chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 17,
                                       "model": "a \"model\"", "choices": choices});
                if usage {
                    chunk["usage"] = used;
                }
                chunk
            };
            let choice = |delta: Value, reason: Value| {
                chunk(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}]), Value::Null)
            };
            let mut wanted = vec![
                choice(json!({"role": "assistant", "content": ""}), Value::Null),
                choice(json!({"content": "আমি \"\n"}), Value::Null),
                choice(json!({}), json!("length")),
            ];
            let used = json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7});
            wanted.extend(usage.then(|| chunk(json!([]), used)));
            assert_eq!(read, wanted);
        }
    }
}
