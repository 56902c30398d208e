use std::{
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::pool::Pool;

fn requests() -> Vec<ControlRequest> {
    let (username, password) = ("আমিনা".to_owned(), Secret("correct \"horse\"\n".to_owned()));
    vec![
        ControlRequest::Ping {},
        ControlRequest::UserAdd {
            username: username.clone(),
            password: password.clone(),
            display_name: None,
            role: Role::Admin,
            tier: Tier::Premium,
        },
        ControlRequest::UserList { after: Some(UserId::new()) },
        ControlRequest::UserPasswd { username: username.clone(), password },
        ControlRequest::UserRole { username: username.clone(), role: Role::User },
        ControlRequest::UserTier { username: username.clone(), tier: Tier::Unlimited },
        ControlRequest::UserDisable { username: username.clone() },
        ControlRequest::UserEnable { username: username.clone() },
        ControlRequest::UserDelete { username: username.clone() },
        ControlRequest::UserKeys { username: username.clone() },
        ControlRequest::UserRevoke { username, id: TokenId::new() },
        ControlRequest::UserInvite {},
        ControlRequest::Compact {},
    ]
}

/// A server that answers each request with what it understood.
fn echo(dir: &Path, stop: &CancellationToken) -> tokio::task::JoinHandle<()> {
    let perform = |request| async move { ControlAnswer::Refused { reason: format!("{request:?}") } };
    tokio::spawn(serve(bind(dir).unwrap(), perform, stop.clone()))
}

#[tokio::test]
async fn every_request_reaches_the_server_as_it_was_meant() {
    let (dir, stop, pool) =
        (tempfile::tempdir().unwrap(), CancellationToken::new(), Pool::start("test", 1, 1).unwrap());
    let server = echo(dir.path(), &stop);
    for request in requests() {
        let (dir, asked) = (dir.path().to_owned(), request.clone());
        let answer = pool.run(move || ask(&dir, &asked)).await.unwrap().unwrap();
        assert_eq!(answer, ControlAnswer::Refused { reason: format!("{request:?}") });
        assert!(!format!("{request:?}").contains("horse"));
        let line = serde_json::to_string(&request).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<ControlRequest>(&line).unwrap(), request);
    }
    stop.cancel();
    server.await.unwrap();
}

#[tokio::test]
async fn the_socket_is_the_owners_alone_and_replaces_a_stale_one() {
    let (dir, stop) = (tempfile::tempdir().unwrap(), CancellationToken::new());
    drop(bind(dir.path()).unwrap()); // The file stays behind, as after a crash.
    assert!(matches!(ask(dir.path(), &ControlRequest::Ping {}), Err(ControlError::NobodyThere(_))));
    let server = echo(dir.path(), &stop);
    let mode = std::fs::metadata(dir.path().join(SOCKET)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    stop.cancel();
    server.await.unwrap();
}

#[test]
fn without_a_directory_nobody_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let asked = ask(&dir.path().join("none"), &ControlRequest::Ping {});
    assert!(matches!(asked, Err(ControlError::NobodyThere(_))));
}

#[tokio::test]
async fn a_request_that_is_too_long_or_none_is_refused_without_repeating_it() {
    let (dir, stop, pool) =
        (tempfile::tempdir().unwrap(), CancellationToken::new(), Pool::start("test", 1, 1).unwrap());
    let server = echo(dir.path(), &stop);
    let long = vec![b' '; usize::try_from(REQUEST_MAX).unwrap() + 1];
    let unknown = b"{\"request\":\"user_passwd\",\"username\":\"a\",\"password\":{\"canary\":1}}\n".to_vec();
    let too_long = format!("over {REQUEST_MAX} bytes");
    for (sent, reason) in [(long, too_long.as_str()), (unknown, "does not know this request")] {
        let path = socket(dir.path());
        let answer = pool.run(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.write_all(&sent).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let answer = answer.await.unwrap();
        assert!(answer.contains(reason) && !answer.contains("canary"), "{answer}");
    }
    stop.cancel();
    server.await.unwrap();
}
