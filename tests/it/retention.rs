//! `retention_days` from outside: what is old enough goes from everywhere, what is newer stays, and sequences go on.

use std::{fmt::Write as _, path::Path, time::Duration};

use bondhu::{
    clock::{Clock, Timestamp},
    store::{NewJob, Repeat},
};
use serde_json::{Value, json};

use crate::{
    jobs::with_store,
    support::{
        Client, Server, comes_true,
        data::{check_passes, files, holds},
        list, text,
    },
};

const KEEPS: [&str; 3] = ["limits.free.retention_days=30", "limits.premium.retention_days=0", "data.keep_replaced_s=0"];
const DAY: Duration = Duration::from_hours(24);

/// Rows of the old system's table: turns of one user, so many days ago, each in a session.
fn table(path: &Path, user: &str, turns: &[(&str, u32, &str)]) {
    let now = Clock::System.now();
    let mut rows = "id,user_id,session_id,sender_type,message_text,timestamp,mood_detected\n".to_owned();
    for (n, (session, days, said)) in turns.iter().enumerate() {
        let before = i64::try_from((DAY * *days).as_micros()).unwrap();
        for (sender, after) in [("user", 0), ("ai", 1)] {
            let at = Timestamp(now.0 - before).after(Duration::from_secs(after));
            writeln!(rows, "{user}-{n}-{sender},{user},{session},{sender},{sender} {said},{at},").unwrap();
        }
    }
    std::fs::write(path, rows).unwrap();
}

/// Has retention be due, in a directory that no server uses: left to itself, it comes an hour after the first start.
fn retention_is_due(data: &Path) {
    with_store(data, async |store| {
        let (kind, key) = ("retention".to_owned(), "retention".to_owned());
        let due = Clock::System.now();
        let job = NewJob { kind, key, user: None, payload: String::new(), due, repeat: Repeat::Recurring };
        assert!(!store.enqueue(job).await.unwrap().is_new, "the server has one already");
    });
}

fn runs(server: &Server) -> u64 {
    server.figures().count("bondhu_jobs_done_total{kind=\"retention\"}")
}

/// The messages of a session: `seq content`.
fn shown(client: &mut Client, session: &str) -> Vec<String> {
    let page = client.page(session, "?limit=200");
    list(&page["messages"]).iter().map(|message| format!("{} {}", message["seq"], text(&message["content"]))).collect()
}

/// Everything that a user can be shown of all that they have said, in one text.
fn everything(client: &mut Client, sessions: &[String]) -> String {
    let mut all = String::new();
    for session in sessions {
        all += &client.get(&format!("/api/v1/sessions/{session}/messages?limit=200")).expect(200).text();
        all += &client.get(&format!("/api/v1/chat/history?session_id={session}&limit=200")).expect(200).text();
    }
    for path in ["/api/v1/chat/history?limit=200", "/api/v1/auth/export", "/api/v1/chat/search?q=walrus&limit=50"] {
        all += &client.get(path).expect(200).text();
    }
    all += &client.post("/api/v1/search", &json!({"text": "walrus", "limit": 50})).expect(200).text();
    all
}

