//! What the system knows of this process and of the machine that it may use.
//!
//! Few lines of files of `/proc`, and calls; see ARCHITECTURE.md, Decisions, for why this is no crate's.

use std::{fs, io, path::Path, time::Duration};

use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

use crate::metrics::float;

/// What changes all the time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Process {
    /// Resident memory, bytes.
    pub(super) memory: u64,
    /// Threads.
    pub(super) threads: u64,
    /// Open descriptors.
    pub(super) descriptors: u64,
}

/// What stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Machine {
    /// Cores that the process may use.
    pub(super) cores: f64,
    /// Memory that the process may use, bytes: the machine's, or what its control group allows; 0 where nothing says.
    pub(super) memory: u64,
    /// Descriptors that may be open; nothing where there is no bound.
    pub(super) descriptors: Option<u64>,
}

impl Process {
    /// Reads it. Blocks, though nothing of it is on a disk.
    pub(super) fn read() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let odd = || io::Error::new(io::ErrorKind::InvalidData, "/proc/self/status is not understood");
        let kib = number_of(&status, "VmRSS:").ok_or_else(odd)?;
        let threads = number_of(&status, "Threads:").ok_or_else(odd)?;
        Ok(Self { memory: kib.saturating_mul(1024), threads, descriptors: descriptors()? })
    }
}

/// CPU time that the process has used. Asks the kernel's clock: that does not block.
pub(super) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The number behind `name` at the start of a line, without its unit.
fn number_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Linux 6.2 and later say the number as the directory's size; before that it is counted.
fn descriptors() -> io::Result<u64> {
    let directory = Path::new("/proc/self/fd");
    let size = fs::metadata(directory)?.len();
    if size > 0 { Ok(size) } else { Ok(fs::read_dir(directory)?.count() as u64) }
}

impl Machine {
    /// Reads it. Blocks, though nothing of it is on a disk.
    pub(super) fn read() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let all = fs::read_to_string("/proc/meminfo").ok().and_then(|text| number_of(&text, "MemTotal:"));
        let all = all.unwrap_or(0).saturating_mul(1024);
        let memory = group_limit().filter(|limit| all == 0 || *limit < all).unwrap_or(all);
        Self { cores: float(cores as u64), memory, descriptors: getrlimit(Resource::Nofile).current }
    }
}

/// The smallest bound of memory of the control groups that the process is in, bytes.
fn group_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    let own = root.join(own);
    let limits = own.ancestors().take_while(|group| group.starts_with(root));
    limits.filter_map(|group| fs::read_to_string(group.join("memory.max")).ok()?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_sees_itself() {
        let held: Vec<_> = (0..20).map(|_| fs::File::open("/proc/self/statm").unwrap()).collect();
        let process = Process::read().unwrap();
        assert!(process.memory > 1 << 20 && process.threads >= 1 && process.descriptors >= 20, "{process:?}");
        let machine = Machine::read();
        assert!(machine.cores >= 1.0 && machine.memory > process.memory, "{machine:?}");
        assert!(machine.descriptors.is_none_or(|most| most >= process.descriptors));
        let before = cpu_time();
        let mut sum = 0u64;
        while cpu_time() == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        drop(held);
    }

    #[test]
    fn a_number_is_found_by_its_name_alone() {
        let text = "Name:\tThreads: 7\nThreads:\t13\nVmRSS:\t    2048 kB\n";
        assert_eq!((number_of(text, "Threads:"), number_of(text, "VmRSS:")), (Some(13), Some(2048)));
        assert_eq!((number_of(text, "Name:"), number_of(text, "VmHWM:")), (None, None));
    }
}
