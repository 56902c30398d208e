//! What the server takes for its own: a directory of its own user, with nothing of others in it, and a place for backups that
//! is not within it.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::Path,
    process::Command,
    sync::Arc,
};

use tempfile::TempDir;

use crate::support::{
    Server,
    command::{Done, bondhu},
    data::{files, segments},
};

/// A user that runs no tests.
const NOBODY: u32 = 65534;

/// Starts a server that is not to come up; gives what it said.
#[track_caller]
fn no_start(dir: &Arc<TempDir>, data: &Path) -> String {
    match Server::try_start(Arc::clone(dir), data.to_owned(), &[], &[]) {
        Ok(_) => panic!("it serves {}", data.display()),
        Err(log) => log.join("\n"),
    }
}

#[test]
fn serve_leaves_the_directory_of_another_user_alone() {
    let mut server = Server::start(&[]);
    server.stop();
    // Only root gives a directory away.
    if chown(&server.data, Some(NOBODY), None).is_err() {
        return;
    }
    let before = files(&server.data);
    let said = no_start(&server.dir(), &server.data);
    for words in ["belongs to the user with the id 65534", "sudo -u '#65534'", "chown -R 0 "] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(files(&server.data), before);
    assert_eq!(server.data.metadata().unwrap().uid(), NOBODY);
}

/// Runs the program as another user than root, who this must be.
fn as_nobody(dir: &Path, arguments: &[&str]) -> Done {
    let program = dir.join("bondhu");
    let built = env!("CARGO_BIN_EXE_bondhu");
    fs::hard_link(built, &program).or_else(|_| fs::copy(built, &program).map(drop)).unwrap();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={NOBODY}"), "--clear-groups"]).arg(&program).args(arguments);
    let output = command.current_dir(dir).output().unwrap();
    let utf8 = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code().unwrap_or(-1), out: utf8(output.stdout), err: utf8(output.stderr) }
}

/// The program run by a user who may not read all that is in `data`.
fn run_without_rights(server: &Server) -> Done {
    let dir = server.dir();
    let segment = &segments(&server.data)[0];
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", server.data.to_str().unwrap()];
    if chown(&server.data, Some(NOBODY), None).is_err() {
        fs::set_permissions(segment, fs::Permissions::from_mode(0o000)).unwrap();
        return bondhu(dir.path(), &arguments, "");
    }
    // Root may read everything, so another user is to try; its own part of the directory is everything but one segment.
    let given = Command::new("chown").args(["-R", &NOBODY.to_string()]).arg(&server.data).status().unwrap();
    assert!(given.success());
    chown(segment, Some(0), None).unwrap();
    as_nobody(dir.path(), &arguments)
}

#[test]
fn who_runs_a_command_as_the_wrong_user_is_told_the_right_one() {
    let mut server = Server::start(&[]);
    server.stop();
    if server.data.metadata().unwrap().uid() != 0 {
        return; // Only root can be somebody else.
    }
    let done = as_nobody(server.dir().path(), &["user", "list", "--data-dir", server.data.to_str().unwrap()]);
    assert!(done.code == 2 && done.err.contains("sudo -u '#0'"), "{}", done.err);
}

#[test]
fn of_a_file_that_can_not_be_read_nothing_else_is_said() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("bondhu.toml")).unwrap();
    fs::write(dir.path().join("data"), "no directory, as the default would have it").unwrap();
    let done = bondhu(dir.path(), &["check-config"], "");
    assert_eq!((done.code, done.err.lines().count()), (2, 1), "{}", done.err);
    assert!(done.err.contains("bondhu.toml: can't be read"), "{}", done.err);
}

#[test]
fn check_config_tells_of_a_place_for_backups_that_is_not_there_and_refuses_a_webhook_that_is_never_posted_to() {
    let dir = tempfile::tempdir().unwrap();
    let missing = format!("backup.dir={}/nowhere", dir.path().display());
    let done = bondhu(dir.path(), &["check-config", "-O", &missing], "");
    assert!(done.code == 0 && done.err.contains("nowhere\" is not there"), "{}", done.err);
    for url in ["http://169.254.169.254/hook", "http://[fd00:ec2::254]/hook"] {
        let done = bondhu(dir.path(), &["check-config", "-O", &format!("alerts.webhook_url={url}")], "");
        assert!(done.code == 2 && done.err.contains("link-local or metadata address"), "{}", done.err);
    }
}

