//! Who gets to see what users write: the configuration's servers as users may know them.

use serde::Serialize;

use crate::config::{Fallback, ReplyBackend, ReplyConfig};

/// Who is given a conversation so as to reply.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Readers {
    /// What makes replies.
    pub backend: ReplyBackend,
    /// The servers that are asked, in their order; none for the companion.
    pub servers: Vec<Reader>,
    /// True where the companion answers when no server can.
    pub stand_in: bool,
}

/// A server that makes replies. Has no path, no credentials, no key.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Reader {
    /// Its host, with the port where that is not the scheme's own.
    pub host: String,
    /// The model that is asked for.
    pub model: String,
    /// True where it is this machine.
    pub local: bool,
}

impl Readers {
    /// Those whom `config` names.
    #[must_use]
    pub fn of(config: &ReplyConfig) -> Self {
        let backend = config.backend;
        let is_asked = backend == ReplyBackend::Openai;
        let servers = config.upstreams().filter(|_| is_asked).map(|(_, upstream)| Reader {
            host: upstream.host(),
            model: upstream.model.clone(),
            local: upstream.is_local(),
        });
        Self { backend, servers: servers.collect(), stand_in: is_asked && config.fallback == Fallback::Companion }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::UpstreamConfig;

    fn seen(base_url: &str) -> (String, bool) {
        let mut config = ReplyConfig { backend: ReplyBackend::Openai, ..ReplyConfig::default() };
        config.openai.upstream = UpstreamConfig { base_url: base_url.to_owned(), ..UpstreamConfig::default() };
        let mut servers = Readers::of(&config).servers;
        let server = servers.pop().expect("it has a URL");
        (server.host, server.local)
    }

    #[test]
    fn a_server_is_shown_by_its_host_and_nothing_else_of_its_url() {
        for (url, host, local) in [
            ("https://api.example.org/v1", "api.example.org", false),
            ("https://API.Example.org:443/v1", "api.example.org", false),
            ("https://api.example.org:80/v1", "api.example.org:80", false),
            ("http://api.example.org:80/v1", "api.example.org", false),
            ("http://api.example.org:443/secret/path", "api.example.org:443", false),
            ("https://user:secret@api.example.org:8443/v1", "api.example.org:8443", false),
            ("http://127.0.0.1:11434/v1", "127.0.0.1:11434", true),
            ("http://127.8.9.1", "127.8.9.1", true),
            ("http://[::1]:8080/v1", "[::1]:8080", true),
            ("http://[::ffff:127.0.0.1]/v1", "[::ffff:127.0.0.1]", true),
            ("http://LocalHost:11434/v1", "localhost:11434", true),
            ("http://localhost.example.org/v1", "localhost.example.org", false),
            ("http://127.0.0.1.example.org/v1", "127.0.0.1.example.org", false),
            ("http://10.0.0.1/v1", "10.0.0.1", false),
        ] {
            assert_eq!(seen(url), (host.to_owned(), local), "{url}");
        }
    }

    #[test]
    fn what_is_configured_and_not_used_is_not_shown() {
        let mut config = ReplyConfig { fallback: Fallback::Companion, ..ReplyConfig::default() };
        let none = Readers { backend: ReplyBackend::Companion, servers: Vec::new(), stand_in: false };
        assert_eq!(Readers::of(&config), none, "the companion's own URL is the default of another backend");
        config.backend = ReplyBackend::Openai;
        assert!(Readers::of(&config).stand_in);
        assert_eq!(Readers::of(&config).servers.len(), 1);
    }
}
