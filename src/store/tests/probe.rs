//! What stands between the store and its files in a test: it counts every operation, notes what it changes, and can have
//! one fail.

use std::{
    collections::{BTreeMap, HashMap},
    fmt, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::io::Errno;

use super::super::disk::Operation;
use crate::clock::{Clock, Timestamp};

/// What an operation is, without its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    MakeDir,
    List,
    Look,
    Permit,
    Create,
    Open,
    OpenOrCreate,
    Lock,
    Read,
    Write,
    Reserve,
    SetLen,
    SyncData,
    SyncAll,
    SyncDir,
    Remove,
    RemoveDir,
    Free,
}

/// Where it is done. Different threads work in different areas, so the operations of one come in the same order every time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Area {
    Top,
    Journal,
    Index,
}

/// The operations that there were.
pub(crate) type Counts = BTreeMap<(Kind, Area), usize>;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) area: Area,
    /// Which of these operations, from 1.
    pub(crate) number: usize,
    pub(crate) how: How,
    /// The disk stays as it is then.
    pub(crate) lasts: bool,
}

/// How it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Error(Errno),
    /// Half of the bytes are taken or given; then the rest fails, if it says how.
    Short(Option<Errno>),
}

/// A change that an operation made below the probe's root, or a sync, by path relative to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    MadeDir(PathBuf),
    Created(PathBuf),
    Removed(PathBuf),
    Wrote(PathBuf, u64, Vec<u8>),
    /// Grown with zeros to this length, where it was shorter.
    Reserved(PathBuf, u64),
    SetLen(PathBuf, u64),
    Synced(PathBuf),
    /// A sync failed: the system may take what was written for clean all the same.
    NotSynced(PathBuf),
    SyncedDir(PathBuf),
    /// The test began its deed of this number, or was told that it is done.
    Began(usize),
    Done(usize),
}

/// Called before each sync of a file.
pub(crate) type OnSync = Box<dyn Fn(&Path) + Send + Sync>;

pub(crate) struct Probe {
    root: PathBuf,
    clock: Clock,
    state: Mutex<State>,
    on_sync: Option<OnSync>,
}

