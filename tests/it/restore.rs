//! `bondhu restore`: a data directory that is whole, or none.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    copy::holds_all,
    support::{
        Random, Server,
        command::Done,
        data::{copy, files, segments},
        load::{Pace, Sent, World},
    },
};

const SMALL: [&str; 1] = ["data.segment=1MiB"];

/// A server with something said on it, and its backup.
struct Fixture {
    server: Server,
    world: World,
    before: Vec<Sent>,
    backup: PathBuf,
    new: PathBuf,
}

impl Fixture {
    fn new(sends: usize) -> Self {
        let server = Server::start(&SMALL);
        let world = World::new(&server, 2, 3);
        let load = world.send(server.address, Pace { senders: 8, padding: 300 }, &mut Random::seeded("restore"));
        assert!(world.wait_for_more(&load, sends));
        load.stop();
        let backup = server.dir().path().join("backup");
        server.command(&["backup", backup.to_str().unwrap()], "").ok();
        let new = server.dir().path().join("new");
        Self { before: world.snapshot(), world, server, backup, new }
    }

    fn restore(&self, from: &Path) -> Done {
        let words = ["restore", from.to_str().unwrap(), "--into", self.new.to_str().unwrap()];
        crate::support::command::bondhu(self.server.dir().path(), &words, "")
    }

    /// Wants it to be refused with these words, and nothing to be there.
    fn refused(&self, from: &Path, words: &[&str]) {
        let done = self.restore(from);
        assert_eq!(done.code, 1, "{words:?}: {}", done.out);
        for word in words {
            assert!(done.err.contains(word), "{word:?} is not in: {}", done.err);
        }
        assert!(done.err.contains("nothing was restored"), "{}", done.err);
        assert!(!self.new.exists() && !self.new.with_extension("partial").exists(), "{words:?}");
    }
}

#[test]
fn what_is_restored_is_told_and_starts() {
    let fixture = Fixture::new(300);
    let said = fixture.restore(&fixture.backup).ok();
    let messages = 2 * fixture.before.len();
    for line in
        ["users       2", "sessions    6", &format!("messages    {messages}"), "made        20", "last one    20"]
    {
        assert!(said.contains(line), "{line:?} is not in: {said}");
    }
    let links = |dir: &Path| std::os::unix::fs::MetadataExt::nlink(&segments(dir)[0].metadata().unwrap());
    assert_eq!(links(&fixture.new), 1, "it shares nothing with the backup");
    holds_all(&fixture.server, &fixture.new, &fixture.world, &fixture.before);
    let again = fixture.restore(&fixture.backup);
    assert!(again.code == 1 && again.err.contains("is there and not empty"), "{}", again.err);
}

