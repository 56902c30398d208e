//! One who has an account and other people's ids, and tries every call with them.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::support::{Client, Server};

pub(crate) struct Hijacker {
    client: Client,
    pub(crate) tries: usize,
}

impl Hijacker {
    pub(crate) fn new(server: &Server) -> Self {
        Self { client: server.user("mallory").0, tries: 0 }
    }

    pub(crate) fn meets(&mut self, server: &Server) {
        self.client = self.client.another_tab(server);
    }

    /// Tries all ids, again and again, until it is over or the server is gone.
    pub(crate) fn try_all(&mut self, ids: &[String], over: &AtomicBool) {
        while !over.load(Ordering::SeqCst) {
            for id in ids {
                for n in 0..9 {
                    if over.load(Ordering::SeqCst) || !self.is_refused(id, n) {
                        return;
                    }
                    self.tries += 1;
                }
            }
        }
    }

    /// False where the server is gone.
    fn is_refused(&mut self, id: &str, n: usize) -> bool {
        let session = format!("/api/v1/sessions/{id}");
        let (method, path, body) = match n {
            0 => ("GET", session, None),
            1 => ("GET", format!("{session}/messages"), None),
            2 => ("GET", format!("{session}/events"), None),
            3 => ("GET", format!("/api/v1/chat/history?session_id={id}"), None),
            4 => ("PATCH", session, Some(json!({"title": "mine"}))),
            5 => ("POST", format!("{session}/messages"), Some(json!({"content": "mine"}))),
            6 => ("POST", format!("{session}/messages/1/retry"), Some(json!({}))),
            7 => ("POST", "/api/v1/chat/send".to_owned(), Some(json!({"message": "mine", "session_id": id}))),
            _ => ("DELETE", session, None),
        };
        let body = body.map(|body| body.to_string());
        let headers = [("content-type", "application/json")];
        let headers = if body.is_some() { &headers[..] } else { &[] };
        let Ok(answer) = self.client.send(method, &path, headers, body.as_deref().map(str::as_bytes)) else {
            return false;
        };
        let text = answer.text();
        assert!(!text.contains(" of-"), "{method} {path} shows {text}");
        let is_stopping = answer.status == 503 || answer.status == 500;
        assert!(answer.status == 403 || is_stopping, "{method} {path}: {}: {text}", answer.status);
        !is_stopping
    }
}
