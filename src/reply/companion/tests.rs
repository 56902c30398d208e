//! The companion in conversation, and its data files.

use super::*;

fn user(text: &str) -> Line<'_> {
    Line { speaker: Speaker::User, text }
}

#[test]
fn the_data_files_read_well() {
    if let Err(fault) = Companion::read(CRISIS, &LANGUAGES) {
        panic!("{fault}");
    }
}

#[test]
fn talk() {
    let companion = Companion::new();
    let said =
        ["hi", "my name is asha and I feel like my boss ignores me", "I have an exam on Friday", "ok", "👍", "ok"];
    let mut lines: Vec<(Speaker, String)> = Vec::new();
    for text in said {
        lines.push((Speaker::User, text.to_owned()));
        let view: Vec<_> = lines.iter().map(|(speaker, text)| Line { speaker: *speaker, text }).collect();
        let reply = companion.reply(&view);
        println!("> {text}\n{reply}");
        lines.push((Speaker::Assistant, reply));
    }
}
