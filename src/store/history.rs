//! The old client's history over all sessions of a user: the newest turns first, merged by their place among all
//! messages of the server.
//!
//! The cost grows with the user's sessions and with the page, not with the messages behind it: whole stretches of turns
//! are skipped by bisecting that place, and a session is looked into only when its turn comes.

use std::{
    collections::{BinaryHeap, HashMap},
    ops::ControlFlow,
};

use super::{
    StoreError,
    codec::SpeakerCode,
    fragment::{Fragment, Pair},
    index::{Index, IndexError},
    log::{Entry, NOW},
    read::PAGE_BYTES_MAX,
    search::{Match, Sought},
    view::SessionEnd,
};
use crate::{
    id::{Seq, SessionId},
    text,
};

/// Skips up to this are walked; longer ones are bisected.
const WALK_MAX: u64 = 256;

/// Turns that are read from the index at once, and about how many bytes of their messages.
const BLOCK: u64 = 32;
const BLOCK_BYTES: usize = 256 << 10;

/// The newest `limit` turns after skipping `skip`, oldest first, as far as a page has room for them. `fetch` gives a
/// session's turn by its number.
///
/// Nothing where `fetch` gives nothing for a turn that is needed.
pub(crate) fn newest<E>(
    ends: &[(SessionId, SessionEnd)],
    skip: u64,
    limit: usize,
    mut fetch: impl FnMut(SessionId, SessionEnd, u64) -> Result<Option<Pair>, E>,
) -> Result<Option<Vec<Pair>>, E> {
    // (place among all, session, turn, the turn itself once it is known): a session's last message bounds its turns.
    let mut heap: BinaryHeap<(u64, usize, u64, bool)> = ends
        .iter()
        .enumerate()
        .filter(|(_, (_, end))| end.turns > end.cleared_turns)
        .map(|(index, (_, end))| (end.stamp, index, end.turns, false))
        .collect();
    let mut known: HashMap<usize, Pair> = HashMap::new();
    let (mut skipped, mut pairs, mut bytes) = (0, Vec::new(), 0);
    while pairs.len() < limit && bytes < PAGE_BYTES_MAX {
        let Some((_, index, turn, is_known)) = heap.pop() else { break };
        let (session, end) = ends[index];
        let wanted = if is_known {
            if let Some(pair) = known.remove(&index) {
                if skipped < skip {
                    skipped += 1;
                } else {
                    bytes += pair.bytes();
                    pairs.push(pair);
                }
            }
            turn - 1
        } else {
            turn
        };
        if wanted > end.cleared_turns {
            let Some(pair) = fetch(session, end, wanted)? else { return Ok(None) };
            heap.push((pair.message.stamp, index, wanted, true));
            known.insert(index, pair);
        }
    }
    pairs.reverse();
    Ok(Some(pairs))
}

/// As [`newest`], from the index.
pub(crate) fn newest_from_index(
    index: &Index,
    mut ends: Vec<(SessionId, SessionEnd)>,
    skip: u64,
    limit: usize,
) -> Result<Vec<Pair>, IndexError> {
    let mut left = skip;
    if skip > WALK_MAX {
        left -= skip_by_stamp(index, &mut ends, skip)?;
    }
    let mut blocks: HashMap<SessionId, Vec<Entry>> = HashMap::new();
    let pairs = newest(&ends, left, limit, |session, end, turn| {
        let block = blocks.entry(session).or_default();
        if !block.iter().any(|entry| entry.record.turn == turn) {
            let first = (turn + 1).saturating_sub(BLOCK).max(end.cleared_turns + 1);
            let mut bytes = 0;
            block.clear();
            index.turns_back(session, (end.cleared_through, end.head), (first, turn), |entry| {
                bytes += entry.record.content.len();
                block.push(entry);
                Ok(unless(bytes >= BLOCK_BYTES))
            })?;
        }
        let entry = block.iter().find(|entry| entry.record.turn == turn);
        entry.map(|entry| pair(index, session, entry)).transpose()
    })?;
    // A turn that was cleared or deleted meanwhile is not missed by anyone.
    Ok(pairs.unwrap_or_default())
}

/// One session's turns from the first to the last of `window`, from the index, as far as a page has room for them.
pub(crate) fn turns_from_index(
    index: &Index,
    session: SessionId,
    end: SessionEnd,
    window: (u64, u64),
) -> Result<Vec<Pair>, IndexError> {
    let (mut pairs, mut bytes) = (Vec::new(), 0);
    index.turns_back(session, (end.cleared_through, end.head), window, |entry| {
        let pair = pair(index, session, &entry)?;
        bytes += pair.bytes();
        pairs.push(pair);
        Ok(unless(bytes >= PAGE_BYTES_MAX))
    })?;
    pairs.reverse();
    Ok(pairs)
}

