//! The data files, and what is said about faults in them.

use super::*;

fn fault_of(crisis: &str, languages: &[(&str, &str)]) -> String {
    Companion::read(crisis, languages).err().expect("the data has a fault").to_string()
}

/// The fault of the English file with `from` replaced by `to`.
fn fault_with(from: &str, to: &str) -> String {
    let (file, text) = LANGUAGES[0];
    assert!(text.contains(from), "{from} does not stand in {file}");
    fault_of(CRISIS, &[(file, &text.replacen(from, to, 1))])
}

#[test]
fn every_data_file_reads_well() {
    if let Err(fault) = Companion::read(CRISIS, &LANGUAGES) {
        panic!("{fault}");
    }
}

#[test]
fn faults_are_named_with_file_and_place() {
    let wanted = [
        (fault_with("[answers]", "[answers]\nmaybe = []"), "unknown field `maybe`"),
        (fault_with("[move.goodbye]", "[move.farewell]"), "unknown variant `farewell`"),
        (fault_with("short = [", "shorts = ["), "unknown variant `shorts`"),
        (fault_with("wordless = [", "# wordless = ["), "talk: Wordless is missing"),
        (fault_with("[feeling.sad]", "[feeling.anxious]"), "duplicate key"),
        (fault_with("\"Gladly.\"", "\"Gladly, {it}.\""), "nothing fills {it} here"),
        (fault_with("\"Gladly.\"", "\"Gladly, {who}.\""), "no such slot"),
        (fault_with("\"Gladly.\"", "\"You're welcome.\""), "stands there twice"),
        (fault_with("\"lonely\", ", "\"lonely\", \"self-made\", "), "feeling.lonely: phrase \"self-made\""),
        (fault_with("\"lonely\", ", "\"lonely\", \"lonely\", "), "phrase \"lonely\" stands there twice"),
        (fault_with("samaritans = ", "somebody = "), "there is no helpline \"somebody\""),
        (fault_with("find_a_helpline = ", "# find_a_helpline = "), "\"find_a_helpline\" is missing"),
        (fault_with("call {number} (free, day and night)", "call them"), "{number} is missing"),
        (fault_of(CRISIS, &[LANGUAGES[0], LANGUAGES[0]]), "tag: \"en\" is another language's"),
        (fault_of(&CRISIS.replacen("checked_on = ", "checked = ", 1), &LANGUAGES), "crisis.toml"),
    ];
    for (fault, part) in wanted {
        assert!(fault.contains(part), "wanted {part} in: {fault}");
        assert!(fault.starts_with("english.toml: ") || fault.starts_with("crisis.toml: "), "{fault}");
    }
}

#[test]
fn a_language_more_is_one_file_more() {
    let (_, english) = LANGUAGES[0];
    let tamil = english.replacen("tag = \"en\"", "tag = \"ta\"", 1);
    let tamil = tamil.replacen("[\"A\", \"ɏ\"]", "[\"\u{B80}\", \"\u{BFF}\"]", 1);
    let tamil = tamil.replacen("Hello there.", "வணக்கம், வாருங்கள்.", 1).replacen(
        "phrases = [\"hi\", \"hello\"",
        "phrases = [\"வணக்கம்\"",
        1,
    );
    let companion = Companion::read(CRISIS, &[LANGUAGES[0], ("tamil.toml", &tamil)]).unwrap();
    let replies = converse(&companion, &["வணக்கம்"; 4]);
    assert!(replies.iter().any(|reply| reply.contains("வணக்கம், வாருங்கள்.")), "{replies:?}");
}

#[test]
fn every_language_has_the_same_moves_and_at_least_ten_topics() {
    let companion = Companion::new();
    for language in &companion.languages {
        assert_eq!(language.moves.len(), companion.languages[0].moves.len());
        assert!(language.topics.len() >= 10 && language.feelings.len() >= 7);
    }
}
