//! The files of the pages, compiled in: what a browser needs is in the program, ready to be sent.
//!
//! `build.rs` beside this file makes the table. How an answer is worded, `http` knows.

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// A file of the page.
#[derive(Debug)]
pub struct File {
    name: &'static str,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// As it was written.
    pub plain: Form,
    /// Compressed with gzip.
    pub gzip: Form,
}

/// One form in which a file can be sent.
#[derive(Debug)]
pub struct Form {
    /// A strong entity tag, with its quotes: it changes with any byte.
    pub etag: &'static str,
    /// All of it.
    pub bytes: &'static [u8],
}

/// The document that the chat page begins with.
///
/// # Panics
/// Never: `build.rs` fails without it.
#[must_use]
pub fn chat_page() -> &'static File {
    find("index.html").expect("build.rs fails without it")
}

/// The file `name` of this `version` of the page; nothing where there is no such file, or the version is another.
#[must_use]
pub fn file(version: &str, name: &str) -> Option<&'static File> {
    find(name).filter(|_| version == VERSION)
}

fn find(name: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The most that a first visit loads, compressed; the goal of the page.
    const FIRST_LOAD_MAX: usize = 100_000;

    #[test]
    fn the_page_names_its_version_and_every_script() {
        let page = std::str::from_utf8(chat_page().plain.bytes).unwrap();
        assert!(!page.contains('{'), "a placeholder is left");
        for script in FILES.iter().filter(|file| file.content_type.starts_with("text/javascript")) {
            assert!(page.contains(&format!("/assets/{VERSION}/{}\"", script.name)), "{}", script.name);
        }
        assert!(file(VERSION, "main.js").is_some());
        assert!(file("0000000000000000", "main.js").is_none());
        assert!(file(VERSION, "../mod.rs").is_none());
    }

    #[test]
    fn a_first_visit_loads_little() {
        let compressed: usize = FILES.iter().map(|file| file.gzip.bytes.len()).sum();
        assert!(compressed < FIRST_LOAD_MAX, "{compressed} bytes");
    }

    #[test]
    fn every_form_has_a_tag_of_its_own() {
        let tags: std::collections::HashSet<_> =
            FILES.iter().flat_map(|file| [file.plain.etag, file.gzip.etag]).collect();
        assert_eq!(tags.len(), 2 * FILES.len());
    }
}
