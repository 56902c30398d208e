//! A disk that keeps its promises and nothing more: what was synced survives a power cut, of the rest anything may.

use std::{
    collections::{BTreeMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

use super::{probe::Event, random::Random};

const SECTOR: usize = 512;
/// So many things in doubt are tried in every combination; of more, only some are.
const COMBINED_MAX: usize = 5;

/// What a directory holds: files by path, and directories as nothing.
pub(super) type Image = BTreeMap<PathBuf, Option<Vec<u8>>>;

#[derive(Debug, Clone, Default)]
pub(super) struct Platter {
    files: Vec<File>,
    /// What the running system sees.
    names: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    /// Changes of names that no sync of their directory has covered.
    renamed: Vec<(PathBuf, Option<Node>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Dir,
    File(usize),
}

#[derive(Debug, Clone, Default)]
struct File {
    /// What the running system sees.
    cached: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Grow(usize),
    Cut(usize),
}

/// What becomes of one change that is in doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Lost,
    Kept,
    /// The file has its new length and zeros.
    Zeros,
    /// These sectors of it arrive.
    Sectors(Vec<bool>),
}

impl Platter {
    /// A disk on which all of `image` is durable.
    pub(super) fn of(image: &Image) -> Self {
        let mut platter = Self::default();
        for (path, content) in image {
            let node = match content {
                None => Node::Dir,
                Some(bytes) => platter.add(File { cached: bytes.clone(), durable: bytes.clone(), pending: Vec::new() }),
            };
            platter.names.insert(path.clone(), node);
        }
        platter.durable = platter.names.clone();
        platter
    }

    fn add(&mut self, file: File) -> Node {
        self.files.push(file);
        Node::File(self.files.len() - 1)
    }

    /// Goes on by one event; true where that changes what a cut may leave.
    pub(super) fn follow(&mut self, event: &Event) -> bool {
        match event {
            Event::MadeDir(path) => {
                // Those above it come with it.
                let above: Vec<PathBuf> = path.ancestors().map(Path::to_owned).collect();
                for dir in above.iter().rev().filter(|dir| !dir.as_os_str().is_empty()) {
                    if !self.names.contains_key(dir) {
                        self.name(dir, Some(Node::Dir));
                    }
                }
            }
            Event::Created(path) => {
                let node = self.add(File::default());
                self.name(path, Some(node));
            }
            Event::Removed(path) => self.name(path, None),
            Event::Wrote(path, offset, bytes) => {
                self.change(path, &Change::Write(usize::try_from(*offset).unwrap(), bytes.clone()));
            }
            Event::Reserved(path, length) => self.change(path, &Change::Grow(usize::try_from(*length).unwrap())),
            Event::SetLen(path, length) => self.change(path, &Change::Cut(usize::try_from(*length).unwrap())),
            Event::Synced(path) => {
                let Some(file) = self.file(path) else { return false };
                for change in std::mem::take(&mut file.pending) {
                    change.make(&mut file.durable);
                }
            }
            Event::NotSynced(path) => {
                // The system takes the pages for clean and never writes them.
                let Some(file) = self.file(path) else { return false };
                file.pending.clear();
            }
            Event::SyncedDir(dir) => {
                let (covered, later) = std::mem::take(&mut self.renamed)
                    .into_iter()
                    .partition::<Vec<_>, _>(|(path, _)| path.parent() == Some(dir));
                self.renamed = later;
                for (path, node) in covered {
                    set(&mut self.durable, path, node);
                }
            }
            Event::Began(_) | Event::Done(_) => return false,
        }
        true
    }

    fn name(&mut self, path: &Path, node: Option<Node>) {
        set(&mut self.names, path.to_owned(), node);
        self.renamed.push((path.to_owned(), node));
    }

    fn file(&mut self, path: &Path) -> Option<&mut File> {
        match self.names.get(path) {
            Some(Node::File(number)) => self.files.get_mut(*number),
            Some(Node::Dir) | None => None,
        }
    }

    fn change(&mut self, path: &Path, change: &Change) {
        let Some(file) = self.file(path) else { return };
        change.make(&mut file.cached);
        file.pending.push(change.clone());
    }

    /// What a process that is killed leaves: all that the running system sees.
    pub(super) fn cached(&self) -> Image {
        let content = |node: &Node| match node {
            Node::Dir => None,
            Node::File(number) => Some(self.files[*number].cached.clone()),
        };
        self.names.iter().map(|(path, node)| (path.clone(), content(node))).collect()
    }

    /// What a power cut now may leave: each once.
    pub(super) fn images(&self, random: &mut Random) -> Vec<Image> {
        let changes: Vec<&Change> = self.files.iter().flat_map(|file| &file.pending).collect();
        let doubts = self.renamed.len() + changes.len();
        let mut fates: Vec<Vec<Fate>> = choices(doubts, random)
            .into_iter()
            .map(|kept| kept.into_iter().map(|kept| if kept { Fate::Kept } else { Fate::Lost }).collect())
            .collect();
        for (number, change) in changes.iter().enumerate() {
            let of_write = self.renamed.len() + number;
            for fate in change.torn(random) {
                for others in [Fate::Kept, Fate::Lost] {
                    let mut torn = vec![others; doubts];
                    torn[..self.renamed.len()].fill(Fate::Kept);
                    torn[of_write] = fate.clone();
                    fates.push(torn);
                }
            }
        }
        let mut seen = HashSet::new();
        fates.iter().map(|fates| self.after(fates)).filter(|image| seen.insert(hash_of(image))).collect()
    }

    fn after(&self, fates: &[Fate]) -> Image {
        let (of_names, of_changes) = fates.split_at(self.renamed.len());
        let mut names = self.durable.clone();
        for ((path, node), fate) in self.renamed.iter().zip(of_names) {
            if *fate == Fate::Kept {
                set(&mut names, path.clone(), *node);
            }
        }
        let mut fates = of_changes.iter();
        let contents: Vec<Vec<u8>> = self
            .files
            .iter()
            .map(|file| {
                let mut content = file.durable.clone();
                for (change, fate) in file.pending.iter().zip(&mut fates) {
                    change.suffer(fate, &mut content);
                }
                content
            })
            .collect();
        let mut image = Image::new();
        for (path, node) in names {
            // What stands in a directory that is not there is not there either.
            let parent = path.parent().unwrap();
            if parent.as_os_str().is_empty() || image.contains_key(parent) {
                image.insert(
                    path,
                    match node {
                        Node::Dir => None,
                        Node::File(number) => Some(contents[number].clone()),
                    },
                );
            }
        }
        image
    }
}

fn set(names: &mut BTreeMap<PathBuf, Node>, path: PathBuf, node: Option<Node>) {
    match node {
        Some(node) => drop(names.insert(path, node)),
        None => drop(names.remove(&path)),
    }
}

pub(super) fn hash_of(image: &Image) -> u64 {
    let mut hasher = crc32fast::Hasher::new();
    let mut names = DefaultHasher::new();
    for (path, content) in image {
        (path, content.as_ref().map(Vec::len)).hash(&mut names);
        hasher.update(content.as_deref().unwrap_or_default());
    }
    names.finish() ^ u64::from(hasher.finalize())
}

/// Which of `count` things survive: every combination of a few; of many none, all, beginnings, ends, all but one, and some.
fn choices(count: usize, random: &mut Random) -> Vec<Vec<bool>> {
    if count <= COMBINED_MAX {
        return (0..1_usize << count).map(|bits| (0..count).map(|bit| bits >> bit & 1 == 1).collect()).collect();
    }
    let mut choices = Vec::new();
    for at in 0..=count {
        choices.push((0..count).map(|number| number < at).collect());
        choices.push((0..count).map(|number| number >= at).collect());
        choices.push((0..count).map(|number| number != at).collect());
    }
    choices.extend((0..8).map(|_| (0..count).map(|_| random.one_in(2)).collect()));
    choices
}

impl Change {
    fn make(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(offset, bytes) => put(content, *offset, bytes),
            Self::Grow(length) => content.resize(content.len().max(*length), 0),
            Self::Cut(length) => content.resize(*length, 0),
        }
    }

    fn suffer(&self, fate: &Fate, content: &mut Vec<u8>) {
        match (self, fate) {
            (_, Fate::Lost) => {}
            (Self::Write(offset, bytes), Fate::Zeros) => content.resize(content.len().max(offset + bytes.len()), 0),
            (Self::Write(offset, bytes), Fate::Sectors(arrive)) => {
                for ((start, end), arrives) in sectors(*offset, bytes.len()).into_iter().zip(arrive) {
                    if *arrives {
                        put(content, offset + start, &bytes[start..end]);
                    }
                }
            }
            (_, Fate::Kept | Fate::Zeros | Fate::Sectors(_)) => self.make(content),
        }
    }

    /// How it may be done in part.
    fn torn(&self, random: &mut Random) -> Vec<Fate> {
        let Self::Write(offset, bytes) = self else { return Vec::new() };
        let count = sectors(*offset, bytes.len()).len();
        let mut fates = vec![Fate::Zeros];
        if count > 1 {
            let middle = 1 + random.below(count - 1);
            fates.push(Fate::Sectors((0..count).map(|sector| sector < middle).collect()));
            fates.push(Fate::Sectors((0..count).map(|sector| sector >= middle).collect()));
            for missing in [0, count - 1, random.below(count)] {
                fates.push(Fate::Sectors((0..count).map(|sector| sector != missing).collect()));
            }
            fates.push(Fate::Sectors((0..count).map(|_| random.one_in(2)).collect()));
        }
        fates
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    content.resize(content.len().max(end), 0);
    content[offset..end].copy_from_slice(bytes);
}

/// The parts of a write that fall into one sector each.
fn sectors(offset: usize, length: usize) -> Vec<(usize, usize)> {
    let mut parts = Vec::new();
    let mut start = 0;
    while start < length {
        let end = (start + SECTOR - (offset + start) % SECTOR).min(length);
        parts.push((start, end));
        start = end;
    }
    parts
}

#[test]
fn what_is_synced_is_in_every_image_and_the_rest_in_some() {
    let path = |name: &str| PathBuf::from(name);
    let mut platter = Platter::default();
    let events = [
        Event::MadeDir(path("data")),
        Event::SyncedDir(path("")),
        Event::Created(path("data/a")),
        Event::Wrote(path("data/a"), 0, vec![1; 600]),
        Event::Synced(path("data/a")),
        Event::SyncedDir(path("data")),
        Event::Wrote(path("data/a"), 600, vec![2; 600]),
        Event::Created(path("data/b")),
    ];
    for event in &events {
        platter.follow(event);
    }
    let images = platter.images(&mut Random(1));
    let of = |image: &Image| image[Path::new("data/a")].clone().unwrap();
    assert!(images.iter().all(|image| of(image)[..600] == [1; 600]));
    let lengths: HashSet<usize> = images.iter().map(|image| of(image).len()).collect();
    assert_eq!(lengths, HashSet::from([600, 1024, 1200]));
    assert!(images.iter().any(|image| of(image)[600..] == [[0; 424].as_slice(), &[2; 176]].concat()));
    assert!(images.iter().any(|image| image.contains_key(Path::new("data/b"))));
    assert!(images.iter().any(|image| !image.contains_key(Path::new("data/b"))));
}
