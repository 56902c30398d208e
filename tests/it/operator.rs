//! Accounts from the command line: the same words and the same effect through the running server and without one.

use std::os::unix::fs::chown;

use serde_json::json;

use crate::support::{Client, PASSWORD, Server, command::Done, model::asking, stub::Stub};

/// A user that runs no tests.
const NOBODY: u32 = 65534;

/// Runs commands on a data directory while its server runs, or while none does.
struct Desk {
    /// Always there, but for the moment of a restart.
    server: Option<Server>,
    /// True where it runs now.
    up: bool,
    /// True where it is to run while commands do.
    running: bool,
}

impl Desk {
    fn new(running: bool) -> Self {
        Self { server: Some(Server::start(&[])), up: true, running }
    }

    fn run(&mut self, arguments: &[&str], input: &str) -> Done {
        let server = self.server.as_mut().unwrap();
        if self.up && !self.running {
            server.stop();
            self.up = false;
        }
        server.command(arguments, input)
    }

    /// A client of the server, which is started where it does not run.
    fn client(&mut self) -> Client {
        if !self.up {
            self.server = self.server.take().map(|server| server.restart(&[]));
            self.up = true;
        }
        self.server.as_ref().unwrap().client()
    }
}

fn login(client: &mut Client, name: &str, password: &str) -> u16 {
    let answer = client.post("/api/v1/auth/login", &json!({"username": name, "password": password}));
    if answer.status == 200 {
        client.token = answer.json()["token"].as_str().map(str::to_owned);
    }
    answer.status
}

const ALICE: [&str; 9] =
    ["user", "add", "Alice", "--admin", "--tier", "premium", "--display-name", "Alice\u{1b}[2J", "--password-file=-"];

#[test]
fn what_commands_change_of_accounts_is_in_the_log_of_the_server() {
    let server = Server::start(&[]);
    let (_, amina) = server.user("amina");
    let changes = [
        (&["user", "role", "amina", "admin"][..], "an account was made an administrator's"),
        (&["user", "role", "amina", "user"], "an account was made a user's"),
        (&["user", "tier", "amina", "premium"], "an account's tier was set"),
        (&["user", "passwd", "amina", "--password-file=-"], "a password was reset"),
        (&["user", "disable", "amina"], "an account was shut"),
        (&["user", "enable", "amina"], "an account was opened"),
        (&["user", "delete", "amina", "--yes"], "an account was deleted"),
    ];
    for (words, said) in changes {
        server.command(words, "seven green umbrellas\n").ok();
        let log = server.settled_log();
        let is_it = |line: &&String| line.contains(said) && line.contains("by=\"command\"") && line.contains(&amina);
        assert_eq!(log.iter().filter(is_it).count(), 1, "{said}: {log:?}");
    }
    server.command(&["user", "disable", "nobody"], "");
    let log = server.settled_log();
    assert_eq!(log.iter().filter(|line| line.contains("an account was shut")).count(), 1, "what failed is no change");
}

#[test]
fn accounts_are_added_and_listed_with_and_without_a_running_server() {
    for running in [true, false] {
        let mut desk = Desk::new(running);
        let added = desk.run(&ALICE, &format!("{PASSWORD}\nignored\n")).ok();
        let words: Vec<_> = added.split_whitespace().collect();
        assert_eq!((words[0], &words[2..5]), ("Alice", &["admin", "premium", "active"][..]));
        assert!(!added.contains('\u{1b}'), "a name can't act on the terminal");
        desk.run(&["user", "add", "bob", "--password-file", "-"], PASSWORD).ok();
        let faults = [("ALICE", PASSWORD, "taken"), ("a b", PASSWORD, "letters"), ("carol", "short", "12 characters")];
        for (name, password, fault) in faults {
            let refused = desk.run(&["user", "add", name, "--password-file", "-"], password);
            assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{name}");
            assert!(refused.err.contains(fault) && !refused.err.contains(PASSWORD), "{}", refused.err);
        }
        let listed = desk.run(&["user", "list"], "").ok();
        let names: Vec<_> = listed.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(names, ["Alice", "bob"], "oldest first");

        let mut client = desk.client();
        assert_eq!(login(&mut client, "alice", PASSWORD), 200);
        let me = client.get("/api/v1/auth/me").expect(200).json()["user"].clone();
        let wanted = [json!("admin"), json!("premium"), json!("Alice\u{1b}[2J")];
        assert_eq!(["role", "tier", "display_name"].map(|field| me[field].clone()), wanted);
    }
}

