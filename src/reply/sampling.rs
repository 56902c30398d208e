//! How a reply is to be made, beside its words.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a model's server is told of how to choose words; what is not said is left to it. The companion chooses its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Most tokens of the reply; never more than the configuration allows.
    pub max_tokens: Option<u32>,
    /// How freely words are chosen.
    pub temperature: Option<f64>,
    /// The share of the likeliest words that are chosen from.
    pub top_p: Option<f64>,
    /// Texts before which the reply ends.
    pub stop: Vec<String>,
    /// The same number gives the same reply, as far as the server can.
    pub seed: Option<i64>,
    /// How much less likely a word is that was there.
    pub presence_penalty: Option<f64>,
    /// How much less likely a word is for each time that it was there.
    pub frequency_penalty: Option<f64>,
    /// The form of the reply, as the server takes it.
    pub response_format: Option<Value>,
}

impl Sampling {
    /// Nothing said.
    pub const USUAL: &'static Self = &Self {
        max_tokens: None,
        temperature: None,
        top_p: None,
        stop: Vec::new(),
        seed: None,
        presence_penalty: None,
        frequency_penalty: None,
        response_format: None,
    };
}
