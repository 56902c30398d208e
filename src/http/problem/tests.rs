use http_body_util::BodyExt;
use hyper::{
    Response,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::Value;

use super::*;
use crate::{
    admission::rate::Charged,
    http::response::{ApiResponse, Body},
};

async fn json_of(problem: &Problem) -> (ApiResponse, Value) {
    let (parts, body) = problem.respond("00000000000000aa").into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(parts, Body::default()), serde_json::from_slice(&bytes).unwrap())
}

fn store(error: StoreError) -> Problem {
    Problem::from(ChatError::from(error))
}

#[tokio::test]
async fn a_problem_has_the_members_of_the_contract() {
    let session = SessionId::new();
    let message = MessageId::new();
    let failed = ChatError::Failed { session, message, detail: "No words came.".to_owned(), too_slow: true };
    let (response, json) = json_of(&Problem::from(failed)).await;
    assert_eq!(response.status(), 504);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    assert_eq!(
        json,
        serde_json::json!({
            "type": "urn:bondhu:problem:reply-too-slow", "title": "The reply took too long", "status": 504,
            "detail": "No words came.", "request_id": "00000000000000aa",
            "session_id": session.to_string(), "message_id": message.to_string(),
        })
    );
}

#[tokio::test]
async fn a_session_that_is_not_the_callers_always_gives_the_same_answer() {
    let (_, mine) = json_of(&store(StoreError::NotOwner(SessionId::new()))).await;
    let (_, other) = json_of(&Problem::from(ChatError::NotOwner(SessionId::new()))).await;
    let (_, malformed) = json_of(&Problem::not_owner()).await;
    assert_eq!((&mine, &mine), (&other, &malformed));
    assert_eq!(mine["status"], 403);
}

#[tokio::test]
async fn a_failure_of_ours_does_not_show_its_cause() {
    let problem = store(StoreError::Unreadable("page 7 of the index".into()));
    assert_eq!(problem.cause().map(ToString::to_string).unwrap(), "the index can't be read: page 7 of the index");
    let (response, json) = json_of(&problem).await;
    assert_eq!(response.status(), 500);
    assert!(!json.to_string().contains("index"), "{json}");
}

#[test]
fn every_wait_is_in_whole_seconds_rounded_up_and_never_nothing() {
    for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60)] {
        let problem = Problem::over_limit(OverLimit {
            what: Charged::Messages,
            per_minute: 30,
            retry_after: Duration::from_millis(millis),
        });
        let response = problem.respond("");
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[RETRY_AFTER], seconds.to_string(), "{millis} ms");
    }
}

#[test]
fn each_refusal_has_its_status_and_503_always_says_when_to_come_back() {
    let wait = Duration::from_secs(3);
    let cases: Vec<(Problem, u16)> = vec![
        (AuthError::RegistrationClosed.into(), 403),
        (AuthError::NoInvitation.into(), 403),
        (AuthError::NameTaken.into(), 409),
        (AuthError::WeakPassword("is too short".to_owned()).into(), 422),
        (AuthError::WrongCredentials { account: None }.into(), 401),
        (AuthError::NoIdentity.into(), 401),
        (AuthError::TooManyFailures { retry_after: wait }.into(), 429),
        (AuthError::Busy { retry_after: wait }.into(), 503),
        (AuthError::NotFound.into(), 404),
        (ChatError::Overloaded(Overloaded { retry_after: wait }).into(), 503),
        (ChatError::LineFull { retry_after: wait }.into(), 503),
        (ChatError::Stopping { retry_after: wait }.into(), 503),
        (store(StoreError::DiskFull), 503),
        (store(StoreError::Busy), 503),
        (store(StoreError::Ended), 503),
        (store(StoreError::Unknown), 500),
        (store(StoreError::KeyReused), 422),
        (store(StoreError::TurnGone), 409),
        (Problem::other_login(), 409),
    ];
    for (problem, status) in cases {
        let response = problem.respond("");
        assert_eq!(response.status(), status, "{}", problem.detail());
        let waits = response.headers().contains_key(RETRY_AFTER);
        assert_eq!(waits, matches!(status, 429 | 503), "{}", problem.detail());
        assert_eq!(response.headers().contains_key(WWW_AUTHENTICATE), status == 401);
    }
    assert_eq!(Problem::dead_token().respond("").headers()[WWW_AUTHENTICATE], "Bearer error=\"invalid_token\"");
    assert_eq!(Problem::no_identity().respond("").headers()[WWW_AUTHENTICATE], "Bearer");
}
