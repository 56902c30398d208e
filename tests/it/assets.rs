//! The page's files as a browser gets them: types, tags, compression, and what the page may do.

use std::{io::Write as _, process::Stdio};

use crate::support::{Client, Response, Server};

/// The addresses in the page that begin with `/assets/`.
fn named(page: &str) -> Vec<String> {
    let after = page.split("=\"/assets/").skip(1);
    after.map(|rest| format!("/assets/{}", rest.split('"').next().unwrap())).collect()
}

fn compressed(client: &mut Client, path: &str) -> Response {
    client.send("GET", path, &[("accept-encoding", "br, gzip")], None).unwrap().expect(200)
}

/// What `gzip -d` makes of it.
fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = std::process::Command::new("gzip");
    let mut child = gzip.arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes).unwrap());
    let unpacked = child.wait_with_output().unwrap().stdout;
    writer.join().unwrap();
    unpacked
}

#[test]
fn every_address_of_the_page_gives_the_page_and_it_may_run_our_scripts_only() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let page = client.get("/").expect(200);
    for path in ["/s/0197b1c2-7a3e-7c4d-9b1a-2f3e4d5c6b7a", "/s/x", "/settings"] {
        assert_eq!(client.get(path).expect(200).body, page.body, "{path}");
    }
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    assert_eq!(page.header("cross-origin-opener-policy"), Some("same-origin"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(page.header("set-cookie"), None);
    let policy = page.header("content-security-policy").unwrap();
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ] {
        assert!(policy.split("; ").any(|found| found == rule), "{rule} is not in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    let text = page.text();
    assert!(!text.contains("<style") && !text.contains(" style=") && !text.contains("://"), "{text}");
    let scripts: Vec<_> = text.split("<script").skip(1).collect();
    assert!(scripts.iter().all(|script| script.contains(" src=\"/assets/") && script.contains("></script>")), "{text}");
}

#[test]
fn files_are_kept_for_ever_and_come_compressed_to_who_takes_it() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let page = client.get("/").text();
    let files = named(&page);
    assert!(files.iter().any(|file| file.ends_with("/main.js")), "{files:?}");
    let mut loaded = compressed(&mut client, "/").body.len();
    for path in &files {
        let plain = client.get(path).expect(200);
        assert_eq!(plain.header("cache-control"), Some("public, max-age=31536000, immutable"), "{path}");
        assert_eq!(plain.header("content-encoding"), None);
        assert_eq!(plain.header("vary"), Some("Accept-Encoding"));
        let kind = plain.header("content-type").unwrap();
        assert!(kind.starts_with("text/") || kind == "image/svg+xml" || kind == "application/manifest+json", "{kind}");
        let packed = compressed(&mut client, path);
        assert_eq!(packed.header("content-encoding"), Some("gzip"), "{path}");
        assert_eq!(unpacked(&packed.body), plain.body, "{path}");
        assert_ne!(packed.header("etag"), plain.header("etag"), "two forms, two tags");
        for (form, takes) in [(&plain, "identity"), (&packed, "gzip")] {
            let tag = form.header("etag").unwrap();
            let again = client.send("GET", path, &[("if-none-match", tag), ("accept-encoding", takes)], None).unwrap();
            assert!(again.expect(304).body.is_empty());
        }
        loaded += packed.body.len();
    }
    // A script asks for the words of one language.
    let main = files.iter().find(|file| file.ends_with("/main.js")).unwrap();
    let words = ["en", "bn", "hi"].map(|tag| main.replace("main.js", &format!("words.{tag}.json")));
    loaded += words.map(|path| compressed(&mut client, &path).body.len()).iter().max().unwrap();
    assert!(loaded < 100_000, "a first visit loads {loaded} bytes");
}

#[test]
fn what_is_no_file_of_this_version_is_404() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let main = named(&client.get("/").text()).into_iter().find(|file| file.ends_with("/main.js")).unwrap();
    client.get(&main).expect(200);
    let version = main.split('/').nth(2).unwrap();
    let other = main.replace(version, "0000000000000000");
    let (missing, up) = (main.replace("main.js", "none.js"), main.replace("main.js", "..%2fmod.rs"));
    for path in [&other, &missing, &up] {
        let answer = client.get(path).expect(404);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}
