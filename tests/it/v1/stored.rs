//! Chat completions that are stored.

use serde_json::{Value, json};

use super::{piece, refused};
use crate::support::{Server, list, model::asking, stub::Stub, text};

const PATH: &str = "/v1/chat/completions";

fn asked(texts: &[(&str, &str)], metadata: &Value) -> Value {
    let messages: Vec<_> = texts.iter().map(|(role, content)| json!({"role": role, "content": content})).collect();
    json!({"model": "any", "messages": messages, "store": true, "metadata": metadata})
}

#[test]
fn a_stored_completion_is_read_changed_and_deleted() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let body =
        asked(&[("system", "be kind"), ("user", "one"), ("assistant", "two"), ("user", "three")], &json!({"k": "v"}));
    let made = amina.post(PATH, &body).expect(200).json();
    assert_eq!(made["choices"][0]["message"]["content"], "echo: three");
    assert_eq!((&made["metadata"], &made["usage"]["total_tokens"]), (&json!({"k": "v"}), &json!(18)));
    assert_eq!(stub.seen()[0].body["messages"], body["messages"], "the model is asked exactly what came");
    let path = format!("{PATH}/{}", text(&made["id"]));
    assert_eq!(amina.get(&path).expect(200).json(), made);
    let changed = amina.post(&path, &json!({"metadata": {"k": "w"}})).expect(200).json();
    assert_eq!(changed["metadata"], json!({"k": "w"}));
    assert_eq!(amina.get(&path).expect(200).json(), changed);
    let messages = amina.get(&format!("{path}/messages")).expect(200).json();
    let texts: Vec<_> = list(&messages["data"]).iter().map(|one| (text(&one["role"]), text(&one["content"]))).collect();
    let wanted = [("system", "be kind"), ("user", "one"), ("assistant", "two"), ("user", "three")];
    assert_eq!(texts, wanted.map(|(role, content)| (role.to_owned(), content.to_owned())));
    assert_eq!(
        list(&amina.get(&format!("{path}/messages?limit=2&order=desc")).expect(200).json()["data"])[0]["content"],
        "three"
    );
    assert_eq!(
        amina.delete(&path).expect(200).json(),
        json!({"id": made["id"], "object": "chat.completion.deleted", "deleted": true})
    );
    assert_eq!(refused(&amina.get(&path), 404).2, "not_found");
    server.is_calm();
}

#[test]
fn a_stored_stream_is_a_stream_and_stored() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let mut body = asked(&[("user", "[[length]] one two three four")], &json!({}));
    body["stream"] = json!(true);
    let mut events = amina.post_events(PATH, &body);
    let chunks: Vec<_> = std::iter::from_fn(|| events.next()).collect();
    assert!(events.is_whole);
    assert_eq!(chunks.iter().map(piece).collect::<String>(), "one two three four");
    let kept = amina.get(&format!("{PATH}/{}", text(&chunks[0].data["id"]))).expect(200).json();
    let choice = &kept["choices"][0];
    assert_eq!(
        (&choice["message"]["content"], &choice["finish_reason"]),
        (&json!("one two three four"), &json!("length"))
    );
}

#[test]
fn stored_completions_are_listed_by_pages_and_by_what_is_kept_with_them() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let mut ids = Vec::new();
    for n in 0..5 {
        let metadata = json!({"odd": if n % 2 == 1 { "yes" } else { "no" }});
        ids.push(text(&amina.post(PATH, &asked(&[("user", "hello")], &metadata)).expect(200).json()["id"]));
    }
    amina.post(PATH, &json!({"messages": [{"role": "user", "content": "passing"}]})).expect(200);
    amina.post("/v1/responses", &json!({"input": "of another kind"})).expect(200);
    let (mut after, mut seen) = (String::new(), Vec::new());
    loop {
        let page = amina.get(&format!("{PATH}?limit=2{after}")).expect(200).json();
        seen.extend(list(&page["data"]).iter().map(|one| text(&one["id"])));
        if page["has_more"] == false {
            break;
        }
        after = format!("&after={}", text(&page["last_id"]));
    }
    assert_eq!(seen, ids);
    let odd = amina.get(&format!("{PATH}?metadata[odd]=yes")).expect(200).json();
    let odd: Vec<_> = list(&odd["data"]).iter().map(|one| text(&one["id"])).collect();
    assert_eq!(odd, [ids[1].clone(), ids[3].clone()]);
    assert_eq!(amina.get(&format!("{PATH}?model=gpt-4o")).expect(200).json()["data"], json!([]));
    let newest = amina.get(&format!("{PATH}?order=desc&limit=3")).expect(200).json();
    let rest = amina.get(&format!("{PATH}?order=desc&after={}", text(&newest["last_id"]))).expect(200).json();
    let down: Vec<_> =
        [&newest, &rest].iter().flat_map(|page| list(&page["data"])).map(|one| text(&one["id"])).collect();
    assert_eq!(down, ids.iter().rev().cloned().collect::<Vec<_>>());
    // One that stands behind many others that are not asked for, and a page that ends with it.
    for _ in 0..40 {
        amina.post(PATH, &asked(&[("user", "hello")], &json!({"odd": "no"}))).expect(200);
    }
    let rare = amina.post(PATH, &asked(&[("user", "hello")], &json!({"odd": "rare"}))).expect(200).json();
    let page = amina.get(&format!("{PATH}?metadata[odd]=rare&limit=1")).expect(200).json();
    assert_eq!((&page["first_id"], &page["has_more"]), (&rare["id"], &json!(false)));
}
