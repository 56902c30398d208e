//! Markdown as the served page draws it: what each text looks like, how it grows, and how much a text can make of itself.

use std::slice;

use serde_json::{Value, json};

use crate::support::{
    Server,
    browser::{Browser, Tab},
    list,
};

/// Brings the page's own module, and the notation of `markdown.json`.
const HEAD: &str = concat!(
    include_str!("../../fixtures/page/serialise.js"),
    "
    const main = document.querySelector('script[src$=\"/main.js\"]').src;
    const { draw } = await import(new URL('markdown.js', main).href);
    const say = (key) => key;
    const drawn = (source) => {
        const container = document.createElement('div');
        draw(container, source, { say });
        return container;
    };
    const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);"
);

/// What each of the sources looks like.
const DRAWN: &str = "return arguments[0].map(({ source }) => serialise(drawn(source)));";

/// Draws each text character by character. Those that come to look other than when they are drawn at once, and those of
/// which a block that looks the same as before has another node.
const GROWN: &str = "
    const faults = [];
    for (const source of arguments[0]) {
        const container = document.createElement('div');
        let before = [];
        const chars = [...source];
        for (let end = 1; end <= chars.length; end += 1) {
            const part = chars.slice(0, end).join('');
            draw(container, part, { say });
            const looks = serialise(container);
            if (!same(looks, serialise(drawn(part)))) faults.push(['grew to look otherwise', part, looks]);
            const now = [...container.childNodes].map((node, place) => ({ node, look: looks[place] }));
            const isOther = ({ node, look }, place) => same(look, before[place]?.look) && node !== before[place].node;
            if (now.some(isOther)) faults.push(['a block was made anew', part, looks]);
            before = now;
        }
    }
    return faults.slice(0, 5);";

/// Draws each text at once, and grown in pieces. How many nodes stand there in the end, and how many were made or changed
/// on the way.
const WORK: &str = "
    const [texts, piece] = arguments;
    const count = (container) => {
        const walker = document.createTreeWalker(container, NodeFilter.SHOW_ALL);
        let nodes = 0;
        while (walker.nextNode()) nodes += 1;
        return nodes;
    };
    return texts.map((text) => {
        const atOnce = count(drawn(text));
        const container = document.createElement('div');
        const observer = new MutationObserver(() => {});
        observer.observe(container, { subtree: true, childList: true, characterData: true });
        let made = 0;
        for (let end = piece; end < text.length + piece; end += piece) {
            draw(container, text.slice(0, end), { say });
            for (const { addedNodes } of observer.takeRecords()) {
                made += 1 + [...addedNodes].reduce((sum, node) => sum + count(node), addedNodes.length);
            }
        }
        const isSame = same(serialise(container), serialise(drawn(text)));
        return { atOnce, made, isSame };
    });";

/// A text has 64 KiB at the most.
const TEXT_MAX: usize = 64 * 1024;
/// What stands there in the end: there are at most 5000 blocks, and as many elements in words, each with a text or two.
const NODES_MAX: u64 = 20_000;
/// What was made and changed on the way there.
const MADE_MAX: u64 = 300_000;
const PIECE: usize = 2048;

fn cases() -> Value {
    serde_json::from_str(include_str!("../../fixtures/page/markdown.json")).unwrap()
}

/// The entrance of a server: the module is there for who is not signed in, too.
fn entrance(server: &Server, browser: &Browser) -> Tab {
    let tab = browser.open(&format!("http://{}/", server.address));
    tab.wait_for("#sign-in");
    tab
}

/// Runs the body of a function beside the page's module.
fn beside(tab: &Tab, js: &str, arguments: &[Value]) -> Value {
    tab.evaluate(&format!("return (async function () {{ {HEAD} {js} }})(...arguments)"), arguments)
}

#[test]
fn each_text_looks_as_it_should() {
    let (server, browser) = (Server::start(&[]), Browser::start());
    let tab = entrance(&server, &browser);
    let cases = cases();
    let drawn = beside(&tab, DRAWN, slice::from_ref(&cases));
    for (case, drawn) in list(&cases).iter().zip(list(&drawn)) {
        assert_eq!(&case["expected"], drawn, "{}: {}", case["name"], case["source"]);
    }
    assert!(list(&drawn).len() > 100);
    browser.is_clean(&["401 (Unauthorized)"]);
}

#[test]
fn a_text_that_grows_looks_the_same_and_keeps_its_blocks() {
    let (server, browser) = (Server::start(&[]), Browser::start());
    let tab = entrance(&server, &browser);
    let cases = cases();
    let sources: Vec<&str> = list(&cases).iter().map(|case| case["source"].as_str().unwrap()).collect();
    let long: Vec<_> = sources.iter().filter(|source| source.chars().count() < 300).collect();
    for part in long.chunks(20) {
        assert_eq!(beside(&tab, GROWN, &[json!(part)]), json!([]));
    }
    let everything = "One.\n\n- two\n- three\n\n```\nfour\n```\n\n> five\n\n| six |\n|---|\n| 7 |\n\n";
    assert_eq!(beside(&tab, GROWN, &[json!([everything.repeat(3)])]), json!([]));
}

#[test]
fn no_text_makes_more_of_itself_than_a_page_can_bear() {
    let (server, browser) = (Server::start(&[]), Browser::start());
    let tab = entrance(&server, &browser);
    let pieces = [
        "*",
        "_",
        "**",
        "**a",
        "*a**b",
        "~~a~~ ",
        "`",
        "`a` ",
        "``a",
        "[",
        "](",
        "[a](",
        "[a](http://b.example) ",
        "![",
        "<",
        "&amp;",
        "\\",
        "\\*",
        "> ",
        ">",
        "- ",
        "- a\n",
        "* - ",
        "1. ",
        "1. a\n",
        "# ",
        "# a\n",
        "---\n",
        "```\n",
        "```a\nb\n",
        "~~~\n",
        "|",
        "|a",
        "| a |\n|---|\n",
        "|-",
        "a|b\n-|-\n",
        "http://a.example ",
        "https://",
        "www.a.example ",
        "a\n",
        "a\n\n",
        "\n",
        " ",
        "\t",
        "\u{202e}",
        "\u{0}",
        "***a*** ",
        "*a _b **c ",
        "> - 1. ",
        "a*b_c`d[e](f ",
        "</p>",
        "\r\n",
        "((((",
        "http://a.example/(((",
        "**_~~`[x](http://y.example)`~~_** ",
        "- a\n\n  b\n",
        "|a|b|c|d|e|f|g|h\n",
    ];
    for part in pieces.chunks(8) {
        let texts: Vec<String> = part.iter().map(|piece| piece.repeat(TEXT_MAX / piece.len())).collect();
        let work = beside(&tab, WORK, &[json!(texts), json!(PIECE)]);
        for (piece, work) in part.iter().zip(list(&work)) {
            assert!(work["atOnce"].as_u64().unwrap() <= NODES_MAX, "{piece:?}: {work}");
            assert!(work["made"].as_u64().unwrap() <= MADE_MAX, "{piece:?}: {work}");
            assert!(work["isSame"] == true, "{piece:?}: {work}");
        }
    }
}
