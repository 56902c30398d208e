//! Slots for replies in front of a slow model: who gets the next one.

use crate::support::{
    Server,
    model::{asking, until},
    stub::Stub,
};

/// The messages that the stub was asked to answer, in order.
fn asked(stub: &Stub) -> Vec<String> {
    let last = |body: &serde_json::Value| body["messages"].as_array().unwrap().last().unwrap()["content"].clone();
    stub.seen().iter().map(|seen| last(&seen.body).as_str().unwrap().to_owned()).collect()
}

fn waiting(server: &Server, count: u64) {
    until("so many turns wait for a slot", || {
        (server.client().get("/ready").json()["parts"]["replies"]["waiting"] == count).then_some(())
    });
}

#[test]
fn p6_a_session_that_is_never_quiet_does_not_keep_its_slot() {
    let stub = Stub::start();
    let settings = ["concurrency.min=1", "concurrency.max=1", "concurrency.queue_timeout_ms=60000"];
    let server = asking(&stub, &settings);
    let (mut amina, _) = server.user("amina");
    let (mut bela, _) = server.user("bela");
    let (of_amina, of_bela) = (amina.session(), bela.session());
    let first = amina.begin_say(&of_amina, "[[gate a]] one");
    stub.wait_until(|stub| stub.replying() == 1);
    let second = amina.begin_say(&of_amina, "[[say]] two");
    until("the second is stored", || (amina.page(&of_amina, "")["head"] == 2).then_some(()));
    let other = bela.begin_say(&of_bela, "[[gate b]] other");
    waiting(&server, 1);
    // Now that somebody waits, a third one could not be answered in time.
    let refused = amina.try_say(&of_amina, "three").expect(503);
    assert!(refused.header("retry-after").is_some());
    assert_eq!(amina.page(&of_amina, "")["head"], 2, "what was refused is not stored");

    stub.release("a");
    first.join().unwrap().expect(201);
    waiting(&server, 1); // The second one, which has given the slot to the other user.
    stub.release("b");
    other.join().unwrap().expect(201);
    second.join().unwrap().expect(201);
    assert_eq!(asked(&stub), ["[[gate a]] one", "[[gate b]] other", "[[say]] two"]);
    server.is_idle();
}