fn unless(enough: bool) -> ControlFlow<()> {
    if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

fn pair(index: &Index, session: SessionId, entry: &Entry) -> Result<Pair, IndexError> {
    let reply = match entry.answer {
        Some(seq) => match index.message(session, seq)? {
            Some(record) => {
                let (status, _) = index.standing((session, seq), &record, None, NOW)?;
                Some(Fragment::new(seq, &record, status, None))
            }
            None => None,
        },
        None => None,
    };
    Ok(Pair { session, message: Fragment::of(entry), reply })
}

/// Moves the ends back past as many of the newest turns as it can, at most `skip`, and gives how many it passed.
fn skip_by_stamp(index: &Index, ends: &mut [(SessionId, SessionEnd)], skip: u64) -> Result<u64, IndexError> {
    let highest = ends.iter().map(|(_, end)| end.stamp).max().unwrap_or(0);
    // The lowest place from which on there are at most `skip` turns.
    let (mut low, mut high) = (0, highest + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if turns_from(index, ends, middle)? <= skip { high = middle } else { low = middle + 1 }
    }
    let passed = turns_from(index, ends, low)?;
    for (session, end) in ends {
        end.turns = turns_before(index, *session, *end, low)?;
        end.stamp = end.stamp.min(low.saturating_sub(1));
    }
    Ok(passed)
}

fn turns_from(index: &Index, ends: &[(SessionId, SessionEnd)], stamp: u64) -> Result<u64, IndexError> {
    let mut turns = 0;
    for (session, end) in ends {
        turns += end.turns - turns_before(index, *session, *end, stamp)?;
    }
    Ok(turns)
}

/// How many turns of a session (cleared ones included) began before the place `stamp`.
fn turns_before(index: &Index, session: SessionId, end: SessionEnd, stamp: u64) -> Result<u64, IndexError> {
    if end.stamp < stamp {
        return Ok(end.turns);
    }
    let first = index.search_log(session, end.cleared_through, end.head, |record| record.stamp >= stamp)?;
    let before = Seq(first.0 - 1);
    if before <= end.cleared_through {
        return Ok(end.cleared_turns);
    }
    Ok(index.message(session, before)?.map_or(end.cleared_turns, |record| record.turn))
}

/// The turns in which what is sought stands, newest `limit` of them oldest first, and how many there are in all.
pub(crate) fn search(index: &Index, sought: &Sought<'_>, limit: usize) -> Result<(Vec<Pair>, u64), StoreError> {
    let mut total = 0;
    let mut found: BinaryHeap<std::cmp::Reverse<(u64, SessionId, Seq)>> = BinaryHeap::new();
    sought.each(index, |Match { session, seq, record, .. }| {
        let (seq, stamp) = match (record.speaker, record.reply_to) {
            (SpeakerCode::Assistant, Some(of)) => {
                let is_answer = index.ended(session, of)?.is_reply_at(seq);
                match index.message(session, of)? {
                    Some(message) if is_answer && !text::folded(&message.content).contains(sought.needle) => {
                        (of, message.stamp)
                    }
                    Some(_) | None => return Ok(()),
                }
            }
            // Half a turn is none, and what belongs to no turn is not shown in pairs.
            (SpeakerCode::Noted(_), _) => return Ok(()),
            (SpeakerCode::User | SpeakerCode::Assistant, _) => (seq, record.stamp),
        };
        total += 1;
        found.push(std::cmp::Reverse((stamp, session, seq)));
        if found.len() > limit {
            found.pop();
        }
        Ok(())
    })?;
    let mut places: Vec<_> = found.into_iter().map(|std::cmp::Reverse(place)| place).collect();
    places.sort_unstable();
    let (mut pairs, mut bytes) = (Vec::with_capacity(places.len()), 0);
    for (_, session, seq) in places.into_iter().rev() {
        for entry in index.entries(session, seq, seq, NOW)? {
            let pair = pair(index, session, &entry)?;
            bytes += pair.bytes();
            pairs.push(pair);
        }
        if bytes >= PAGE_BYTES_MAX {
            break;
        }
    }
    pairs.reverse();
    Ok((pairs, total))
}
