//! What a run is made of: commands, alone and several at once, and what happens to the store between them.

use proptest::{collection::vec, option, prelude::*};

use super::{
    imports::{Piece, import},
    items::{ItemOp, With, item_op, with},
    jobs::{JobOp, job_op},
};

/// Microseconds.
pub(super) const HOUR: i64 = 3_600_000_000;
pub(super) const DAY: i64 = 24 * HOUR;

/// One step of a run.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Commands that are given before any of them was answered, while pages are read.
    Do(Vec<(Op, Fate)>),
    /// Reads are begun and dropped at this poll.
    DropReads(u8),
    /// The clock jumps, by microseconds.
    Jump(i64),
    Restart {
        how: How,
        cache: u64,
        resumes: Option<u32>,
        /// Jobs that ran are given back.
        releases: bool,
    },
    /// The directory is copied while messages are being sent, which came or not; perhaps the copy is what goes on.
    Copy { sends: u8, goes_on: bool },
    /// The journal is rewritten, and perhaps the store lives by what is left.
    Compact { rebuilds: bool },
    /// What is over is taken away.
    Expire,
}

/// How the store ends, and what is done to it before the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Clean,
    Crash,
    CleanAndRebuild,
    CrashAndRebuild,
}

/// Who waits for a command's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Awaited,
    /// It is dropped after so many polls.
    Dropped(u8),
}

/// A command. Numbers say which of those that there are.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Register {
        name: u8,
        invitation: Option<u8>,
    },
    Invite {
        lasts: i64,
    },
    Change {
        user: u8,
        to: Change,
    },
    Unregister {
        user: u8,
    },
    Login {
        user: u8,
        max: u8,
        lasts: i64,
    },
    Logout {
        user: u8,
        login: u8,
    },
    Touch {
        login: u8,
    },
    Create {
        user: u8,
        session: u8,
        title: bool,
    },
    /// With neither, both are taken away.
    Edit {
        user: u8,
        session: u8,
        title: bool,
        prompt: bool,
    },
    Delete {
        user: u8,
        session: u8,
    },
    Clear {
        user: u8,
    },
    Append {
        user: u8,
        session: u8,
        create: bool,
        key: Option<u8>,
        body: u8,
        lasts: i64,
        size: Size,
        with: With,
    },
    Conclude {
        turn: u8,
        end: End,
        size: Size,
        /// With an annotation.
        noted: bool,
    },
    Retry {
        turn: u8,
        end: End,
        size: Size,
    },
    Job(JobOp),
    Item(ItemOp),
    /// `stale`: it was made for a head that was so many messages before, which only shows where nothing else is under way;
    /// `twice`: it is given once more.
    Import {
        user: u8,
        session: u8,
        make: bool,
        pieces: Vec<Piece>,
        stale: u64,
        twice: bool,
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    Role,
    Tier,
    Disabled(bool),
    Password { keep: u8 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Reply,
    Stopped,
    Failed { too_slow: bool },
    Interrupted,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Size {
    Short,
    Long,
    Huge,
}

/// Any step.
pub(super) fn step() -> BoxedStrategy<Step> {
    let jump = prop_oneof![Just(1), Just(HOUR), Just(3 * DAY), Just(-HOUR), Just(-3 * DAY), -DAY..DAY];
    prop_oneof![
        40 => vec((op(), fate()), 1..2).prop_map(Step::Do),
        30 => vec((op(), fate()), 2..9).prop_map(Step::Do),
        3 => (0..3_u8).prop_map(Step::DropReads),
        5 => jump.prop_map(Step::Jump),
        7 => (how(), cache(), option::of(0..3_u32), any::<bool>())
            .prop_map(|(how, cache, resumes, releases)| Step::Restart { how, cache, resumes, releases }),
        2 => (1..6_u8, any::<bool>()).prop_map(|(sends, goes_on)| Step::Copy { sends, goes_on }),
        4 => any::<bool>().prop_map(|rebuilds| Step::Compact { rebuilds }),
        1 => Just(Step::Expire),
    ]
    .boxed()
}

/// Nothing fits, little fits, everything does.
pub(super) fn cache() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(48 << 10), Just(200 << 10), Just(8 << 20)]
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![Just(How::Clean), Just(How::Crash), Just(How::CleanAndRebuild), Just(How::CrashAndRebuild)]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![12 => Just(Fate::Awaited), 1 => (0..4_u8).prop_map(Fate::Dropped)]
}

fn op() -> impl Strategy<Value = Op> {
    let user = || 0..3_u8;
    let session = || 0..12_u8;
    let lasts = || prop_oneof![Just(HOUR), Just(2 * DAY)];
    let append = (user(), session(), any::<bool>(), option::weighted(0.3, 0..3_u8), 0..2_u8, lasts(), size(), with());
    prop_oneof![
        3 => (0..4_u8, option::weighted(0.3, any::<u8>())).prop_map(|(name, invitation)| Op::Register { name, invitation }),
        1 => lasts().prop_map(|lasts| Op::Invite { lasts }),
        2 => (user(), change()).prop_map(|(user, to)| Op::Change { user, to }),
        1 => user().prop_map(|user| Op::Unregister { user }),
        3 => (user(), 1..4_u8, lasts()).prop_map(|(user, max, lasts)| Op::Login { user, max, lasts }),
        1 => (user(), 0..4_u8).prop_map(|(user, login)| Op::Logout { user, login }),
        1 => (0..4_u8).prop_map(|login| Op::Touch { login }),
        5 => (user(), session(), any::<bool>()).prop_map(|(user, session, title)| Op::Create { user, session, title }),
        4 => (user(), session(), any::<bool>(), any::<bool>())
            .prop_map(|(user, session, title, prompt)| Op::Edit { user, session, title, prompt }),
        2 => (user(), session()).prop_map(|(user, session)| Op::Delete { user, session }),
        2 => user().prop_map(|user| Op::Clear { user }),
        24 => append.prop_map(|(user, session, create, key, body, lasts, size, with)| Op::Append {
            user, session, create, key, body, lasts, size, with,
        }),
        16 => (any::<u8>(), end(), size(), any::<bool>())
            .prop_map(|(turn, end, size, noted)| Op::Conclude { turn, end, size, noted }),
        8 => (any::<u8>(), end(), size()).prop_map(|(turn, end, size)| Op::Retry { turn, end, size }),
        28 => job_op().prop_map(Op::Job),
        28 => item_op().prop_map(Op::Item),
        8 => import(),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(Change::Role),
        Just(Change::Tier),
        any::<bool>().prop_map(Change::Disabled),
        (0..3_u8).prop_map(|keep| Change::Password { keep }),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        6 => Just(End::Reply),
        1 => Just(End::Stopped),
        2 => any::<bool>().prop_map(|too_slow| End::Failed { too_slow }),
        1 => Just(End::Interrupted),
    ]
}

pub(super) fn size() -> impl Strategy<Value = Size> {
    prop_oneof![20 => Just(Size::Short), 3 => Just(Size::Long), 1 => Just(Size::Huge)]
}
