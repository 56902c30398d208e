//! kill -9 in every state of a compaction: the next one finishes, nothing is lost, nothing comes twice, and what was deleted
//! is gone in the end.

use std::{os::unix::process::ExitStatusExt, path::Path, sync::Arc};

use crate::support::{
    Client, Random, Server,
    data::{check_passes, files, holds, segments},
    load::{Pace, World},
};

/// Replaced segments go at once.
const SETTINGS: [&str; 3] = ["data.segment=1MiB", "data.keep_replaced_s=0", "chat.message_chars_max=16384"];
const PACE: Pace = Pace { senders: 4, padding: 3000 };
const CANARY: &str = "zyzzyva";
const KILLED: i32 = 9;

/// A moment in a compaction: the process is killed as it enters this call about this file.
struct State {
    /// What has happened by then.
    what: &'static str,
    /// A file of the journal, or the journal itself.
    file: &'static str,
    call: &'static str,
    /// At which of these calls.
    at: u32,
    /// Files of the journal that are there afterwards, and such as are not.
    there: &'static [&'static str],
    gone: &'static [&'static str],
}

const OLD: [&str; 3] = ["0000000001.000.journal", "0000000002.000.journal", "0000000003.000.journal"];
const NEW: [&str; 3] = ["0000000001.001.journal", "0000000002.001.journal", "0000000003.001.journal"];

/// In the order in which a compaction comes to them: each goes on where the one before it was killed.
const STATES: [State; 9] = [
    State {
        what: "a new segment has its name",
        file: NEW[0],
        call: "fallocate",
        at: 1,
        there: &[OLD[0], NEW[0]],
        gone: &[NEW[1]],
    },
    State { what: "it has its room", file: NEW[0], call: "pwrite64", at: 1, there: &[OLD[0], NEW[0]], gone: &[NEW[1]] },
    State {
        what: "it has its header",
        file: NEW[0],
        call: "pwrite64",
        at: 2,
        there: &[OLD[0], NEW[0]],
        gone: &[NEW[1]],
    },
    State { what: "it has its changes", file: NEW[0], call: "fsync", at: 2, there: &[OLD[0], NEW[0]], gone: &[NEW[1]] },
    State { what: "they are synced", file: NEW[0], call: "pwrite64", at: 3, there: &[OLD[0], NEW[0]], gone: &[NEW[1]] },
    State { what: "it is complete", file: NEW[0], call: "fsync", at: 3, there: &[OLD[0], NEW[0]], gone: &[NEW[1]] },
    State {
        what: "the next is written",
        file: NEW[1],
        call: "pwrite64",
        at: 2,
        there: &[OLD[1], NEW[0], NEW[1]],
        gone: &[NEW[2]],
    },
    State {
        what: "all are complete",
        file: OLD[0],
        call: "unlink",
        at: 1,
        there: &[OLD[1], OLD[2], NEW[0], NEW[1], NEW[2]],
        gone: &[],
    },
    State {
        what: "one is removed",
        file: OLD[1],
        call: "unlink",
        at: 1,
        there: &[OLD[2], NEW[0], NEW[1], NEW[2]],
        gone: &[OLD[0]],
    },
];

/// A server that is killed when it comes to `state`.
fn doomed(server: &Server, state: &State) -> Server {
    let file = server.data.join("journal").join(state.file).display().to_string();
    let (trace, kill) =
        (format!("trace={}", state.call), format!("inject={}:signal=KILL:when={}", state.call, state.at));
    // `-D`: the server stays the test's child.
    let words = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &kill, "-P", &file];
    Server::try_start(server.dir(), server.data.clone(), &SETTINGS, &words).unwrap_or_else(|log| panic!("{log:?}"))
}

fn names(data: &Path) -> Vec<String> {
    segments(data).iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

fn with_the_canary(data: &Path) -> Vec<String> {
    files(data).iter().filter(|path| holds(path, CANARY)).map(|path| path.display().to_string()).collect()
}

#[test]
fn p1_a_compaction_that_is_killed_in_any_of_its_states_is_finished_by_the_next() {
    let mut server = Server::start(&SETTINGS);
    let world = World::new(&server, 2, 2);
    let (mut other, _) = server.user("other");
    let deleted = other.session();
    let load = world.send(server.address, PACE, &mut Random::seeded("compaction"));
    while segments(&server.data).len() < 4 {
        // Something to be rid of in each segment.
        other.say(&deleted, &format!("{CANARY} {}", "gone ".repeat(100)));
        assert!(world.wait_for_more(&load, 8));
    }
    load.stop();
    other.delete(&format!("/api/v1/sessions/{deleted}")).expect(204);
    assert!(server.stop().success());
    for old in OLD {
        assert!(holds(&server.data.join("journal").join(old), CANARY), "{old} has nothing to be rid of");
    }
    let sent = world.snapshot();
    for state in &STATES {
        let State { what, there, gone, .. } = state;
        server = doomed(&server, state);
        let compacted = server.command(&["compact"], "");
        assert_eq!(server.wait().signal(), Some(KILLED), "{what}: {}{}", compacted.out, compacted.err);
        let names = names(&server.data);
        assert!(there.iter().all(|name| names.iter().any(|known| known == name)), "{what}: {names:?}");
        assert!(!gone.iter().any(|name| names.iter().any(|known| known == name)), "{what}: {names:?}");
        assert!(!with_the_canary(&server.data.join("journal")).is_empty(), "{what}: there is nothing left to do");
        check_passes(&server.data);
        server = server.restart(&SETTINGS);
        world.compare(server.address, &sent);
        let mut other = Client::with_token(server.address, other.token.as_ref().unwrap());
        other.get(&format!("/api/v1/sessions/{deleted}/messages")).expect(403);
        server.kill();
        check_passes(&server.data);
    }
    // And nobody kills it.
    server = server.restart(&SETTINGS);
    server.command(&["compact"], "").ok();
    assert!(server.stop().success());
    assert_eq!(with_the_canary(&server.data.join("journal")), Vec::<String>::new());
    let names = names(&server.data);
    assert_eq!(
        names.iter().map(|name| &name[..10]).collect::<std::collections::BTreeSet<_>>().len(),
        names.len(),
        "{names:?}"
    );
    check_passes(&server.data);
    // The index is made anew by the next start: the words have gone from it too.
    let mut server = server.restart(&SETTINGS);
    assert_eq!(with_the_canary(&server.data), Vec::<String>::new());
    world.compare(server.address, &sent);
    server.kill();
    check_passes(&server.data);
    let server = Server::start_in(Arc::clone(&server.dir()), server.data.clone(), &SETTINGS);
    world.compare(server.address, &sent);
    server.is_calm();
}
