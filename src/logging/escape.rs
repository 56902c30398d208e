//! Takes the power to act out of the characters of a log line.

use std::{borrow::Cow, fmt::Write};

use crate::config::LogFormat;

/// `line` (one event, with its line end) with every character escaped that a terminal would obey or hide: control
/// characters, the line ends within, and the marks that turn the direction of text.
///
/// With `colours` the sequences stay that the formatter itself wrote; it has escaped those of the fields.
pub(super) fn line(line: &[u8], format: LogFormat, colours: bool) -> Cow<'_, [u8]> {
    let (body, end) = match line.split_last() {
        Some((b'\n', body)) => (body, "\n"),
        _ => (line, ""),
    };
    if body.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(line);
    }
    let text = String::from_utf8_lossy(body); // The formatter writes UTF-8, always.
    let acts = |c: char| acts(c) && !(colours && c == '\u{1B}');
    if !text.chars().any(acts) {
        return Cow::Borrowed(line);
    }
    let mut escaped = String::with_capacity(line.len() + 16);
    for c in text.chars() {
        if acts(c) {
            escape(c, format, &mut escaped);
        } else {
            escaped.push(c);
        }
    }
    escaped.push_str(end);
    Cow::Owned(escaped.into_bytes())
}

fn escape(c: char, format: LogFormat, into: &mut String) {
    match format {
        LogFormat::Text => into.extend(c.escape_default()),
        // In JSON such a character stands inside a string, and all of them have four digits.
        LogFormat::Json => {
            let _ = write!(into, "\\u{:04x}", u32::from(c)); // Writing to a String does not fail.
        }
    }
}

fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200E}' | '\u{200F}' | '\u{061C}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, format: LogFormat, colours: bool) -> String {
        String::from_utf8(line(text.as_bytes(), format, colours).into_owned()).unwrap()
    }

    #[test]
    fn only_the_last_line_end_stays_one() {
        assert_eq!(shown("a\nb\r\n", LogFormat::Text, false), "a\\nb\\r\n");
        assert_eq!(shown("আমি 🙂 plain\n", LogFormat::Text, false), "আমি 🙂 plain\n");
        assert_eq!(shown("", LogFormat::Text, false), "");
    }

    #[test]
    fn escapes_and_turned_text_lose_their_power() {
        assert_eq!(shown("\u{1B}[31m\u{9B}\u{202E}\n", LogFormat::Text, false), "\\u{1b}[31m\\u{9b}\\u{202e}\n");
        assert_eq!(shown("\u{1B}[31m\u{7F}\n", LogFormat::Text, true), "\u{1B}[31m\\u{7f}\n");
        assert_eq!(shown("{\"a\":\"\u{202E}\u{7F}\"}\n", LogFormat::Json, false), "{\"a\":\"\\u202e\\u007f\"}\n");
    }
}
