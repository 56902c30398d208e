//! A notice as it is posted: JSON, and headers that prove whom it is from.
//!
//! The headers are those of Standard Webhooks: an id that is the same in every attempt, the time of the attempt, and
//! HMAC-SHA256 over both and the body. Receivers that check all three are told nothing by others, and nothing twice.
//! Delivering it, again where need be, is another's job.

use std::{fmt, io, path::Path};

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;

use super::Notice;
use crate::clock::Timestamp;

/// What stands before a secret in base64.
const PREFIX: &str = "whsec_";
/// Fewest bytes of a secret.
const SECRET_MIN: usize = 24;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file can't be read.
    #[error("the secret can't be read: {0}")]
    Io(#[from] io::Error),
    /// What stands behind `whsec_` is no base64.
    #[error("what stands behind \"whsec_\" is not base64")]
    NotBase64,
    /// It could be guessed.
    #[error("the secret has {0} bytes; it needs 24 at least")]
    Short(usize),
}

/// What signs; it is not shown.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// The secret in a file, without the space around it: as it stands, or in base64 behind `whsec_`.
    ///
    /// # Errors
    /// As [`SecretError`] says.
    pub fn read(file: &Path) -> Result<Self, SecretError> {
        Self::parse(std::fs::read(file)?.trim_ascii())
    }

    fn parse(text: &[u8]) -> Result<Self, SecretError> {
        let bytes = match text.strip_prefix(PREFIX.as_bytes()) {
            Some(encoded) => {
                let encoded = std::str::from_utf8(encoded).map_err(|_| SecretError::NotBase64)?;
                Base64::decode_vec(encoded).map_err(|_| SecretError::NotBase64)?
            }
            None => text.to_vec(),
        };
        if bytes.len() < SECRET_MIN { Err(SecretError::Short(bytes.len())) } else { Ok(Self(bytes)) }
    }

    /// HMAC-SHA256 over the id, the time and the body.
    fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", Base64::encode_string(&mac.finalize().into_bytes()))
    }
}

/// The members of the JSON.
#[derive(Serialize)]
struct Posted<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(serialize_with = "crate::clock::rfc3339")]
    timestamp: Timestamp,
    data: &'a Notice,
    source: Source,
}

#[derive(Serialize)]
struct Source {
    name: &'static str,
    version: &'static str,
}

/// The body that tells `notice`: the same at every attempt.
///
/// # Panics
/// Never: what it writes always becomes JSON.
#[must_use]
pub fn body(notice: &Notice) -> String {
    let posted = Posted {
        kind: format!("alert.{}", notice.state.name()),
        timestamp: notice.at,
        data: notice,
        source: Source { name: "bondhu", version: env!("CARGO_PKG_VERSION") },
    };
    serde_json::to_string(&posted).expect("strings and numbers always become JSON")
}

/// The headers, by names in lower case, of an attempt to post `body` at `sent_at`: the id is the same at every attempt, the
/// signature is not.
#[must_use]
pub fn headers(id: &str, body: &str, secret: &Secret, sent_at: Timestamp) -> [(&'static str, String); 3] {
    let seconds = sent_at.0.div_euclid(1_000_000);
    let signature = secret.sign(id, seconds, body.as_bytes());
    [("webhook-id", id.to_owned()), ("webhook-timestamp", seconds.to_string()), ("webhook-signature", signature)]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        alerts::{Change, Rule},
        config::Condition,
    };

    #[test]
    fn a_signature_is_that_of_the_known_vector() {
        let secret = Secret::parse(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_long_enough_and_is_never_shown() {
        let plain = "a-secret-of-32-bytes-as-it-stands";
        assert_eq!(Secret::parse(plain.as_bytes()).unwrap().0, plain.as_bytes());
        assert!(matches!(Secret::parse(b"whsec_short"), Err(SecretError::NotBase64)));
        assert!(matches!(Secret::parse(b"whsec_c2hvcnQ="), Err(SecretError::Short(5))));
        assert!(matches!(Secret::parse(b"short"), Err(SecretError::Short(5))));
        assert!(!format!("{:?}", Secret::parse(plain.as_bytes())).contains("secret-of"));
    }

    #[test]
    fn an_attempt_again_has_the_same_body_and_id_and_a_new_signature() {
        let condition = Condition { limit: 80.0, lasting: Duration::from_mins(5) };
        let (since, at) = (Timestamp(1_795_456_800_000_000), Timestamp(1_795_457_100_000_000));
        let notice = Notice::new(Rule::Cpu, Change::Firing, condition, Some(93.126), (since, at));
        let secret = Secret::parse(&[7; 32]).unwrap();
        let (said, later) = (body(&notice), at.after(Duration::from_secs(9)));
        let [first, again] = [at, later].map(|sent| headers(&notice.id, &said, &secret, sent));
        assert_eq!((&first[0], said == body(&notice)), (&again[0], true));
        assert_ne!(first[2], again[2]);
        let json: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(json["type"], "alert.firing");
        assert_eq!(json["data"]["summary"], "CPU use is 93.13 %, over 80 %.");
        assert_eq!(json["data"]["since"], "2026-11-23T18:00:00.000000Z");
        assert_eq!(json["data"]["rule"], "cpu");
        assert_eq!(first[1], ("webhook-timestamp", "1795457100".to_owned()));
    }
}
