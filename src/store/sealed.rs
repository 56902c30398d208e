//! The sealed part of the journal, as whoever copies it sees it: which files it is, at one moment, and whether one is whole.
//!
//! A sealed segment never changes. Compaction writes it anew into a file of its own, and takes the old file's name away
//! later; a start writes the last frame of the last segment again, byte for byte as it stands there. So copies of it are
//! complete, and may share their bytes with each other.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc::SyncSender},
    thread,
};

use tokio::sync::oneshot;

use super::{
    OpenError, Store, StoreError,
    command::Command,
    disk::{Dir, Disk},
    journal::{self, Segment},
    recover::Layout,
};

/// The sealed segments at one moment: everything that was acknowledged before is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The generation of each, from segment 1 on without a gap.
    pub generations: Vec<u32>,
    /// The number of the frame that comes after them.
    pub next_frame: u64,
}

impl Sealed {
    /// The names of their files in the journal's folder, in order.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.generations.iter().zip(1..).map(|(generation, number)| journal::segment_name(number, *generation))
    }
}

/// Seals the journal; stays valid as long as its store is open.
#[derive(Clone)]
pub struct Sealer {
    pub(super) commands: SyncSender<Command>,
    pub(super) journal_dir: Dir,
    pub(super) chain: Arc<Mutex<()>>,
}

impl Sealer {
    /// Has the writer seal the segment that it writes, and gives all that are sealed then. Blocks, for as long as compaction
    /// takes to rewrite one segment at the most.
    ///
    /// # Errors
    /// `Busy`, `DiskFull`, `Ended`, `Unreadable`.
    pub fn seal(&self) -> Result<Sealed, StoreError> {
        // No segment may be rewritten between the two steps: what justifies it may stand in the segment that is written by
        // then, which is not among the sealed ones.
        let _held = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        let (reply, rotated) = oneshot::channel();
        self.commands.try_send(Command::Rotate(reply)).map_err(|_| StoreError::Busy)?;
        // A job's thread runs a future, and the runtime lets no such thread wait.
        let answer = thread::scope(|scope| {
            let waiting = thread::Builder::new().name("bondhu-seal".to_owned());
            let waiting = waiting.spawn_scoped(scope, || rotated.blocking_recv()).map_err(|_| StoreError::Busy)?;
            waiting.join().map_err(|_| StoreError::Ended)
        })?;
        answer.map_err(|_| StoreError::Ended)??;
        let listed = journal::list(&self.journal_dir);
        let mut chain = listed.map_err(|error| StoreError::Unreadable(Arc::from(error.to_string())))?.chain;
        let next_frame = chain.pop().map_or(1, |open| open.header.first_frame); // The one that is written.
        Ok(Sealed { generations: chain.iter().map(|segment| segment.header.generation).collect(), next_frame })
    }

    /// The journal's id; nothing where it can't be read. Blocks.
    #[must_use]
    pub fn journal(&self) -> Option<[u8; 16]> {
        Some(journal::list(&self.journal_dir).ok()?.chain.last()?.header.journal)
    }
}

impl Store {
    /// What seals the journal from any thread that may block.
    #[must_use]
    pub fn sealer(&self) -> Sealer {
        Sealer {
            commands: self.commands.clone(),
            journal_dir: Layout::of(&self.dir).journal,
            chain: Arc::clone(&self.chain),
        }
    }

    /// As [`Sealer::seal`], without blocking.
    ///
    /// Dropping the future leaves the journal to be sealed all the same.
    ///
    /// # Errors
    /// Those of [`Sealer::seal`]; `Busy` where the system gives no thread.
    pub async fn seal(&self) -> Result<Sealed, StoreError> {
        let sealer = self.sealer();
        let (done, answer) = oneshot::channel();
        // A thread of its own: the readers' would be kept from reading meanwhile.
        super::spawn("bondhu-seal", move || {
            let _ = done.send(sealer.seal()); // Whoever asked may have gone.
        })
        .map_err(|_| StoreError::Busy)?;
        answer.await.unwrap_or(Err(StoreError::Ended))
    }
}

/// What the header of a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHead {
    /// Which journal it belongs to.
    pub journal: [u8; 16],
    /// The format of what is in it.
    pub format: u32,
}

/// Wants `bytes`, all of the file at `path`, to be a whole sealed segment without damage.
///
/// # Errors
/// `Damaged` and `Newer`, which name the file.
pub fn check_sealed(path: &Path, bytes: &[u8]) -> Result<SegmentHead, OpenError> {
    let segment = Segment::of_bytes(path, bytes)?;
    match segment.walk_bytes(&Disk::default(), bytes, |_, _, _| Ok::<(), OpenError>(()))?.0 {
        journal::End::Sealed { .. } => {
            Ok(SegmentHead { journal: segment.header.journal, format: segment.header.format })
        }
        journal::End::Open { offset, .. } => Err(segment.damaged(offset, "the segment's end is missing")),
    }
}
