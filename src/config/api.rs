//! `[api]`: what programs may send to `/v1`.

use super::Config;

/// Bytes of a body beside its longest text.
const BESIDE_BYTES: u64 = 16 << 10;
/// Most bytes of a character.
const CHAR_BYTES: u64 = 4;

/// `[api]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiConfig {
    /// Most characters of a text that is stored: a message, an item, instructions.
    pub input_chars_max: usize,
    /// Largest body, bytes.
    pub body_max: u64,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self { input_chars_max: 100_000, body_max: 1 << 20 }
    }
}

/// What is wrong where a body has no room for the longest text.
pub(super) fn too_small(config: &Config) -> Option<String> {
    let ApiConfig { input_chars_max, body_max } = config.api;
    let least = (input_chars_max as u64).saturating_mul(CHAR_BYTES).saturating_add(BESIDE_BYTES);
    (body_max < least).then(|| {
        format!(
            "must be at least {least}, not {body_max}: a body needs room for api.input_chars_max ({input_chars_max}) \
             characters of {CHAR_BYTES} bytes, and {BESIDE_BYTES} bytes around them"
        )
    })
}
