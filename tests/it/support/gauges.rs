//! What a server holds at the moment, as it says itself and as the system sees it.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::Server;

/// What is to become true does so within this.
const PATIENCE: Duration = Duration::from_mins(1);

impl Server {
    /// The parts of `/ready`.
    pub(crate) fn parts(&self) -> Value {
        self.client().get("/ready").expect(200).json()["parts"].clone()
    }

    /// Connections that its side has not closed.
    pub(crate) fn connections(&self) -> usize {
        let table = fs::read_to_string(format!("/proc/{}/net/tcp", self.pid())).unwrap();
        let ours = format!(":{:04X}", self.address.port());
        let is_open = |line: &&str| {
            let mut words = line.split_whitespace().skip(1);
            // Established, or closed by the client alone.
            words.next().is_some_and(|local| local.ends_with(&ours)) && matches!(words.nth(1), Some("01" | "08"))
        };
        table.lines().skip(1).filter(is_open).count()
    }

    /// Resident memory, KiB.
    pub(crate) fn memory_kib(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// CPU time that its threads with this name have used, in ticks of the system.
    pub(crate) fn ticks_of(&self, thread: &str) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let stats = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("stat")).ok());
        let ticks = |stat: String| {
            let (name, rest) = stat.split_once(") ")?;
            let fields: Vec<_> = rest.split(' ').collect();
            name.contains(thread).then(|| fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap())
        };
        stats.filter_map(ticks).sum()
    }

    /// Waits until it holds nothing for anybody: no turn, no slot, no stream, no connection.
    #[track_caller]
    pub(crate) fn settles(&self) {
        self.settles_but(0);
    }

    /// As [`Server::settles`], with so many connections of the test's own.
    #[track_caller]
    pub(crate) fn settles_but(&self, own: usize) {
        let begun = Instant::now();
        loop {
            let (parts, connections) = (self.parts(), self.connections());
            let replies = &parts["replies"];
            let held = [&replies["running"], &replies["held"], &replies["waiting"], &parts["streams"]];
            if held.iter().all(|count| **count == 0) && connections <= own {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "it still holds {parts} and {connections} connections");
            std::thread::yield_now();
        }
    }
}