#[test]
fn accounts_are_changed_and_shut_with_and_without_a_running_server() {
    for running in [true, false] {
        let mut desk = Desk::new(running);
        desk.run(&ALICE, PASSWORD).ok();
        desk.run(&["user", "add", "bob", "--password-file", "-"], PASSWORD).ok();
        let mut client = desk.client();
        assert_eq!(login(&mut client, "alice", PASSWORD), 200);
        let token = client.token.unwrap();

        let changed = desk.run(&["user", "role", "alice", "user"], "").ok();
        assert!(changed.contains(" user  premium   active "), "{changed}");
        desk.run(&["user", "tier", "alice", "unlimited"], "").ok();
        desk.run(&["user", "disable", "bob"], "").ok();
        for command in [["tier", "nobody", "free"], ["role", "nobody", "admin"]] {
            let refused = desk.run(&[&["user"], &command[..]].concat(), "");
            assert_eq!(refused.code, 1, "{command:?}");
            assert!(!refused.err.is_empty() && !refused.err.contains("panicked"));
        }
        assert_eq!(desk.run(&["user", "disable", "nobody"], "").code, 1);
        assert_eq!(desk.run(&["user", "tier", "alice", "gold"], "").code, 2);

        let mut client = desk.client();
        assert_eq!(login(&mut client, "bob", PASSWORD), 401);
        client.token = Some(token.clone());
        let me = client.get("/api/v1/auth/me").expect(200).json()["user"].clone();
        assert_eq!((&me["role"], &me["tier"]), (&json!("user"), &json!("unlimited")));
        desk.run(&["user", "enable", "bob"], "").ok();
        desk.run(&["user", "passwd", "alice", "--password-file", "-"], "seven green umbrellas\n").ok();

        let mut client = desk.client();
        client.token = Some(token);
        assert_eq!(client.get("/api/v1/auth/me").status, 401, "a new password ends every login");
        client.token = None;
        assert_eq!(login(&mut client, "alice", PASSWORD), 401);
        assert_eq!(login(&mut client, "alice", "seven green umbrellas"), 200);
        assert_eq!(login(&mut client, "bob", PASSWORD), 200);
    }
}

#[test]
fn an_account_is_deleted_for_good_and_not_by_a_slip() {
    for running in [true, false] {
        let mut desk = Desk::new(running);
        desk.run(&ALICE, PASSWORD).ok();
        desk.run(&["user", "add", "bob", "--password-file", "-"], PASSWORD).ok();
        let asked = desk.run(&["user", "delete", "bob"], "bob\n");
        assert_eq!(asked.code, 2, "nobody is there to be asked");
        assert!(asked.err.contains("--yes"), "{}", asked.err);
        assert_eq!(desk.run(&["user", "delete", "nobody", "--yes"], "").code, 1);
        desk.run(&["user", "delete", "Bob", "--yes"], "").ok();
        assert_eq!(desk.run(&["user", "delete", "bob", "--yes"], "").code, 1, "it is gone");
        assert_eq!(desk.run(&["user", "list"], "").ok().lines().count(), 1);
        let mut client = desk.client();
        assert_eq!(login(&mut client, "bob", PASSWORD), 401);
        assert_eq!(login(&mut client, "alice", PASSWORD), 200);
        desk.run(&["user", "add", "bob", "--password-file", "-"], PASSWORD).ok();
    }
}

