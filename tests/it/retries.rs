//! Turns that are answered anew, again and again: what the page, the index and the journal make of them.

use serde_json::{Value, json};

use crate::support::{Client, Server, at_once, data::check_passes, each, text};

fn retry(client: &mut Client, session: &str, seq: u64) -> Value {
    client.post(&format!("/api/v1/sessions/{session}/messages/{seq}/retry"), &json!({})).expect(201).json()
}

#[test]
fn every_new_reply_replaces_the_last_one_in_the_page_after_a_rebuild_and_after_compaction() {
    let mut server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let (session, doomed) = (amina.session(), amina.session());
    amina.say(&doomed, "to be deleted, so that the segment is worth rewriting");
    amina.say(&session, "I lost my umbrella");
    amina.say(&session, "It is raining");
    for n in 0..3 {
        let answer = retry(&mut amina, &session, 1);
        assert_eq!((&answer["reply"]["seq"], &answer["message"]["status"]), (&json!(5 + n), &json!("answered")));
    }
    retry(&mut amina, &session, 3);
    let page = amina.page(&session, "");
    let wanted =
        ["answered", "superseded", "answered", "superseded", "superseded", "superseded", "complete", "complete"];
    assert_eq!(each(&page["messages"], "status"), wanted);
    let history = amina.history(&format!("?session_id={session}"));
    let newest = [&page["messages"][6], &page["messages"][7]];
    for (pair, reply) in history["messages"].as_array().unwrap().iter().zip(newest) {
        assert_eq!((&pair["response"], &pair["id"]), (&reply["content"], &reply["id"]));
    }
    amina.delete(&format!("/api/v1/sessions/{doomed}")).expect(204);

    for step in ["restart", "rebuild", "compaction", "rebuild after it"] {
        if step == "compaction" {
            let data = server.data.to_str().unwrap().to_owned();
            let done = crate::support::data::bondhu(&["compact", "--data-dir", &data]);
            assert!(done.status.success(), "{}", text(&json!(String::from_utf8_lossy(&done.stderr))));
        }
        server.stop();
        check_passes(&server.data);
        if step.starts_with("rebuild") {
            std::fs::remove_dir_all(server.data.join("index")).unwrap();
        }
        server = server.restart(&[]);
        let mut amina = amina.another_tab(&server);
        assert_eq!(amina.page(&session, ""), page, "{step}");
        assert_eq!(amina.history(&format!("?session_id={session}")), history, "{step}");
    }
}

#[test]
fn p2_many_retries_and_sends_at_once_leave_one_order_and_no_slot_taken() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    amina.say(&session, "I lost my umbrella");
    let statuses = at_once(24, |n| {
        let mut tab = amina.another_tab(&server);
        let path = format!("/api/v1/sessions/{session}/messages");
        let path = if n % 3 == 0 { path } else { format!("{path}/1/retry") };
        tab.post(&path, &json!({"content": "and my hat"})).status
    });
    for (n, status) in statuses.iter().enumerate() {
        assert!(*status == 201 || (*status == 409 && n % 3 > 0), "{n}: {status}");
    }
    amina.say(&session, "It is raining");
    let page = amina.page(&session, "?limit=200");
    let first = page["messages"].as_array().unwrap().iter().filter(|message| message["reply_to"] == 1);
    let standing: Vec<&Value> = first.map(|message| &message["status"]).collect();
    let (last, before) = standing.split_last().unwrap();
    assert!(*last == "complete" && before.iter().all(|status| *status == "superseded"), "{standing:?}");
    server.is_idle();
}
