//! The wire of OpenAI's chat completions: what is asked, and what a whole answer, a piece of a stream or an error says.
//!
//! Only what bondhu sends and reads. Reading is lenient, because many servers speak this a little differently: unknown
//! fields are ignored, and whatever may be missing may be null as well.

use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};

/// The data of the event that ends a stream; it is no JSON.
pub const DONE: &str = "[DONE]";

/// The body of `POST /chat/completions`.
#[derive(Debug, Serialize)]
pub struct Request<'a> {
    /// The model's name, as the server knows it.
    pub model: &'a str,
    /// The conversation, oldest first.
    pub messages: Vec<RequestMessage<'a>>,
    /// True for an answer in pieces.
    pub stream: bool,
    /// What the stream has besides.
    pub stream_options: StreamOptions,
    /// Most tokens of the answer; the server's own bound without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
}

/// One message of the conversation.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RequestMessage<'a> {
    /// Who says it.
    pub role: Role,
    /// What.
    pub content: &'a str,
}

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Whoever set the server up.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
}

/// What a stream has besides the text.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct StreamOptions {
    /// A last piece with the counts of tokens.
    pub include_usage: bool,
}

/// A whole answer, or a piece of a stream, or an error.
#[derive(Debug, Default, Deserialize)]
pub struct Completion {
    choices: Option<Vec<Choice>>,
    /// Present where the server failed, whatever the status said.
    #[serde(default)]
    pub error: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    index: Option<u32>,
    /// In a stream: what is added.
    delta: Option<Said>,
    /// In a whole answer.
    message: Option<Said>,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Said {
    content: Option<Content>,
    reasoning: Option<Content>,
    reasoning_content: Option<Content>,
}

/// A text, or parts of which some are text; other shapes say nothing.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
    Other(IgnoredAny),
}

#[derive(Debug, Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<Box<Content>>,
}

/// What a server says of its failure, as far as it can go into a log: its words may repeat the conversation or the key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The kind, as `invalid_request_error`.
    pub kind: Option<String>,
    /// The code, as `model_not_found` or `429`.
    pub code: Option<String>,
}

impl Completion {
    /// Reads a body or the data of an event.
    ///
    /// # Errors
    /// Where it is no JSON, or none of this shape.
    pub fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The text that this says or adds; empty where it says none.
    #[must_use]
    pub fn text(&self) -> String {
        self.said().and_then(|said| said.content.as_ref()).map_or_else(String::new, Content::text)
    }

    /// True where the model thinks aloud: nothing for the user, but a sign of life.
    #[must_use]
    pub fn is_reasoning(&self) -> bool {
        let said = self.said();
        let mut thoughts = said.iter().flat_map(|said| [&said.reasoning, &said.reasoning_content]).flatten();
        thoughts.any(|thought| !thought.text().is_empty())
    }

    /// True where the text ends with this, for whatever reason.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.first().is_some_and(|choice| choice.finish_reason.as_deref().is_some_and(|reason| !reason.is_empty()))
    }

    fn said(&self) -> Option<&Said> {
        self.first().and_then(|choice| choice.delta.as_ref().or(choice.message.as_ref()))
    }

    /// The one answer that was asked for.
    fn first(&self) -> Option<&Choice> {
        self.choices.iter().flatten().find(|choice| choice.index.unwrap_or(0) == 0)
    }
}

impl Content {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => parts.iter().filter_map(|part| part.text.as_deref()).map(Self::text).collect(),
            Self::Other(IgnoredAny) => String::new(),
        }
    }
}

impl<'de> Deserialize<'de> for Refusal {
    /// Any JSON says that something failed; only words of a known form are kept.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(from)?;
        let word = |name: &str| match value.get(name)? {
            serde_json::Value::String(word) => Some(word.clone()).filter(|word| is_word(word)),
            serde_json::Value::Number(number) => Some(number.to_string()),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Array(_)
            | serde_json::Value::Object(_) => None,
        };
        Ok(Self { kind: word("type"), code: word("code") })
    }
}