#[test]
fn what_is_older_than_its_tier_keeps_goes_from_everywhere_and_sequences_go_on() {
    let mut server = Server::start(&KEEPS);
    let (mut amina, _) = server.user("amina");
    let (mut bela, _) = server.user("bela");
    server.command(&["user", "tier", "bela", "premium"], "").ok();
    let turns = [
        ("mixed", 400, "walrus of long ago"),
        ("mixed", 31, "walrus of thirty-one days"),
        ("mixed", 29, "walrus of twenty-nine days"),
        ("past", 90, "walrus all past"),
        ("again", 60, "walrus answered anew"),
    ];
    let file = |user: &str| server.dir().path().join(format!("{user}.csv"));
    for user in ["amina", "bela"] {
        let file = file(user);
        table(&file, user, &turns);
        let said = server.command(&["import", file.to_str().unwrap(), "--user", user], "").ok();
        assert!(said.contains("messages    10 added"), "{said}");
    }
    let listed = amina.get("/api/v1/sessions").expect(200).json();
    let sessions: Vec<String> = list(&listed["sessions"]).iter().map(|session| text(&session["id"])).collect();
    let of = |client: &mut Client, said: &str| {
        sessions.iter().find(|id| shown(client, id).iter().any(|line| line.contains(said))).unwrap().clone()
    };
    let (mixed, past, again) = (of(&mut amina, "long ago"), of(&mut amina, "all past"), of(&mut amina, "anew"));
    amina.say(&mixed, "walrus of today");
    // An old message whose reply is of today is a turn of today.
    amina.post(&format!("/api/v1/sessions/{again}/messages/1/retry"), &json!({})).expect(201);
    let (before, of_today) = (shown(&mut amina, &mixed), shown(&mut amina, &again));
    assert_eq!((before.len(), of_today.len()), (8, 3));
    let of_bela = everything_of(&mut bela);
    let file = file("amina");
    assert!(server.stop().success());
    retention_is_due(&server.data);

    let mut server = server.restart(&KEEPS);
    let mut amina = amina.another_tab(&server);
    let mut bela = bela.another_tab(&server);
    comes_true("retention has run", || runs(&server) == 1);
    let look = |amina: &mut Client| {
        assert_eq!(shown(amina, &mixed), before[4..], "what is newer stays where it is");
        assert_eq!(shown(amina, &past), Vec::<String>::new());
        assert_eq!(shown(amina, &again), of_today);
        let all = everything(amina, &sessions);
        for said in ["long ago", "thirty-one", "all past"] {
            assert!(!all.contains(said), "{said} is still shown");
        }
        for said in ["twenty-nine", "of today", "answered anew"] {
            assert!(all.contains(said), "{said} is gone");
        }
    };
    look(&mut amina);
    let exported = server.command(&["export", "--user", "amina"], "").ok();
    assert!(!exported.contains("long ago") && !exported.contains("all past") && exported.contains("twenty-nine"));
    assert_eq!(everything_of(&mut bela), of_bela, "another tier keeps all");
    // Sequences go on: behind what was cleared too.
    assert_eq!(amina.say(&past, "walrus of now")["message"]["seq"], 3);
    assert_eq!(amina.say(&mixed, "walrus of now")["message"]["seq"], 9);
    assert_eq!(amina.get(&format!("/api/v1/sessions/{mixed}/messages?after=0&limit=1")).expect(200).json()["head"], 10);

    // The same file brings nothing back, and a compaction takes the words from the disk.
    server.command(&["import", file.to_str().unwrap(), "--user", "amina"], "").ok();
    assert!(!everything(&mut amina, &sessions).contains("long ago"));
    server.command(&["user", "tier", "bela", "free"], "").ok();
    assert!(server.stop().success());
    retention_is_due(&server.data);
    let server = server.restart(&KEEPS);
    comes_true("retention has run again", || runs(&server) == 1);
    let mut bela = bela.another_tab(&server);
    assert!(!everything_of(&mut bela).contains("long ago"), "the tier that holds now counts");
    let mut server = gone_from_the_disk(server);
    let mut amina = amina.another_tab(&server);
    assert!(everything(&mut amina, &sessions).contains("twenty-nine"));
    server.is_calm();
    assert!(server.stop().success());
    check_passes(&server.data);
}

/// A compaction takes the words from the disk, and the next start from the index; gives the server that has started.
fn gone_from_the_disk(mut server: Server) -> Server {
    server.command(&["compact"], "").ok();
    assert!(server.stop().success());
    check_passes(&server.data);
    let server = server.restart(&KEEPS);
    let with_it: Vec<_> = files(&server.data).into_iter().filter(|path| holds(path, "walrus of long ago")).collect();
    assert_eq!(with_it, Vec::<std::path::PathBuf>::new());
    server
}

/// All that a user's own export has.
fn everything_of(client: &mut Client) -> String {
    let lines = client.get("/api/v1/auth/export").expect(200).text();
    let kept = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["type"] == "message" || line["type"] == "session");
    kept.map(|line| line.to_string()).collect()
}
