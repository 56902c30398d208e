//! The rules of accessibility, by axe-core: WCAG 2.0 to 2.2 at A and AA, and best practice.
//!
//! The rules run in a world of their own beside the page's scripts, so the page is judged as it is, under its own policy.

use std::fs;

use serde_json::{Value, json};

use super::tab::Tab;

/// Installed by `tests/run`.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/page/node_modules/axe-core/axe.min.js");

/// What is judged, and what is said of each violation.
const RUN: &str = "(async () => {
    const values = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22a', 'wcag22aa', 'best-practice'];
    const options = {
        runOnly: {type: 'tag', values},
        resultTypes: ['violations'],
        preload: false,
    };
    const {violations} = await axe.run(document, options);
    return violations.flatMap(({id, impact, help, nodes}) => nodes.map(node =>
        `${id} (${impact}) at ${node.target.join(' ')}: ${help}\\n    ${node.failureSummary.replace(/\\n/g, '\\n    ')}`));
})()";

impl Tab {
    /// Fails where the page, as it stands, breaks a rule of accessibility: names rule, impact, place and help for each.
    #[track_caller]
    pub(crate) fn axe(&self) {
        let violations = self.axe_violations();
        assert!(violations.is_empty(), "at {}:\n  {}", self.url(), violations.join("\n  "));
    }

    /// What breaks rules of accessibility; what moves has come to rest before.
    #[track_caller]
    pub(crate) fn axe_violations(&self) -> Vec<String> {
        let source = fs::read_to_string(SOURCE).unwrap_or_else(|error| panic!("tests/run installs axe-core: {error}"));
        self.wait("come to rest", "return document.getAnimations().every(one => one.playState !== 'running')", &[]);
        let frame = self.cdp("Page.getFrameTree", &json!({}))["frameTree"]["frame"]["id"].clone();
        let world = self.cdp("Page.createIsolatedWorld", &json!({"frameId": frame, "worldName": "axe"}));
        let context = &world["executionContextId"];
        self.run(context, &format!("{source}\n;0"));
        serde_json::from_value(self.run(context, RUN)).unwrap()
    }

    #[track_caller]
    fn run(&self, context: &Value, js: &str) -> Value {
        let call = json!({"expression": js, "contextId": context, "awaitPromise": true, "returnByValue": true});
        let answer = self.cdp("Runtime.evaluate", &call);
        assert!(answer["exceptionDetails"].is_null(), "{}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }
}
