//! `POST /v1/chat/completions`.

use serde_json::{Map, Value};

use super::{
    content::{self, content, role},
    fields::{Fields, Unsupported, is_empty, is_no_tool, is_off, never, unsupported_value},
    metadata::metadata,
    sampling,
};
use crate::{
    chat::{Ask, Said},
    http::problem::Problem,
    reply::Sampling,
};

/// What this server can't do, and which values of it ask for nothing.
const UNSUPPORTED: &[Unsupported] = &[
    ("tools", is_empty),
    ("tool_choice", is_no_tool),
    ("functions", is_empty),
    ("function_call", is_no_tool),
    ("audio", never),
    ("logprobs", is_off),
    ("top_logprobs", is_off),
    ("logit_bias", is_empty),
    ("prediction", never),
    ("web_search_options", never),
];

/// A completion that is asked for.
#[derive(Debug, PartialEq)]
pub(in crate::http::api::v1) struct NewCompletion {
    /// What it is made from, and how.
    pub(in crate::http::api::v1) ask: Ask,
    /// True for pieces as they come.
    pub(in crate::http::api::v1) stream: bool,
    /// True where the last piece is to say what it took.
    pub(in crate::http::api::v1) include_usage: bool,
    /// True where it is to be kept.
    pub(in crate::http::api::v1) store: bool,
    /// What is kept with it.
    pub(in crate::http::api::v1) metadata: Map<String, Value>,
}

impl NewCompletion {
    /// Reads the body. Any model's name is taken, and so are fields that nobody knows.
    ///
    /// # Errors
    /// For the first field that can't be done or is not what it should be.
    pub(in crate::http::api::v1) fn read(body: Map<String, Value>) -> Result<Self, Problem> {
        let mut fields = Fields::body(body);
        fields.text("model")?;
        fields.unsupported(UNSUPPORTED)?;
        if fields.take("n").is_some_and(|n| n.as_f64().is_none_or(|n| (n - 1.0).abs() > f64::EPSILON)) {
            return Err(unsupported_value("n", "must be 1: this server makes one answer at a time"));
        }
        if let Some(modalities) = fields.list("modalities")?
            && modalities.iter().any(|modality| modality != "text")
        {
            return Err(unsupported_value("modalities", "must be [\"text\"]: this server makes text only"));
        }
        let stream = fields.flag("stream")?.unwrap_or_default();
        let include_usage = stream_options(&mut fields, stream)?;
        let store = fields.flag("store")?.unwrap_or_default();
        let metadata = metadata(&mut fields)?.unwrap_or_default();
        let sampling = sampling(&mut fields)?;
        let lines = lines(&mut fields)?;
        Ok(Self { ask: Ask { lines, sampling }, stream, include_usage, store, metadata })
    }
}

/// Whether the stream is to say what it took.
fn stream_options(fields: &mut Fields, stream: bool) -> Result<bool, Problem> {
    let Some(mut options) = fields.object("stream_options")? else { return Ok(false) };
    if !stream {
        return Err(fields.refuse("stream_options", "may only come with \"stream\": true"));
    }
    Ok(options.flag("include_usage")?.unwrap_or_default())
}

fn sampling(fields: &mut Fields) -> Result<Sampling, Problem> {
    let older = fields.count("max_tokens", 1..=u64::from(u32::MAX))?.and_then(|tokens| u32::try_from(tokens).ok());
    let common = sampling::sampling(fields, "max_completion_tokens")?;
    let response_format = fields.object("response_format")?.map(sampling::format).transpose()?.flatten();
    Ok(Sampling {
        max_tokens: common.max_tokens.or(older),
        stop: sampling::stop(fields)?,
        seed: fields.whole("seed")?,
        presence_penalty: fields.number("presence_penalty", -2.0..=2.0)?,
        frequency_penalty: fields.number("frequency_penalty", -2.0..=2.0)?,
        response_format,
        ..common
    })
}

