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
    /// How freely the model chooses its words; the server's own way without it, as with all that follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// From how many of the likeliest words it chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Texts before which the answer ends.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub stop: &'a [String],
    /// The same number gives the same answer, as far as the server can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// How much less likely a word is that was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    /// How much less likely a word is for each time that it was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// The form of the answer, as it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<&'a serde_json::Value>,
}

/// One message of the conversation.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RequestMessage<'a> {
    /// Who says it.
    pub role: Role,
    /// What.
    pub content: &'a str,
    /// By which name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
}

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Whoever set the server up.
    System,
    /// Whoever wrote the app. Many servers know no such role, so they are told `system`.
    #[serde(rename = "system")]
    Developer,
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
    usage: Option<Counts>,
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
    /// What it says in place of an answer.
    refusal: Option<Content>,
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

/// The counts of tokens; other shapes say nothing.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Counts {
    Tokens {
        prompt_tokens: u64,
        completion_tokens: u64,
        #[serde(default)]
        prompt_tokens_details: Option<Details>,
        #[serde(default)]
        completion_tokens_details: Option<Details>,
    },
    Other(IgnoredAny),
}

/// What tokens were; other shapes say nothing.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Details {
    Some {
        #[serde(default)]
        cached_tokens: Option<u64>,
        #[serde(default)]
        reasoning_tokens: Option<u64>,
    },
    Other(IgnoredAny),
}

/// Tokens as a server counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens {
    /// Of what was asked.
    pub input: u64,
    /// Of the answer.
    pub output: u64,
    /// Of what was asked, those that the server had kept from before, where it says.
    pub cached: Option<u64>,
    /// Of the answer, those that were thoughts, where it says.
    pub reasoned: Option<u64>,
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
    /// Reads a body or the data of an event. Half of a character, which servers that cut their text at any 16 bits send
    /// (`"\ud83d"`), is U+FFFD.
    ///
    /// # Errors
    /// Where it is no JSON, or none of this shape.
    pub fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes).or_else(|error| match without_halves(bytes) {
            Some(whole) => serde_json::from_slice(&whole),
            None => Err(error),
        })
    }

    /// The text that this says or adds, be it an answer or why the model gives none; empty where it says none.
    #[must_use]
    pub fn text(&self) -> String {
        let Some(said) = self.said() else { return String::new() };
        let answer = said.content.as_ref().map(Content::text).filter(|text| !text.is_empty());
        answer.or_else(|| said.refusal.as_ref().map(Content::text)).unwrap_or_default()
    }

    /// True where the model thinks aloud: nothing for the user, but a sign of life.
    #[must_use]
    pub fn is_reasoning(&self) -> bool {
        let said = self.said();
        let mut thoughts = said.iter().flat_map(|said| [&said.reasoning, &said.reasoning_content]).flatten();
        thoughts.any(|thought| !thought.text().is_empty())
    }

    /// Why the text ends with this; nothing where it does not.
    #[must_use]
    pub fn finish_reason(&self) -> Option<&str> {
        self.first()?.finish_reason.as_deref().filter(|reason| !reason.is_empty())
    }

    /// The tokens of what was asked and of the answer, where this says them.
    #[must_use]
    pub fn usage(&self) -> Option<Tokens> {
        let Counts::Tokens { prompt_tokens, completion_tokens, prompt_tokens_details, completion_tokens_details } =
            self.usage.as_ref()?
        else {
            return None;
        };
        let cached = prompt_tokens_details.as_ref().and_then(Details::cached);
        let reasoned = completion_tokens_details.as_ref().and_then(Details::reasoned);
        Some(Tokens { input: *prompt_tokens, output: *completion_tokens, cached, reasoned })
    }

    fn said(&self) -> Option<&Said> {
        self.first().and_then(|choice| choice.delta.as_ref().or(choice.message.as_ref()))
    }

    /// The one answer that was asked for.
    fn first(&self) -> Option<&Choice> {
        self.choices.iter().flatten().find(|choice| choice.index.unwrap_or(0) == 0)
    }
}

impl Details {
    fn cached(&self) -> Option<u64> {
        match self {
            Self::Some { cached_tokens, .. } => *cached_tokens,
            Self::Other(IgnoredAny) => None,
        }
    }

