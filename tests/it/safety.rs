//! Talk of self-harm in front of a model: the helplines come first, whatever the model says, and also where it fails.

use crate::support::{Server, stub::Stub, text};

const DANGER: &str = "I want to kill myself";

#[test]
fn whoever_is_in_danger_gets_the_helplines_before_the_models_words_and_without_them() {
    let stub = Stub::start();
    let url = format!("reply.openai.base_url={}", stub.base_url());
    for (fallback, failing) in [("none", "stopped"), ("companion", "complete")] {
        let server = Server::start(&["reply.backend=openai", &url, &format!("reply.fallback={fallback}")]);
        let (mut amina, _) = server.user("amina");
        let session = amina.session();
        let calm = amina.say(&session, "[[say]] a calm word");
        assert_eq!(calm["reply"]["content"], "a calm word");

        let said = amina.say(&session, &format!("[[say]] {DANGER}"));
        let content = text(&said["reply"]["content"]);
        let (helplines, words) = content.rsplit_once("\n\n").unwrap();
        assert!(helplines.contains("findahelpline.com"), "{content}");
        assert_eq!((words, &said["reply"]["status"]), (DANGER, &serde_json::json!("complete")));

        for bad in ["status 500", "errormid"] {
            let said = amina.say(&session, &format!("[[{bad}]] {DANGER}"));
            let content = text(&said["reply"]["content"]);
            assert!(content.starts_with(helplines), "{content}");
            let status = if bad == "errormid" { "stopped" } else { failing };
            assert_eq!(said["reply"]["status"], status, "{bad}, fallback {fallback}: {content}");
        }
    }
}