#[test]
fn who_names_the_folder_above_the_backups_is_told_the_newest_one() {
    let server = Server::start(&[]);
    let backups = server.dir().path().join("backups");
    let set = format!("backup.dir={}", backups.display());
    server.command(&["backup", "-O", &set], "").ok();
    let newest = fs::read_dir(&backups).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    let (folder, into) = (backups.to_str().unwrap(), server.dir().path().join("new"));
    for command in [&["check", folder][..], &["restore", folder, "--into", into.to_str().unwrap()]] {
        let done = bondhu(server.dir().path(), command, "");
        assert!(done.code == 1 && done.err.contains(newest.to_str().unwrap()), "{command:?}: {}", done.err);
    }
    assert!(!into.exists());
    let done = bondhu(server.dir().path(), &["healthcheck", "--url", "https://127.0.0.1/health"], "");
    assert!(done.code == 2 && done.err.contains("--socket"), "{}", done.err);
}

#[test]
fn files_that_another_user_left_in_the_directory_are_told_with_what_gives_them_back() {
    let mut server = Server::start(&[]);
    server.stop();
    let done = run_without_rights(&server);
    let owner = server.data.metadata().unwrap().uid();
    assert_eq!(done.code, 1, "{}", done.err);
    let remedy = format!("chown -R {owner} {}", server.data.display());
    assert!(done.err.contains("Permission denied") && done.err.contains(&remedy), "{}", done.err);
}

#[test]
fn serve_takes_over_no_directory_that_holds_something_else() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let of_others = dir.path().join("safe");
    let of_backups = dir.path().join("backups");
    fs::create_dir_all(&of_others).unwrap();
    fs::create_dir_all(of_backups.join("2026-11-29T214501Z")).unwrap();
    fs::write(of_others.join("precious.txt"), "hi").unwrap();
    for (taken, name) in [(&of_others, "precious.txt"), (&of_backups, "2026-11-29T214501Z")] {
        fs::set_permissions(taken, fs::Permissions::from_mode(0o755)).unwrap();
        let before = fs::read_dir(taken).unwrap().count();
        let shown = taken.to_str().unwrap();
        let said = no_start(&dir, taken);
        assert!(said.contains(name) && said.contains("no data directory"), "{said}");
        for command in [&["check-config"][..], &["user", "list"]] {
            let done = bondhu(dir.path(), &[command, &["--data-dir", shown]].concat(), "");
            assert_eq!(done.code, 2, "{command:?}: {}", done.err);
            assert!(done.err.contains(name) && done.err.contains("no data directory"), "{command:?}: {}", done.err);
        }
        assert_eq!(taken.metadata().unwrap().mode() & 0o777, 0o755);
        assert_eq!(fs::read_dir(taken).unwrap().count(), before);
    }
}

#[test]
fn a_fresh_file_system_and_what_a_start_that_was_cut_off_left_are_taken() {
    for rests in [&["lost+found", ".keep"][..], &["LOCK"], &["monitor"]] {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        for rest in rests {
            match *rest {
                "lost+found" => fs::create_dir(data.join(rest)).unwrap(),
                rest => fs::write(data.join(rest), "").unwrap(),
            }
        }
        Server::start_in(dir, data, &[]).client().get("/ready").expect(200);
    }
}

#[test]
fn backups_stand_outside_of_what_they_are_of() {
    let server = Server::start(&[]);
    let (root, data) = (server.dir(), server.data.to_str().unwrap());
    let alias = root.path().join("alias");
    symlink(&server.data, &alias).unwrap();
    let within =
        [data.to_owned(), format!("{data}/bk"), format!("{data}/../data/a/b"), format!("{}/bk", alias.display())];
    for place in &within {
        let set = format!("backup.dir={place}");
        for command in [&["check-config", "-O", &set][..], &["backup", "-O", &set]] {
            let done = server.command(command, "");
            assert_eq!(done.code, 2, "{command:?}: {}", done.err);
            assert!(done.err.contains("backup.dir must be outside of data.dir"), "{command:?}: {}", done.err);
        }
        let done = server.command(&["backup", place], "");
        assert_eq!(done.code, 1, "{place}");
        assert!(done.err.contains("is within the data directory"), "{place}: {}", done.err);
    }
    assert!(
        !server.data.join("bk").exists() && !server.data.join("bk.partial").exists() && !server.data.join("a").exists()
    );
    // A name that only begins the same is another place.
    let beside = format!("{data}-backups");
    server.command(&["check-config", "-O", &format!("backup.dir={beside}")], "").ok();
    server.command(&["backup", &beside], "").ok();
}

#[test]
fn a_start_that_can_not_listen_leaves_no_directory() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let done = bondhu(dir.path(), &["serve", "--listen", &address, "--data-dir", "new"], "");
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(done.err.contains("is in use by another program"), "{}", done.err);
    assert!(!dir.path().join("new").exists());
}
