//! Which server is asked, and when.

use super::*;
use crate::{
    config::Fallback,
    reply::{Backend, BackendError, Budget, UpstreamState},
};

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/v1", listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_failure_before_any_text_is_mended_by_a_second_try() {
    for first in [(status("500 x"), Then::Close), (vec![], Then::Reset), (events(DONE), Then::Close)] {
        let stub = Stub::start([first, (good("hi"), Then::Close)]).await;
        assert_eq!(ask(&openai(&config(&stub.url))).await, (Ok(()), "hi".to_owned()));
        assert_eq!(stub.asked(), 2);
    }
}

#[tokio::test]
async fn white_space_of_a_try_that_said_nothing_is_forgotten() {
    let stub = Stub::start([(open_events(&delta("\\n\\n")), Then::Close), (good("hi"), Then::Close)]).await;
    assert_eq!(ask(&openai(&config(&stub.url))).await.1, "hi");
}

#[tokio::test]
async fn the_next_server_is_asked_with_its_own_model_where_the_first_fails() {
    for first in ["500 x", "429 x", "404 x", "400 x"] {
        let failing = Stub::start([(status(first), Then::Close)]).await;
        let other = Stub::start([(good("hi"), Then::Close)]).await;
        let mut config = config(&failing.url);
        config.third = upstream(&other.url);
        assert_eq!(ask(&openai(&config)).await, (Ok(()), "hi".to_owned()), "{first}");
        assert_eq!((failing.asked(), other.asked()), (1, 1));
        assert!(other.asked.lock().unwrap()[0].contains("\"model\":\"other\""));
    }
    let other = Stub::start([(good("hi"), Then::Close)]).await;
    let mut config = config(&nobody().await);
    config.second = upstream(&other.url);
    assert_eq!(ask(&openai(&config)).await.1, "hi");
}

#[tokio::test]
async fn a_server_that_fails_five_times_is_left_alone() {
    let stub = Stub::start([(status("401 x"), Then::Close)]).await;
    let asking = openai(&config(&stub.url));
    for _ in 0..5 {
        assert_eq!(asking.states(), [UpstreamState::Closed]);
        assert!(ask(&asking).await.0.unwrap_err().detail.contains("tell the operator"));
    }
    assert_eq!(asking.states(), [UpstreamState::Open]);
    let error = ask(&asking).await.0.unwrap_err();
    assert!(error.detail.contains("is not answering; please try again in 2 seconds"), "{error:?}");
    assert_eq!(stub.asked(), 5);
}

#[tokio::test]
async fn conversations_that_a_server_does_not_take_do_not_close_it_for_others() {
    let stub = Stub::start([(status("422 x"), Then::Close)]).await;
    let asking = openai(&config(&stub.url));
    for _ in 0..9 {
        assert!(ask(&asking).await.0.unwrap_err().detail.contains("does not take"));
    }
    assert_eq!((asking.states(), stub.asked()), (vec![UpstreamState::Closed], 9));
}

#[tokio::test]
async fn a_busy_server_is_left_alone_for_as_long_as_it_says() {
    let busy = answer("429 x", "retry-after: 30", "");
    let stub = Stub::start([(busy, Then::Close)]).await;
    let asking = openai(&config(&stub.url));
    let error = ask(&asking).await.0.unwrap_err();
    assert!(error.is_overload() && error.detail.contains("busy; please try again in 30 seconds"), "{error:?}");
    let error = ask(&asking).await.0.unwrap_err();
    assert!(error.detail.contains("in 30 seconds"), "{error:?}");
    assert_eq!(stub.asked(), 1);
}

#[tokio::test]
async fn retries_stay_within_a_tenth_of_the_first_tries() {
    let stub = Stub::start([(events(DONE), Then::Close)]).await; // A failure that no breaker counts.
    let asking = openai(&config(&stub.url));
    for _ in 0..100 {
        ask(&asking).await.0.unwrap_err();
    }
    assert_eq!(stub.asked(), 100 + 10 + 9, "ten saved up, and one for each ten; what is full takes no more");
}

#[tokio::test]
async fn a_reply_that_is_dropped_leaves_the_servers_place_for_the_next() {
    let stub = Stub::start([(vec![], Then::Hold), (good("hi"), Then::Close)]).await;
    let asking = openai(&config(&stub.url));
    tokio::select! {
        biased;
        _ = ask(&asking) => panic!("nothing ends it"),
        () = async {
            while stub.asked() == 0 {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    assert_eq!(asking.states(), [UpstreamState::Closed]);
    assert_eq!(ask(&asking).await.1, "hi");
}

#[tokio::test]
async fn the_companion_stands_in_and_says_so_in_the_users_language() {
    let mut config = config(&nobody().await);
    config.fallback = Fallback::Companion;
    let backend = Backend::new(&config).unwrap();
    for (said, label) in [("I am sad today", "(The model can't be reached"), ("আমার মন খারাপ", "(এই মুহূর্তে")]
    {
        let mut text = String::new();
        let mut sink = |piece: &str| {
            text.push_str(piece);
            ControlFlow::Continue(())
        };
        let lines = [Line { role: Role::User, text: said, name: None }];
        backend.reply(plain(&lines), &mut sink).await.unwrap();
        let (first, rest) = text.split_once("\n\n").unwrap();
        assert!(first.starts_with(label) && !rest.is_empty(), "{text}");
    }
}

#[tokio::test]
async fn the_companion_does_not_go_on_where_a_model_broke_off() {
    let stub = Stub::start([(open_events(&delta("hi")), Then::Reset)]).await;
    let mut config = config(&stub.url);
    config.fallback = Fallback::Companion;
    let mut text = String::new();
    let mut sink = |piece: &str| {
        text.push_str(piece);
        ControlFlow::Continue(())
    };
    let ended = Backend::new(&config).unwrap().reply(plain(&LINES), &mut sink).await;
    assert!(ended.unwrap_err().detail.contains("broke off") && text == "hi");
}

#[tokio::test]
async fn a_backend_tells_its_model_and_its_room() {
    let mut config = config("http://127.0.0.1:1/v1");
    let backend = Backend::new(&config).unwrap();
    assert_eq!((backend.model(), backend.budget()), ("llama3.2", Budget::Tokens(4096 - 1024)));
    assert!(backend.system().contains("findahelpline.com"));
    for (context, reply, room) in [(4096, 0, 3072), (1024, 1000, 256)] {
        (config.openai.context_tokens, config.openai.max_tokens) = (context, reply);
        assert_eq!(Backend::new(&config).unwrap().budget(), Budget::Tokens(room));
    }
}

#[tokio::test]
async fn what_an_operator_has_to_mend_is_named() {
    let mut config = config("https://127.0.0.1:1/v1");
    config.second = UpstreamConfig { api_key_file: Some("/nowhere/key".into()), ..upstream("http://127.0.0.1:1") };
    config.openai.upstream.ca_file = Some(env!("CARGO_MANIFEST_DIR").into());
    let told = |config: &ReplyConfig| Backend::new(config).err().unwrap();
    assert!(matches!(told(&config), BackendError::Client { table, .. } if table == "reply.openai"));
    config.openai.upstream.ca_file = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/localhost.pem").into());
    assert!(told(&config).to_string().starts_with("reply.second.api_key_file: /nowhere/key: "));
}
