//! What an answer comes to.

use super::*;

/// Asks a server that always does the same, and gives how often it was asked as well.
async fn outcome(said: Vec<u8>, then: Then) -> (Result<(), ReplyError>, String, usize) {
    let mut stub = Stub::start([(said, then)]).await;
    let (ended, text) = ask(&openai(&config(&stub.url))).await;
    if matches!(then, Then::Hold) {
        stub.closed.recv().await.unwrap(); // The client does not wait for a server that never ends.
    }
    (ended, text, stub.asked())
}

#[tokio::test]
async fn the_request_is_what_every_server_knows() {
    let mut stub = Stub::start([(good("hi"), Then::Close)]).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "sk-1\n").unwrap();
    let mut config = config(&stub.url);
    config.openai.upstream.api_key_file = Some(file.path().into());
    "Be kind.".clone_into(&mut config.system_prompt);
    let asking = openai(&config);
    assert_eq!(ask(&asking).await.1, "hi");
    let mut sink = |_: &str| ControlFlow::Continue(());
    let prompt = Prompt { instructions: Instructions::Own("Be short."), ..plain(&LINES[..1]) };
    asking.reply(prompt, &mut sink).await.unwrap();
    let asked = stub.asked.lock().unwrap().clone();
    let wanted = "{\"model\":\"llama3.2\",\"messages\":[{\"role\":\"system\",\"content\":\"Be kind.\"},\
                  {\"role\":\"user\",\"content\":\"hello\"},{\"role\":\"assistant\",\"content\":\"hi\"},\
                  {\"role\":\"user\",\"content\":\"canary আমি\"}],\"stream\":true,\
                  \"stream_options\":{\"include_usage\":true},\"max_tokens\":1024}";
    assert!(
        asked[0].starts_with("POST /v1/chat/completions HTTP/1.1\r\n") && asked[0].ends_with(wanted),
        "{}",
        asked[0]
    );
    assert!(asked[0].contains("\r\nauthorization: Bearer sk-1\r\n"), "{}", asked[0]);
    assert!(asked[1].contains("Be short.") && !asked[1].contains("Be kind."), "{}", asked[1]);
    config.openai.max_tokens = 0;
    ask(&openai(&config)).await.0.unwrap();
    assert!(!stub.asked.lock().unwrap()[2].contains("max_tokens"));
    assert!(stub.closed.try_recv().is_err());
}

/// A stream whose every byte is a chunk of its own.
fn byte_by_byte(body: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n{STREAM}\r\n\r\n");
    let chunks = body.bytes().flat_map(|byte| [b'1', b'\r', b'\n', byte, b'\r', b'\n']);
    head.into_bytes().into_iter().chain(chunks).chain(*b"0\r\n\r\n").collect()
}

#[tokio::test]
async fn answers_that_are_whole() {
    let hi = delta("hi");
    let chunked =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{STREAM}\r\n\r\n{:x}\r\n{hi}\r\n0\r\n\r\n", hi.len());
    let whole = r#"{"choices":[{"message":{"content":"আমি 🙂"},"finish_reason":"stop"}]}"#;
    let finish = "data: {\"choices\":[{\"delta\":{\"content\":\"!\"},\"finish_reason\":\"stop\"}]}\n\n";
    for (said, then, text) in [
        (good("আমি 🙂"), Then::Close, "আমি 🙂"),
        (events(&hi), Then::Close, "hi"),
        (chunked.into_bytes(), Then::Close, "hi"),
        (byte_by_byte(&format!("{}{}{DONE}", delta("আমি "), delta("🙂🏽"))), Then::Close, "আমি 🙂🏽"),
        (open_events(&format!("{hi}{DONE}")), Then::Hold, "hi"),
        (open_events(&format!("{hi}{finish}")), Then::Close, "hi!"),
        (open_events(&format!("{hi}{finish}")), Then::Reset, "hi!"),
        (open_events(&format!("{hi}{finish}")), Then::Hold, "hi!"),
        (answer("200 OK", JSON, whole), Then::Close, "আমি 🙂"),
    ] {
        let shown = String::from_utf8_lossy(&said).into_owned();
        let (ended, heard, asked) = outcome(said, then).await;
        assert_eq!((ended, heard.as_str(), asked), (Ok(()), text, 1), "{shown}");
    }
}

