//! What users do, and what happens to the server meanwhile.

use proptest::{collection::vec, prelude::*};

/// Users who are there at the same time.
pub(crate) const MEMBERS: usize = 3;

/// What all users do at the same time, one after another each, and how that ends.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    pub(crate) acts: Vec<Vec<Act>>,
    pub(crate) end: End,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    Quiet,
    /// SIGTERM, once everyone is done or while they are at it.
    Stop {
        in_the_middle: bool,
    },
    /// kill -9, after so many milliseconds.
    Kill {
        after: u16,
    },
}

/// What one user does. Numbers say which of the user's own things.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Create { named: bool },
    Title { session: u8, tab: u8 },
    Delete { session: u8 },
    Clear,
    Send { session: u8, tab: u8, how: How, key: bool },
    Leave { session: u8, how: How, cut: Cut, key: bool },
    Burst { session: u8, count: u8 },
    Again { pick: u8, tab: u8 },
    Retry { session: u8, pick: u8, tab: u8 },
    Stop { session: u8 },
    Login,
    Logout { tab: u8 },
    Password,
    Look { tab: u8 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Native,
    Old,
    Streamed,
    /// Its replies fail, always or the first time.
    Fails,
    FailsOnce,
}

/// Where a client goes away.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// After so many bytes of its request.
    Within(u16),
    /// Before it has read anything of the answer.
    Unread,
}

/// Any round.
pub(crate) fn round() -> BoxedStrategy<Round> {
    let end = prop_oneof![
        6 => Just(End::Quiet),
        2 => any::<bool>().prop_map(|in_the_middle| End::Stop { in_the_middle }),
        3 => (0..400_u16).prop_map(|after| End::Kill { after }),
    ];
    (vec(vec(act(), 1..8), MEMBERS), end).prop_map(|(acts, end)| Round { acts, end }).boxed()
}

fn act() -> impl Strategy<Value = Act> {
    let (session, tab) = (|| 0..6_u8, || 0..5_u8);
    let how = || {
        prop_oneof![
            6 => Just(How::Native),
            3 => Just(How::Old),
            3 => Just(How::Streamed),
            1 => Just(How::Fails),
            1 => Just(How::FailsOnce),
        ]
    };
    let cut = prop_oneof![(1..600_u16).prop_map(Cut::Within), Just(Cut::Unread)];
    let plain = prop_oneof![Just(How::Native), Just(How::Streamed)];
    prop_oneof![
        4 => any::<bool>().prop_map(|named| Act::Create { named }),
        2 => (session(), tab()).prop_map(|(session, tab)| Act::Title { session, tab }),
        1 => session().prop_map(|session| Act::Delete { session }),
        1 => Just(Act::Clear),
        14 => (session(), tab(), how(), any::<bool>())
            .prop_map(|(session, tab, how, key)| Act::Send { session, tab, how, key }),
        4 => (session(), plain, cut, any::<bool>())
            .prop_map(|(session, how, cut, key)| Act::Leave { session, how, cut, key }),
        2 => (session(), 2..9_u8).prop_map(|(session, count)| Act::Burst { session, count }),
        3 => (any::<u8>(), tab()).prop_map(|(pick, tab)| Act::Again { pick, tab }),
        4 => (session(), any::<u8>(), tab()).prop_map(|(session, pick, tab)| Act::Retry { session, pick, tab }),
        2 => session().prop_map(|session| Act::Stop { session }),
        1 => Just(Act::Login),
        1 => tab().prop_map(|tab| Act::Logout { tab }),
        1 => Just(Act::Password),
        3 => tab().prop_map(|tab| Act::Look { tab }),
    ]
}