#[test]
fn a_password_comes_from_a_file_or_a_terminal_and_never_from_an_argument() {
    let server = Server::start(&[]);
    let file = server.dir().path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    server.command(&["user", "add", "alice", "--password-file", &file.display().to_string()], "").ok();
    let mut client = server.client();
    assert_eq!(login(&mut client, "alice", PASSWORD), 200);
    let asked = server.command(&["user", "add", "bob"], PASSWORD);
    assert_eq!(asked.code, 2);
    assert!(asked.err.contains("--password-file"), "{}", asked.err);
    assert_eq!(server.command(&["user", "add", "bob", "--password-file", "-"], "\n").code, 1);
    assert_eq!(server.command(&["user", "add", "bob", "--password-file", "/no/such/file"], "").code, 1);
    assert_eq!(server.command(&["user", "add", "bob", "--password", PASSWORD], "").code, 2);
    assert_eq!(server.command(&["user", "list"], "").ok().lines().count(), 1);
}

#[test]
fn the_first_account_may_be_made_before_the_first_start_and_nothing_else_makes_a_directory() {
    let mut server = Server::start(&[]);
    server.stop();
    let dir = server.dir();
    let run = |arguments: &[&str], input: &str| crate::support::command::bondhu(dir.path(), arguments, input);
    for command in [&["user", "list"][..], &["user", "tier", "alice", "free"], &["compact"]] {
        let done = run(&[command, &["--data-dir", "new"]].concat(), "");
        assert_eq!(done.code, 1);
        assert!(done.err.contains("there is no data directory new"), "{}", done.err);
    }
    assert!(!dir.path().join("new").exists());
    let made = run(&["user", "add", "alice", "--admin", "--password-file", "-", "--data-dir", "new"], PASSWORD);
    let told = format!("{} was not there, and was made", dir.path().join("new").display());
    assert!(made.err.contains(&told), "{}", made.err);
    made.ok();
    let server = Server::start_in(server.dir(), dir.path().join("new"), &[]);
    let mut client = server.client();
    assert_eq!(login(&mut client, "alice", PASSWORD), 200);
    assert_eq!(client.get("/api/v1/auth/me").expect(200).json()["user"]["role"], "admin");
}

#[test]
fn no_command_writes_into_the_directory_of_another_user() {
    let mut server = Server::start(&[]);
    server.add_admin("alice");
    server.stop();
    // Root gives the directory away; anybody else finds one that is root's.
    let foreign = if chown(&server.data, Some(NOBODY), None).is_ok() { server.data.clone() } else { "/etc".into() };
    let owner = std::os::unix::fs::MetadataExt::uid(&foreign.metadata().unwrap());
    let before = crate::support::data::files(&foreign).len();
    for command in [&["user", "list"][..], &["compact"], &["jobs", "list"], &["backup", "-O", "backup.dir=/nowhere"]] {
        let words = [command, &["--data-dir", foreign.to_str().unwrap()]].concat();
        let done = crate::support::command::bondhu(server.dir().path(), &words, "");
        assert!(done.code == 1 && done.err.contains(&format!("sudo -u '#{owner}'")), "{}{}", done.out, done.err);
    }
    assert_eq!(crate::support::data::files(&foreign).len(), before);
}

#[test]
fn many_accounts_are_listed_once_each_over_all_pages() {
    let server = Server::start(&[]);
    let names: Vec<_> = (0..230).map(|n| format!("user-{n:03}")).collect();
    crate::support::at_once(10, |n| {
        for name in names.iter().skip(n).step_by(10) {
            let account = json!({"username": name, "password": PASSWORD});
            server.client().post("/api/v1/auth/register", &account).expect(201);
        }
    });
    let listed = server.command(&["user", "list"], "").ok();
    let mut listed: Vec<_> = listed.lines().map(|line| line.split(' ').next().unwrap()).collect();
    listed.sort_unstable();
    assert_eq!(listed, names);
}

#[test]
fn the_replies_of_an_account_that_is_deleted_end_with_it() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let _waits = amina.say_and_leave(&session, "[[tokens 100000 20]]");
    stub.wait_until(|stub| stub.replying() == 1);
    server.command(&["user", "delete", "Amina", "--yes"], "").ok();
    stub.wait_until(|stub| stub.replying() == 0);
}
