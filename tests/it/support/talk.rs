//! What a client does all day: sessions, messages, pages, histories.

use serde_json::{Value, json};

use super::{Client, Response, server::text};

impl Client {
    /// A new session's id.
    pub(crate) fn session(&mut self) -> String {
        text(&self.post("/api/v1/sessions", &json!({})).expect(201).json()["id"])
    }

    /// Says something in a session: `{message, reply}`.
    pub(crate) fn say(&mut self, session: &str, content: &str) -> Value {
        self.try_say(session, content).expect(201).json()
    }

    /// As [`Client::say`], with whatever is answered.
    pub(crate) fn try_say(&mut self, session: &str, content: &str) -> Response {
        self.post(&format!("/api/v1/sessions/{session}/messages"), &json!({"content": content}))
    }

    /// A page of a session; `query` with its question mark.
    pub(crate) fn page(&mut self, session: &str, query: &str) -> Value {
        self.get(&format!("/api/v1/sessions/{session}/messages{query}")).expect(200).json()
    }

    /// The old client's history; `query` with its question mark.
    pub(crate) fn history(&mut self, query: &str) -> Value {
        self.get(&format!("/api/v1/chat/history{query}")).expect(200).json()
    }

    /// Another connection with the same token, as another tab has it.
    pub(crate) fn another_tab(&self, server: &super::Server) -> Self {
        Self::with_token(server.address, self.token.as_ref().unwrap())
    }
}

/// The items of a JSON list.
#[track_caller]
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

/// What `field` is in each item of a list.
#[track_caller]
pub(crate) fn each<'v>(value: &'v Value, field: &str) -> Vec<&'v Value> {
    list(value).iter().map(|item| &item[field]).collect()
}

/// Text as the value of a query parameter.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat()
}
