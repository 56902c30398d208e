//! The key of a server: read once, shown to nobody, sent in one header.

use std::{ffi::OsString, fmt, fs::File, io::Read, path::Path};

use http::HeaderValue;

use crate::{config::UpstreamConfig, reply::BackendError};

/// Largest key, bytes.
const KEY_MAX: u64 = 16 << 10;

/// A key as the header that carries it.
#[derive(Clone)]
pub(super) struct Key(HeaderValue);

impl Key {
    /// The key that `config`, the table named `table`, tells the place of; none where it tells none. The environment is
    /// asked through `variable`.
    ///
    /// # Errors
    /// A sentence without the key.
    pub(super) fn read(
        table: &str,
        config: &UpstreamConfig,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<Self>, BackendError> {
        let (key, text) = if let Some(path) = &config.api_key_file {
            let text = file(path).map_err(|error| format!("{}: {error}", path.display()));
            ("api_key_file", text)
        } else if let Some(name) = &config.api_key_env {
            let value = variable(name).ok_or_else(|| format!("the environment has no {name}"));
            ("api_key_env", value.map(OsString::into_encoded_bytes))
        } else {
            return Ok(None);
        };
        let fault = |why| BackendError::Key { key: format!("{table}.{key}"), why };
        Self::new(text.map_err(fault)?.trim_ascii()).map(Some).map_err(|why| fault(why.to_owned()))
    }

    /// The header's value.
    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    fn new(key: &[u8]) -> Result<Self, &'static str> {
        if key.is_empty() {
            return Err("there is no key in it");
        }
        if key.len() as u64 > KEY_MAX {
            return Err("it is too long for a key");
        }
        if !key.iter().all(u8::is_ascii_graphic) {
            return Err(
                "the key has characters that no header may have: only letters, digits and signs of ASCII, on one line",
            );
        }
        let mut value =
            HeaderValue::from_bytes(&[b"Bearer ", key].concat()).map_err(|_| "no header can carry the key")?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

fn file(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(KEY_MAX + 2).read_to_end(&mut text)?;
    Ok(text)
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_file(text: &[u8]) -> Result<Option<Key>, BackendError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let config = UpstreamConfig { api_key_file: Some(file.path().into()), ..UpstreamConfig::default() };
        Key::read("reply.second", &config, |_| None)
    }

    #[test]
    fn a_key_comes_from_a_file_or_the_environment_and_is_trimmed() {
        assert_eq!(of_file(b" sk-1\r\n").unwrap().unwrap().header(), "Bearer sk-1");
        let config = UpstreamConfig { api_key_env: Some("NAME".into()), ..UpstreamConfig::default() };
        let key = Key::read("t", &config, |name| (name == "NAME").then(|| "sk-2".into())).unwrap().unwrap();
        assert_eq!(key.header(), "Bearer sk-2");
        let missing = Key::read("reply.third", &config, |_| None).unwrap_err().to_string();
        assert!(missing.contains("reply.third.api_key_env") && missing.contains("NAME"), "{missing}");
        assert!(Key::read("t", &UpstreamConfig::default(), |_| None).unwrap().is_none());
    }

    #[test]
    fn a_key_that_no_header_may_have_is_refused_and_not_shown() {
        for bad in [&b""[..], b"\n", b"canary\nline", b"canary key", "canary-é".as_bytes(), b"canary\x07"] {
            let told = of_file(bad).unwrap_err().to_string();
            assert!(told.contains("reply.second.api_key_file") && !told.contains("canary"), "{told}");
        }
        assert!(of_file(&vec![b'x'; 17 << 10]).is_err());
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = of_file(b"sk-canary").unwrap().unwrap();
        assert!(!format!("{key:?} {:?}", key.header()).contains("canary"));
    }
}