#[tokio::test]
async fn answers_that_are_none_fail_and_are_asked_for_once_more_while_there_is_no_text() {
    let page = "content-type: text/html";
    let gzip = "content-type: text/event-stream\r\ncontent-encoding: gzip";
    let error = "data: {\"error\":{\"message\":\"canary\"}}\n\n";
    let cut_off = format!("HTTP/1.1 200 OK\r\n{JSON}\r\ncontent-length: 99\r\n\r\n{{");
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(200));
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(200 << 10));
    for (said, then, asked, detail) in [
        (vec![], Then::Close, 2, "broke off"),
        (vec![], Then::Reset, 2, "broke off"),
        (b"SSH-2.0-OpenSSH\r\n".to_vec(), Then::Close, 2, "broke off"),
        (many.into_bytes(), Then::Close, 2, "broke off"),
        (long.into_bytes(), Then::Close, 2, "broke off"),
        (open_events(""), Then::Close, 2, "broke off"),
        (open_events(": ping\n\n"), Then::Reset, 2, "broke off"),
        (cut_off.into_bytes(), Then::Close, 2, "broke off"),
        (events(error), Then::Close, 2, "failed"),
        (answer("200 OK", JSON, r#"{"error":"canary"}"#), Then::Close, 2, "failed"),
        (answer("200 OK", JSON, "canary"), Then::Close, 2, "failed"),
        (answer("200 OK", JSON, &format!("\"{}\"", "x".repeat(2 << 20))), Then::Close, 2, "failed"),
        (answer("200 OK", page, "<html>canary</html>"), Then::Close, 2, "failed"),
        (answer("200 OK", gzip, "canary"), Then::Close, 2, "failed"),
        (answer("200 OK", "x: y", "canary"), Then::Close, 2, "failed"),
        (answer("204 No Content", JSON, ""), Then::Close, 2, "failed"),
        (events(&format!("data: {}\n\n", "x".repeat(2 << 20))), Then::Close, 2, "failed"),
        (events(DONE), Then::Close, 2, "nothing usable"),
        (answer("200 OK", JSON, r#"{"choices":[{"message":{"content":null}}]}"#), Then::Close, 2, "nothing usable"),
        (status("500 canary"), Then::Close, 2, "failed"),
        (status("503 canary"), Then::Close, 2, "busy"),
        (status("400 canary"), Then::Close, 1, "does not take"),
        (status("401 canary"), Then::Close, 1, "tell the operator"),
        (status("404 canary"), Then::Close, 1, "tell the operator"),
        (events(&format!("{}{error}", delta("hi"))), Then::Close, 1, "failed"),
        (open_events(&delta("hi")), Then::Close, 1, "broke off"),
        (open_events(&delta("hi")), Then::Reset, 1, "broke off"),
    ] {
        let shown = String::from_utf8_lossy(&said[..said.len().min(300)]).into_owned();
        let (ended, text, times) = outcome(said, then).await;
        let error = ended.unwrap_err();
        assert!(error.detail.contains(detail) && times == asked, "{shown}: {times} {error:?}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        assert!(!error.is_too_slow() && error.is_overload() == detail.contains("busy"), "{error:?}");
        assert_eq!(text, if shown.contains("\"hi\"") { "hi" } else { "" });
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_key_goes_nowhere_else() {
    let trap = Stub::start([(good("trapped"), Then::Close)]).await;
    let to = format!("location: {}/chat/completions", trap.url);
    let stub = Stub::start([(answer("307 Temporary Redirect", &to, ""), Then::Close)]).await;
    let (ended, text) = ask(&openai(&config(&stub.url))).await;
    assert!(ended.is_err() && text.is_empty());
    assert_eq!((stub.asked(), trap.asked()), (2, 0));
}

#[tokio::test]
async fn dropping_a_reply_closes_the_servers_connection() {
    for (said, has_text) in [(vec![], false), (open_events(": ping\n\n"), false), (open_events(&delta("hi")), true)] {
        let mut stub = Stub::start([(said, Then::Hold)]).await;
        let asking = openai(&config(&stub.url));
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut sink = |_: &str| {
            tell.send(()).unwrap();
            ControlFlow::Continue(())
        };
        let asked = Arc::clone(&stub.asked);
        let enough = async {
            if has_text {
                told.recv().await.unwrap();
            }
            while asked.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            ended = asking.reply(plain(&LINES), &mut sink) => panic!("{ended:?}"),
            () = enough => {}
        }
        stub.closed.recv().await.unwrap();
        assert_eq!(stub.asked(), 1);
    }
}

#[tokio::test]
async fn enough_text_ends_a_reply_well_and_closes_the_connection() {
    let mut stub = Stub::start([(open_events(&delta("hi")), Then::Hold)]).await;
    let asking = openai(&config(&stub.url));
    let mut sink = |_: &str| ControlFlow::Break(());
    asking.reply(plain(&LINES), &mut sink).await.unwrap();
    stub.closed.recv().await.unwrap();
}

#[tokio::test]
async fn a_slow_server_is_not_asked_again_and_its_connection_is_closed() {
    let thought = "data: {\"choices\":[{\"delta\":{\"reasoning\":\"hm\"}}]}\n\n";
    let never = Duration::from_hours(1);
    let pings = ": ping\n\n".repeat(3);
    // Long enough for a busy machine to get as far as the wait; all wait at once.
    let soon = Duration::from_secs(1);
    let mut waits = tokio::task::JoinSet::new();
    for (said, first, token, total, wanted) in [
        (vec![], soon, never, never, ""),
        (vec![], never, never, soon, ""),
        (open_events(&pings), soon, never, never, ""),
        (open_events(&delta("")), soon, never, never, ""),
        (open_events(thought), never, soon, never, ""),
        (open_events(&format!("{}{pings}", delta("hi"))), never, soon, never, "hi"),
        (open_events(&delta("hi")), never, never, soon, "hi"),
        (format!("HTTP/1.1 200 OK\r\n{JSON}\r\ncontent-length: 9\r\n\r\n{{").into_bytes(), soon, never, never, ""),
    ] {
        waits.spawn(async move {
            let mut stub = Stub::start([(said, Then::Hold)]).await;
            let mut config = config(&stub.url);
            config.openai.first_token_timeout = first;
            config.openai.token_timeout = token;
            config.openai.total_timeout = total;
            let (ended, text) = ask(&openai(&config)).await;
            let error = ended.unwrap_err();
            assert!(error.is_too_slow() && error.is_overload() && error.detail.contains("too long"), "{error:?}");
            assert_eq!((text.as_str(), stub.asked()), (wanted, 1));
            stub.closed.recv().await.unwrap();
        });
    }
    while let Some(ended) = waits.join_next().await {
        ended.unwrap();
    }
}