    fn reasoned(&self) -> Option<u64> {
        match self {
            Self::Some { reasoning_tokens, .. } => *reasoning_tokens,
            Self::Other(IgnoredAny) => None,
        }
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

/// This JSON with U+FFFD for each escaped surrogate that has not its other half beside it; nothing where there is none.
fn without_halves(json: &[u8]) -> Option<Vec<u8>> {
    let mut whole: Option<Vec<u8>> = None;
    let mut at = 0;
    while at < json.len() {
        let is_pair =
            |high: u16| (0xd800..0xdc00).contains(&high) && matches!(unit(&json[at + 6..]), Some(0xdc00..0xe000));
        at += match (json[at], unit(&json[at..])) {
            (_, Some(high @ 0xd800..0xe000)) if is_pair(high) => 12,
            (_, Some(0xd800..0xe000)) => {
                whole.get_or_insert_with(|| json.to_vec())[at + 2..at + 6].copy_from_slice(b"fffd");
                6
            }
            (b'\\', _) => 2, // What is escaped here begins no escape of its own.
            _ => 1,
        };
    }
    whole
}

/// The 16 bits that an escape at the beginning of this JSON stands for.
fn unit(json: &[u8]) -> Option<u16> {
    let digits = json.strip_prefix(b"\\u")?.get(..4)?;
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit); // What `from_str_radix` reads may begin with a sign.
    u16::from_str_radix(str::from_utf8(digits).ok()?, 16).ok().filter(|_| is_hex)
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
            RequestMessage { role: Role::System, content: "be kind", name: None },
            RequestMessage { role: Role::User, content: "নমস্কার \"x\"", name: None },
            RequestMessage { role: Role::Assistant, content: "hi", name: None },
        ];
        let options = StreamOptions { include_usage: true };
        let format = serde_json::json!({"type": "json_object"});
        let plain = Request {
            model: "m",
            messages,
            stream: true,
            stream_options: options,
            max_tokens: Some(9),
            temperature: None,
            top_p: None,
            stop: &[],
            seed: None,
            presence_penalty: None,
            frequency_penalty: None,
            response_format: None,
        };
        let wanted = "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"be kind\"},\
                      {\"role\":\"user\",\"content\":\"নমস্কার \\\"x\\\"\"},{\"role\":\"assistant\",\"content\":\"hi\"}],\
                      \"stream\":true,\"stream_options\":{\"include_usage\":true},\"max_tokens\":9}";
        assert_eq!(serde_json::to_string(&plain).unwrap(), wanted);
        let full = Request {
            messages: vec![RequestMessage { role: Role::Developer, content: "x", name: None }],
            max_tokens: None,
            temperature: Some(0.5),
            top_p: Some(1.0),
            stop: &["a".to_owned()],
            seed: Some(-1),
            presence_penalty: Some(0.0),
            frequency_penalty: Some(-2.0),
            response_format: Some(&format),
            ..plain
        };
        let wanted = "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"x\"}],\"stream\":true,\
                      \"stream_options\":{\"include_usage\":true},\"temperature\":0.5,\"top_p\":1.0,\"stop\":[\"a\"],\
                      \"seed\":-1,\"presence_penalty\":0.0,\"frequency_penalty\":-2.0,\
                      \"response_format\":{\"type\":\"json_object\"}}";
        assert_eq!(serde_json::to_string(&full).unwrap(), wanted);
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
            (r#"{"choices":[{"delta":{"content":null,"refusal":"I won't"}}]}"#, "I won't"),
            (r#"{"choices":[{"message":{"content":"","refusal":"I won't"}}]}"#, "I won't"),
            (r#"{"choices":[{"message":{"content":"yes","refusal":null}}]}"#, "yes"),
            (r#"{"choices":[{"delta":{"content":"\u0986\ud83d\ude42"}}]}"#, "আ🙂"),
        ] {
            assert_eq!(read(json).text(), text, "{json}");
        }
        for bad in ["", "[]x", "<html>", "{\"choices\":3}", "\"text\""] {
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
            let piece = read(&format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#));
            assert_eq!(piece.finish_reason(), Some(reason));
        }
        for open in [r#"{"choices":[{"finish_reason":null}]}"#, r#"{"choices":[{"finish_reason":""}]}"#, "{}"] {
            assert_eq!(read(open).finish_reason(), None, "{open}");
        }
    }

    #[test]
    fn counts_of_tokens_are_read_where_they_are_some() {
        for (usage, told) in [
            (r#"{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"x":{}}"#, Some((3, 4))),
            (r#"{"prompt_tokens":3}"#, None),
            (r#"{"prompt_tokens":3.5,"completion_tokens":4}"#, None),
            (r#"{"prompt_tokens":-1,"completion_tokens":4}"#, None),
            ("null", None),
            ("[]", None),
            (r#""many""#, None),
        ] {
            let read = read(&format!(r#"{{"choices":[],"usage":{usage}}}"#)).usage();
            assert_eq!(read.map(|tokens| (tokens.input, tokens.output)), told, "{usage}");
        }
        assert_eq!(read("{}").usage(), None);
        for (prompt, completion, details) in [
            (r#"{"cached_tokens":2,"x":[]}"#, r#"{"reasoning_tokens":3}"#, (Some(2), Some(3))),
            (r#"{"cached_tokens":0}"#, r#"{"reasoning_tokens":null}"#, (Some(0), None)),
            ("{}", "null", (None, None)),
            (r#"{"cached_tokens":-1}"#, r#""many""#, (None, None)),
        ] {
            let counts = format!(
                r#"{{"prompt_tokens":3,"completion_tokens":4,"prompt_tokens_details":{prompt},
                   "completion_tokens_details":{completion}}}"#
            );
            let tokens = read(&format!(r#"{{"choices":[{{"message":{{"content":"x"}}}}],"usage":{counts}}}"#)).usage();
            let (cached, reasoned) = details;
            assert_eq!(tokens, Some(Tokens { input: 3, output: 4, cached, reasoned }), "{counts}");
        }
    }

    #[test]
    fn half_of_a_character_is_no_fault() {
        let text = |json: &str| {
            let piece = format!(r#"{{"choices":[{{"delta":{{"content":"{json}"}}}}]}}"#);
            Completion::read(piece.as_bytes()).map(|piece| piece.text()).ok()
        };
        for (json, wanted) in [
            (r"a \ud83d\ude00 b", Some("a 😀 b")),
            (r"a \ud83d", Some("a \u{fffd}")),
            (r"\uDE00 b", Some("\u{fffd} b")),
            (r"\ud83d\ud83d\ude00\ude00", Some("\u{fffd}😀\u{fffd}")),
            (r"\\ud83d \ud83d\n", Some("\\ud83d \u{fffd}\n")),
            (r"\ud83d\u0041", Some("\u{fffd}A")),
            (r"\ud83d\u+e00", None),
            (r"\ud83d \x", None),
            (r"\ud8", None),
        ] {
            assert_eq!(text(json).as_deref(), wanted, "{json}");
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
