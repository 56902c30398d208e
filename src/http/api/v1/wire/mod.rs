//! What clients of OpenAI's API send.

mod completion;
mod content;
mod fields;
mod metadata;
mod sampling;

pub(super) use completion::NewCompletion;
