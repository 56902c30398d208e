//! What clients of OpenAI's API send.

mod completion;
mod content;
mod conversation;
mod fields;
mod items;
mod metadata;
mod response;
mod sampling;

pub(super) use self::{
    completion::NewCompletion,
    conversation::{NewConversation, new_items, new_metadata},
    items::{Entry, Field, Question, bounded},
    response::{Echo, NewResponse},
};
