//! What is counted of single routes, and what an answer's latency is compared with.

use super::routes::{AdminEndpoint, Endpoint, ROUTES, V1Endpoint};
use crate::metrics::{Counter, Exposition, Kind, Wait, float};

/// What stands for a path that the table does not have.
pub(super) const NO_ROUTE: &str = "none";

/// Answers by path, as the table has it, and by the first digit of their status. Methods are not told apart: with them
/// there would be twice as many series, and the log has each request.
pub(super) struct RouteCounts {
    paths: Vec<(&'static str, [Counter; 5])>,
}

impl RouteCounts {
    pub(super) fn new() -> Self {
        let mut paths: Vec<(&'static str, [Counter; 5])> = vec![(NO_ROUTE, Default::default())];
        for route in ROUTES {
            if paths.iter().all(|(path, _)| *path != route.path) {
                paths.push((route.path, Default::default()));
            }
        }
        Self { paths }
    }

    /// Counts an answer.
    pub(super) fn answered(&self, path: &str, status: u16) {
        let (_, classes) = self.paths.iter().find(|(known, _)| *known == path).unwrap_or(&self.paths[0]);
        if let Some(counter) = classes.get(usize::from(status / 100).wrapping_sub(1)) {
            counter.count();
        }
    }

    /// Those that have been answered so, as a family.
    pub(super) fn expose(&self, text: &mut Exposition) {
        let help =
            "Answers by the route's path and the first digit of the status; \"none\" is a path that is not there.";
        text.family("bondhu_http_requests_total", Kind::Counter, help);
        for (path, classes) in &self.paths {
            for (counter, class) in classes.iter().zip(["1xx", "2xx", "3xx", "4xx", "5xx"]) {
                if counter.get() > 0 {
                    text.series(&[("route", path), ("status", class)], float(counter.get()));
                }
            }
        }
    }
}

/// What the answers of an endpoint wait for; nothing for what asks for the server itself: so often and so quick that it
/// would hide how long people wait.
pub(super) fn wait_of(endpoint: Endpoint) -> Option<Wait> {
    match endpoint {
        Endpoint::Health | Endpoint::Ready | Endpoint::ChatHealth | Endpoint::Metrics => None,
        Endpoint::Send
        | Endpoint::Retry
        | Endpoint::ChatSend
        | Endpoint::V1(V1Endpoint::Complete | V1Endpoint::Respond) => Some(Wait::Reply),
        Endpoint::Register
        | Endpoint::Login
        | Endpoint::Password
        | Endpoint::DeleteMe
        | Endpoint::Admin(AdminEndpoint::Password) => Some(Wait::Password),
        Endpoint::ChatPage
        | Endpoint::Dashboard
        | Endpoint::Docs
        | Endpoint::Description
        | Endpoint::Asset
        | Endpoint::About
        | Endpoint::Logout
        | Endpoint::Me
        | Endpoint::Tokens
        | Endpoint::EndToken
        | Endpoint::MakeKey
        | Endpoint::Keys
        | Endpoint::EndKey
        | Endpoint::Export
        | Endpoint::CreateSession
        | Endpoint::Sessions
        | Endpoint::Session
        | Endpoint::EditSession
        | Endpoint::DeleteSession
        | Endpoint::Stop
        | Endpoint::SessionEvents
        | Endpoint::Events
        | Endpoint::Page
        | Endpoint::ChatHistory
        | Endpoint::ChatClear
        | Endpoint::ChatSearch
        | Endpoint::Replies
        | Endpoint::Search
        | Endpoint::Admin(_)
        | Endpoint::V1(_) => Some(Wait::Data),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_the_table_is_counted_once_and_any_other_as_none() {
        let counts = RouteCounts::new();
        for route in ROUTES {
            counts.answered(route.path, 200);
        }
        counts.answered("/made/up", 404);
        counts.answered("/health", 999);
        let mut text = Exposition::default();
        counts.expose(&mut text);
        let text = text.finish();
        assert!(text.contains("bondhu_http_requests_total{route=\"none\",status=\"4xx\"} 1\n"));
        assert!(text.contains("bondhu_http_requests_total{route=\"/api/v1/sessions/{id}\",status=\"2xx\"} 3\n"));
        assert!(!text.contains("made"));
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(series, counts.paths.len(), "a path without an answer has no series");
    }
}