#[test]
fn what_root_restores_belongs_to_whom_the_place_belongs_to_or_the_backup() {
    let fixture = Fixture::new(20);
    let owner = |dir: &Path| {
        let all = files(dir).into_iter().chain([dir.to_owned()]);
        let owners = all.map(|path| std::os::unix::fs::MetadataExt::uid(&path.metadata().unwrap()));
        owners.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    let own = owner(&fixture.backup);
    // Only root can give anything away, and this is about root.
    if std::os::unix::fs::chown(&fixture.backup, Some(65534), None).is_err() {
        fixture.restore(&fixture.backup).ok();
        assert_eq!(owner(&fixture.new), own);
        return;
    }
    fixture.restore(&fixture.backup).ok();
    assert_eq!(owner(&fixture.new), [65534], "as the backup does");
    std::fs::remove_dir_all(&fixture.new).unwrap();
    std::fs::create_dir(&fixture.new).unwrap();
    std::os::unix::fs::chown(&fixture.new, Some(65533), None).unwrap();
    fixture.restore(&fixture.backup).ok();
    assert_eq!(owner(&fixture.new), [65533], "as the place does");
}

#[test]
fn a_plain_copy_is_restored_and_said_to_be_one() {
    let fixture = Fixture::new(100);
    let plain = fixture.server.dir().path().join("plain");
    copy(&fixture.server.data, &plain);
    std::fs::create_dir(&fixture.new).unwrap(); // An empty directory is no obstacle.
    let done = fixture.restore(&plain);
    assert!(done.err.contains("no backup.json"), "{}", done.err);
    done.ok();
    assert!(!fixture.new.join("index").exists());
    holds_all(&fixture.server, &fixture.new, &fixture.world, &fixture.before);
}

#[test]
fn damage_is_refused_by_name_and_leaves_nothing() {
    let fixture = Fixture::new(1200);
    let paths = segments(&fixture.backup);
    assert!(paths.len() >= 2);
    for path in [&paths[0], &paths[paths.len() - 1]] {
        let whole = std::fs::read(path).unwrap();
        let name = path.to_str().unwrap();
        let mut flipped = whole.clone();
        let at = whole.len() / 2;
        flipped[at] ^= 1;
        std::fs::write(path, &flipped).unwrap();
        fixture.refused(&fixture.backup, &[name, "SHA-256"]);
        std::fs::write(path, &whole[..at]).unwrap();
        fixture.refused(&fixture.backup, &[name, "bytes, and backup.json says"]);
        std::fs::remove_file(path).unwrap();
        fixture.refused(&fixture.backup, &[name, "is missing"]);
        std::fs::write(path, &whole).unwrap();
    }
    let extra = fixture.backup.join("journal/0000009999.000.journal");
    std::fs::copy(&paths[0], &extra).unwrap();
    fixture.refused(&fixture.backup, &[extra.to_str().unwrap(), "not in backup.json"]);
    std::fs::remove_file(&extra).unwrap();

    let manifest = fixture.backup.join("backup.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replacen("\"format\": 1", "\"format\": 7", 1)).unwrap();
    fixture.refused(&fixture.backup, &["newer bondhu (format 7"]);
    std::fs::write(&manifest, "{").unwrap();
    fixture.refused(&fixture.backup, &["backup.json", "can't be read"]);
    std::fs::write(&manifest, text.replacen("0000000001.000", "../LOCK", 1)).unwrap();
    fixture.refused(&fixture.backup, &["which is no segment"]);

    // Without the manifest there are still the journal's own checksums, and its own format.
    std::fs::remove_file(&manifest).unwrap();
    let whole = std::fs::read(&paths[0]).unwrap();
    let mut flipped = whole.clone();
    flipped[200] ^= 1;
    std::fs::write(&paths[0], &flipped).unwrap();
    let place = format!("{} at offset ", paths[0].display());
    fixture.refused(&fixture.backup, &["does not pass the check", &place]);
    let mut newer = whole.clone();
    newer[8] = 99;
    let checksum = crc32fast::hash(&newer[..60]);
    newer[60..64].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(&paths[0], &newer).unwrap();
    fixture.refused(&fixture.backup, &["written by a newer bondhu (format 99"]);
    std::fs::write(&paths[0], &whole).unwrap();
    fixture.refused(&fixture.server.data.join("journal"), &["is no backup"]);
    fixture.restore(&fixture.backup).ok();
}

#[test]
fn a_restore_that_is_killed_anywhere_leaves_none_or_a_whole_one() {
    let fixture = Fixture::new(1500);
    let mut random = Random::seeded("restore");
    let start = Instant::now();
    fixture.restore(&fixture.backup).ok();
    let takes = u64::try_from(start.elapsed().as_micros()).unwrap();
    std::fs::remove_dir_all(&fixture.new).unwrap();
    let (mut whole, mut begun) = (0, 0);
    for _ in 0..16 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bondhu"));
        command.arg("restore").arg(&fixture.backup).arg("--into").arg(&fixture.new);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (_tell, told) = std::sync::mpsc::channel::<()>();
        let _ = told.recv_timeout(Duration::from_micros(takes * random.below(400) as u64 / 400)); // Only time passes.
        let _ = child.kill();
        child.wait().unwrap();
        begun += usize::from(fixture.new.with_extension("partial").exists());
        if fixture.new.exists() {
            whole += 1;
            crate::support::data::check_passes(&fixture.new);
            assert_eq!(files(&fixture.new.join("journal")).len(), segments(&fixture.backup).len());
            std::fs::remove_dir_all(&fixture.new).unwrap();
        }
    }
    eprintln!("restore: 16 killed, {whole} of them after the end, {begun} in the middle");
    assert!(begun > 0, "no kill hit one in the middle");
    fixture.restore(&fixture.backup).ok();
    assert!(!fixture.new.with_extension("partial").exists(), "what was begun is gone");
    holds_all(&fixture.server, &fixture.new, &fixture.world, &fixture.before);
}