fn lines(fields: &mut Fields) -> Result<Vec<Said>, Problem> {
    let messages = fields.list("messages")?.ok_or_else(|| fields.refuse("messages", "missing; please add it"))?;
    if messages.is_empty() {
        return Err(fields.refuse("messages", "must have at least one message"));
    }
    let line = |(n, value)| {
        let mut fields = Fields::of(value, format!("messages[{n}]"))?;
        let role = role(&mut fields)?;
        fields.unsupported(&[("tool_calls", is_empty), ("function_call", never), ("audio", never)])?;
        Ok(Said { role, text: content(&mut fields, content::TEXT)?, name: fields.text("name")? })
    };
    messages.into_iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::completions::Role;

    fn read(changes: &Value) -> Result<NewCompletion, (String, String)> {
        let mut body = json!({"model": "any", "messages": [{"role": "user", "content": "hi"}]});
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        NewCompletion::read(body.as_object().unwrap().clone()).map_err(|problem| {
            let error: Value = serde_json::from_slice(&problem.openai_json()).unwrap();
            let told = |name: &str| error["error"][name].as_str().unwrap_or_default().to_owned();
            (told("param"), told("code"))
        })
    }

    #[test]
    fn a_plain_one_has_its_lines_and_nothing_else() {
        let plain = read(&json!({})).unwrap();
        assert_eq!(
            plain.ask,
            Ask { lines: vec![Said { role: Role::User, text: "hi".to_owned(), name: None }], ..Ask::default() }
        );
        assert!(!plain.stream && !plain.store && !plain.include_usage && plain.metadata.is_empty());
        let full = read(&json!({
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                {"role": "system", "content": ""}, {"role": "assistant", "content": "c", "name": "x", "tool_calls": []}],
            "stream": true, "stream_options": {"include_usage": true, "include_obfuscation": false}, "store": true,
            "metadata": {"a": "b"}, "max_completion_tokens": 7, "max_tokens": 9, "temperature": 2, "top_p": 0.5,
            "stop": "x", "seed": -3, "presence_penalty": -2, "frequency_penalty": 0.5, "user": "u", "unknown": [1],
            "response_format": {"type": "json_schema", "json_schema": {"name": "n"}}, "n": 1, "tools": [],
            "tool_choice": "auto", "logprobs": false, "modalities": ["text"], "reasoning_effort": "low",
        }))
        .unwrap();
        let texts: Vec<_> = full.ask.lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["ab", "", "c"]);
        assert_eq!((full.stream, full.include_usage, full.store, full.metadata.len()), (true, true, true, 1));
        let wanted = Sampling {
            max_tokens: Some(7),
            temperature: Some(2.0),
            top_p: Some(0.5),
            stop: vec!["x".to_owned()],
            seed: Some(-3),
            presence_penalty: Some(-2.0),
            frequency_penalty: Some(0.5),
            response_format: Some(json!({"type": "json_schema", "json_schema": {"name": "n"}})),
        };
        assert_eq!(full.ask.sampling, wanted);
    }

    #[test]
    fn null_is_as_good_as_nothing() {
        let names =
            ["stream", "stream_options", "store", "metadata", "max_tokens", "temperature", "stop", "tools", "n"];
        for name in names {
            assert_eq!(read(&json!({name: null})), read(&json!({})), "{name}");
        }
    }

    #[test]
    fn what_can_not_be_done_is_named() {
        let message = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
        let (parameter, value) = ("unsupported_parameter", "unsupported_value");
        for (changes, param, code) in [
            (json!({"tools": [{"type": "function"}]}), "tools", parameter),
            (json!({"tool_choice": "required"}), "tool_choice", parameter),
            (json!({"functions": [{}]}), "functions", parameter),
            (json!({"function_call": {"name": "f"}}), "function_call", parameter),
            (json!({"audio": {"voice": "x"}}), "audio", parameter),
            (json!({"logprobs": true}), "logprobs", parameter),
            (json!({"top_logprobs": 2}), "top_logprobs", parameter),
            (json!({"logit_bias": {"5": 1}}), "logit_bias", parameter),
            (json!({"prediction": {}}), "prediction", parameter),
            (json!({"web_search_options": {}}), "web_search_options", parameter),
            (json!({"n": 2}), "n", value),
            (json!({"modalities": ["text", "audio"]}), "modalities", value),
            (json!({"response_format": {"type": "grammar"}}), "response_format.type", value),
            (message(json!([{"type": "image_url"}])), "messages[0].content[0].type", value),
            (json!({"messages": [{"role": "tool", "content": "x"}]}), "messages[0].role", value),
            (
                json!({"messages": [{"role": "assistant", "content": "x", "tool_calls": [{}]}]}),
                "messages[0].tool_calls",
                parameter,
            ),
        ] {
            assert_eq!(read(&changes), Err((param.to_owned(), code.to_owned())), "{changes}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let pairs: Value = (0..17).map(|n| (n.to_string(), json!("x"))).collect::<Map<_, _>>().into();
        for (changes, param) in [
            (json!({"messages": null}), "messages"),
            (json!({"messages": []}), "messages"),
            (json!({"messages": "hi"}), "messages"),
            (json!({"messages": ["hi"]}), "messages[0]"),
            (json!({"messages": [{"content": "x"}]}), "messages[0].role"),
            (json!({"messages": [{"role": "robot", "content": "x"}]}), "messages[0].role"),
            (json!({"messages": [{"role": "user"}]}), "messages[0].content"),
            (json!({"messages": [{"role": "user", "content": 7}]}), "messages[0].content"),
            (json!({"messages": [{"role": "user", "content": ["x"]}]}), "messages[0].content[0]"),
            (json!({"messages": [{"role": "user", "content": [{"type": "text"}]}]}), "messages[0].content[0].text"),
            (json!({"model": 7}), "model"),
            (json!({"stream": "yes"}), "stream"),
            (json!({"stream_options": {}}), "stream_options"),
            (json!({"stream": true, "stream_options": {"include_usage": 1}}), "stream_options.include_usage"),
            (json!({"max_tokens": 0}), "max_tokens"),
            (json!({"max_completion_tokens": 1.5}), "max_completion_tokens"),
            (json!({"max_completion_tokens": 5_000_000_000u64}), "max_completion_tokens"),
            (json!({"temperature": 2.1}), "temperature"),
            (json!({"temperature": "hot"}), "temperature"),
            (json!({"top_p": -0.1}), "top_p"),
            (json!({"seed": 0.5}), "seed"),
            (json!({"presence_penalty": 3}), "presence_penalty"),
            (json!({"stop": ["a", "b", "c", "d", "e"]}), "stop"),
            (json!({"stop": [""]}), "stop"),
            (json!({"stop": 7}), "stop"),
            (json!({"metadata": "x"}), "metadata"),
            (json!({"metadata": {"a": 1}}), "metadata"),
            (json!({"metadata": pairs}), "metadata"),
            (json!({"metadata": {"k".repeat(65): "x"}}), "metadata"),
            (json!({"metadata": {"k": "x".repeat(513)}}), "metadata"),
            (json!({"response_format": {}}), "response_format.type"),
            (json!({"response_format": "json"}), "response_format"),
        ] {
            assert_eq!(read(&changes), Err((param.to_owned(), String::new())), "{changes}");
        }
    }
}