/// True for a name in a program: short, and no text that anybody wrote.
fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Completion {
        Completion::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_request_has_the_fields_that_every_server_knows() {
        let messages = vec![
            RequestMessage { role: Role::System, content: "be kind" },
            RequestMessage { role: Role::User, content: "নমস্কার \"x\"" },
            RequestMessage { role: Role::Assistant, content: "hi" },
        ];
        let options = StreamOptions { include_usage: true };
        let request = Request { model: "m", messages, stream: true, stream_options: options, max_tokens: Some(9) };
        let wanted = "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"be kind\"},\
                      {\"role\":\"user\",\"content\":\"নমস্কার \\\"x\\\"\"},{\"role\":\"assistant\",\"content\":\"hi\"}],\
                      \"stream\":true,\"stream_options\":{\"include_usage\":true},\"max_tokens\":9}";
        assert_eq!(serde_json::to_string(&request).unwrap(), wanted);
        let unbounded = serde_json::to_string(&Request { max_tokens: None, ..request }).unwrap();
        assert!(!unbounded.contains("max_tokens"));
    }

    #[test]
    fn pieces_and_whole_answers_say_their_text() {
        for (json, text) in [
            (
                r#"{"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":"hi"},"finish_reason":null}]}"#,
                "hi",
            ),
            (r#"{"choices":[{"message":{"content":"whole"},"finish_reason":"stop"}],"usage":{}}"#, "whole"),
            (r#"{"choices":[{"delta":{"content":null}}]}"#, ""),
            (r#"{"choices":[{"delta":null,"message":{"content":"m"}}]}"#, "m"),
            (r#"{"choices":[{"delta":{}}]}"#, ""),
            (r#"{"choices":[],"usage":{"total_tokens":3}}"#, ""),
            (r#"{"choices":null}"#, ""),
            ("{}", ""),
            (r#"{"choices":[{"index":1,"delta":{"content":"no"}},{"index":0,"delta":{"content":"yes"}}]}"#, "yes"),
            (r#"{"choices":[{"delta":{"content":[{"type":"text","text":"a"},{"type":"x"},{"text":"b"}]}}]}"#, "ab"),
            (r#"{"choices":[{"delta":{"content":7}}]}"#, ""),
            (r#"{"choices":[{"delta":{"content":"\u0986\ud83d\ude42"}}]}"#, "আ🙂"),
        ] {
            assert_eq!(read(json).text(), text, "{json}");
        }
        for bad in [
            "",
            "[]x",
            "<html>",
            "{\"choices\":3}",
            "\"text\"",
            "{\"choices\":[{\"delta\":{\"content\":\"\\ud83d\"}}]}",
        ] {
            assert!(Completion::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn thinking_is_a_sign_of_life_and_no_text() {
        for field in ["reasoning", "reasoning_content"] {
            let piece = read(&format!(r#"{{"choices":[{{"delta":{{"{field}":"hm","content":""}}}}]}}"#));
            assert!(piece.is_reasoning() && piece.text().is_empty());
        }
        assert!(!read(r#"{"choices":[{"delta":{"reasoning":""}}]}"#).is_reasoning());
        assert!(!read(r#"{"choices":[{"delta":{"content":"x"}}]}"#).is_reasoning());
    }

    #[test]
    fn any_reason_finishes() {
        for reason in ["stop", "length", "content_filter", "eos"] {
            assert!(read(&format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#)).is_finished());
        }
        for open in [r#"{"choices":[{"finish_reason":null}]}"#, r#"{"choices":[{"finish_reason":""}]}"#, "{}"] {
            assert!(!read(open).is_finished(), "{open}");
        }
    }

    #[test]
    fn of_an_error_only_names_are_kept() {
        let error = |json: &str| read(json).error.map(|error| (error.kind, error.code));
        let some = |word: &str| Some(word.to_owned());
        let told = r#"{"error":{"message":"key sk-canary","type":"invalid_request_error","code":"model_not_found"}}"#;
        assert_eq!(error(told), Some((some("invalid_request_error"), some("model_not_found"))));
        assert_eq!(error(r#"{"error":{"code":429,"type":"Your key sk-Canary"}}"#), Some((None, some("429"))));
        assert_eq!(error(r#"{"error":"overloaded"}"#), Some((None, None)));
        assert_eq!(error(r#"{"error":null,"choices":[]}"#), None);
    }
}
