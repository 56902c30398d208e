//! The companion in conversation, and its data files.

mod crisis;
mod data;
mod talk;

use super::{
    rules::{Move, Talk, Tone},
    voice::Variants,
    *,
};

fn user(text: &str) -> Line<'_> {
    Line { role: Role::User, text, name: None }
}

fn assistant(text: &str) -> Line<'_> {
    Line { role: Role::Assistant, text, name: None }
}

/// What the companion answers to each of `said` in turn.
fn converse(companion: &Companion, said: &[&str]) -> Vec<String> {
    let mut replies: Vec<String> = Vec::new();
    for index in 0..said.len() {
        let earlier = said.iter().zip(&replies).flat_map(|(text, reply)| [user(text), assistant(reply)]);
        let view: Vec<_> = earlier.chain([user(said[index])]).collect();
        let reply = companion.reply(&view);
        replies.push(reply);
    }
    replies
}