#[derive(Default)]
struct State {
    counts: Counts,
    fault: Option<Fault>,
    /// The fault has happened.
    happened: bool,
    /// The next operation of this kind fails so: it is the rest of a short one.
    rest: Option<(Kind, Errno)>,
    events: Vec<Event>,
    births: HashMap<PathBuf, Timestamp>,
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Probe {
    /// Below `root`, files are born at the times of `clock`.
    pub(crate) fn new(root: &Path, clock: &Clock, births: HashMap<PathBuf, Timestamp>) -> Self {
        let state = Mutex::new(State { births, ..State::default() });
        Self { root: root.to_owned(), clock: clock.clone(), state, on_sync: None }
    }

    pub(crate) fn with_fault(self, fault: Fault) -> Self {
        self.state().fault = Some(fault);
        self
    }

    pub(crate) fn with_on_sync(mut self, on_sync: OnSync) -> Self {
        self.on_sync = Some(on_sync);
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does an operation, unless it is to fail.
    pub(crate) fn run<T>(
        &self,
        path: &Path,
        operation: Operation<'_>,
        work: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let kind = Kind::of(operation);
        if let (Some(on_sync), true) = (&self.on_sync, matches!(kind, Kind::SyncData | Kind::SyncAll)) {
            on_sync(path);
        }
        let failed = self.state().begin(kind, Area::of(path));
        let below = path.strip_prefix(&self.root).map(Path::to_owned).unwrap_or_default();
        if let Some(errno) = failed {
            if matches!(kind, Kind::SyncData | Kind::SyncAll) {
                self.state().events.push(Event::NotSynced(below));
            }
            return Err(errno.into());
        }
        let is_new = !path.exists();
        let done = work()?;
        let mut state = self.state();
        match operation {
            Operation::MakeDir if is_new => state.events.push(Event::MadeDir(below)),
            Operation::Create | Operation::OpenOrCreate if is_new => {
                state.births.insert(below.clone(), self.clock.now());
                state.events.push(Event::Created(below));
            }
            Operation::Write { offset, bytes } => state.events.push(Event::Wrote(below, offset, bytes.to_owned())),
            Operation::Reserve { length } => state.events.push(Event::Reserved(below, length)),
            Operation::SetLen { length } => state.events.push(Event::SetLen(below, length)),
            Operation::SyncData | Operation::SyncAll => {
                state.events.push(if path.is_dir() { Event::SyncedDir(below) } else { Event::Synced(below) });
            }
            Operation::SyncDir => state.events.push(Event::SyncedDir(below)),
            Operation::Remove => state.events.push(Event::Removed(below)),
            Operation::MakeDir
            | Operation::Create
            | Operation::OpenOrCreate
            | Operation::List
            | Operation::Look
            | Operation::Permit
            | Operation::Open
            | Operation::Lock
            | Operation::Read
            | Operation::RemoveDir
            | Operation::Free => {}
        }
        Ok(done)
    }

    /// How many of `length` bytes the write or read that comes next takes.
    pub(crate) fn at_once(&self, path: &Path, operation: Operation<'_>, length: usize) -> usize {
        let kind = Kind::of(operation);
        let mut state = self.state();
        let next = state.counts.get(&(kind, Area::of(path))).copied().unwrap_or(0) + 1;
        match state.fault {
            Some(Fault { kind: of, area, number, how: How::Short(then), .. })
                if (of, area, number) == (kind, Area::of(path), next) && length > 1 =>
            {
                state.rest = then.map(|errno| (kind, errno));
                length / 2
            }
            Some(_) | None => length,
        }
    }

    /// When the file was made, where that is known.
    pub(crate) fn born(&self, path: &Path) -> Option<Duration> {
        let born = *self.state().births.get(path.strip_prefix(&self.root).ok()?)?;
        Some(born.since(Timestamp(0)))
    }

    pub(crate) fn births(&self) -> HashMap<PathBuf, Timestamp> {
        self.state().births.clone()
    }

    pub(crate) fn note(&self, event: Event) {
        self.state().events.push(event);
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.state().events.clone()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state().counts.clone()
    }

    pub(crate) fn count(&self, kind: Kind, area: Area) -> usize {
        self.state().counts.get(&(kind, area)).copied().unwrap_or(0)
    }

    /// The fault that there was, once it has happened.
    pub(crate) fn happened(&self) -> Option<Fault> {
        let state = self.state();
        state.fault.filter(|_| state.happened)
    }

    /// From now on everything works.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        (state.fault, state.rest) = (None, None);
    }
}

impl State {
    /// Counts one operation; says how it fails, if it does.
    fn begin(&mut self, kind: Kind, area: Area) -> Option<Errno> {
        let count = self.counts.entry((kind, area)).or_default();
        *count += 1;
        let fault = self.fault?;
        let is_it = (fault.kind, fault.area, fault.number) == (kind, area, *count);
        self.happened |= is_it;
        match fault.how {
            How::Error(errno) if is_it || (self.happened && fault.lasts && kind.can_fail_with(errno)) => Some(errno),
            How::Short(Some(errno)) if !is_it && self.happened && fault.lasts && kind.can_fail_with(errno) => {
                Some(errno)
            }
            How::Short(_) if !is_it && self.rest.is_some_and(|(of, _)| of == kind) => {
                self.rest.take().map(|(_, errno)| errno)
            }
            How::Error(_) | How::Short(_) => None,
        }
    }
}

impl Kind {
    pub(crate) fn of(operation: Operation<'_>) -> Self {
        match operation {
            Operation::MakeDir => Self::MakeDir,
            Operation::List => Self::List,
            Operation::Look => Self::Look,
            Operation::Permit => Self::Permit,
            Operation::Create => Self::Create,
            Operation::Open => Self::Open,
            Operation::OpenOrCreate => Self::OpenOrCreate,
            Operation::Lock => Self::Lock,
            Operation::Read => Self::Read,
            Operation::Write { .. } => Self::Write,
            Operation::Reserve { .. } => Self::Reserve,
            Operation::SetLen { .. } => Self::SetLen,
            Operation::SyncData => Self::SyncData,
            Operation::SyncAll => Self::SyncAll,
            Operation::SyncDir => Self::SyncDir,
            Operation::Remove => Self::Remove,
            Operation::RemoveDir => Self::RemoveDir,
            Operation::Free => Self::Free,
        }
    }

    /// A full disk still reads, removes and gives what it has.
    pub(crate) fn can_fail_with(self, errno: Errno) -> bool {
        let takes_room = matches!(
            self,
            Self::MakeDir
                | Self::Create
                | Self::OpenOrCreate
                | Self::Write
                | Self::Reserve
                | Self::SetLen
                | Self::SyncData
                | Self::SyncAll
                | Self::SyncDir
        );
        errno != Errno::NOSPC || takes_room
    }
}

impl Area {
    fn of(path: &Path) -> Self {
        let is = |name: &str| path.ends_with(name) || path.parent().is_some_and(|parent| parent.ends_with(name));
        if is("journal") {
            Self::Journal
        } else if is("index") {
            Self::Index
        } else {
            Self::Top
        }
    }
}
