//! The files of the pages, compiled in: what a browser needs is in the program, ready to be sent.
//!
//! `build.rs` beside this file makes the table. How an answer is worded, `http` knows.

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// A file of a page.
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

/// The document that the dashboard begins with.
///
/// # Panics
/// Never: `build.rs` fails without it.
#[must_use]
pub fn dashboard() -> &'static File {
    find("dashboard.html").expect("build.rs fails without it")
}

/// The document that the page of the API's description begins with.
///
/// # Panics
/// Never: `build.rs` fails without it.
#[must_use]
pub fn docs() -> &'static File {
    find("docs.html").expect("build.rs fails without it")
}

/// The description of the HTTP API, as `openapi.json`.
///
/// # Panics
/// Never: `build.rs` fails without it.
#[must_use]
pub fn description() -> &'static File {
    find("openapi.json").expect("build.rs fails without it")
}

/// The file `name` of this `version` of the pages; nothing where there is no such file, or the version is another.
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

    fn text(page: &File) -> &str {
        std::str::from_utf8(page.plain.bytes).unwrap()
    }

    /// True where the page names the file in its head.
    fn names(page: &File, file: &File) -> bool {
        text(page).contains(&format!("=\"/assets/{VERSION}/{}\"", file.name))
    }

    #[test]
    fn the_pages_name_their_version_and_between_them_every_script() {
        for page in [chat_page(), dashboard(), docs()] {
            assert!(!text(page).contains('{'), "a placeholder is left");
        }
        for script in FILES.iter().filter(|file| file.content_type.starts_with("text/javascript")) {
            let named = [chat_page(), dashboard(), docs()].into_iter().any(|page| names(page, script));
            assert!(named, "nothing imports {}", script.name);
        }
        assert!(names(chat_page(), find("main.js").unwrap()) && !names(dashboard(), find("main.js").unwrap()));
        assert!(names(dashboard(), find("dashboard.js").unwrap()) && names(dashboard(), find("api.js").unwrap()));
        assert!(!names(chat_page(), find("dashboard.js").unwrap()), "the chat needs nothing of the dashboard");
        assert!(names(docs(), find("docs.js").unwrap()) && !names(docs(), find("api.js").unwrap()));
        assert!(file(VERSION, "main.js").is_some());
        assert!(file("0000000000000000", "main.js").is_none());
        assert!(file(VERSION, "../mod.rs").is_none());
    }

    #[test]
    fn a_first_visit_loads_little() {
        for page in [chat_page(), dashboard(), docs()] {
            let loaded = FILES.iter().filter(|file| names(page, file) || file.name.starts_with("words."));
            let compressed: usize = loaded.map(|file| file.gzip.bytes.len()).sum::<usize>() + page.gzip.bytes.len();
            assert!(compressed < FIRST_LOAD_MAX, "{compressed} bytes");
        }
    }

    #[test]
    fn every_form_has_a_tag_of_its_own() {
        let tags: std::collections::HashSet<_> =
            FILES.iter().flat_map(|file| [file.plain.etag, file.gzip.etag]).collect();
        assert_eq!(tags.len(), 2 * FILES.len());
    }
}
