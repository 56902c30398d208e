//! Which reply answers which message, by the order in which they were said: nothing else is known.

use std::collections::HashSet;

use super::super::What;
use crate::{clock::Timestamp, store::Speaker};

/// A row, as little of it as pairing needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    /// Its number in the file.
    pub(super) number: u64,
    /// Where it begins, bytes.
    pub(super) offset: u64,
    pub(super) role: Speaker,
    pub(super) time: Option<Timestamp>,
    /// A digest of its text.
    pub(super) text: u64,
    /// A digest of its id; 0 where it has none.
    pub(super) id: u64,
}

/// A row in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) row: Row,
    /// Of a reply, the place of what it answers, from 0.
    pub(super) reply_to: Option<usize>,
    /// True for a message without a reply.
    pub(super) failed: bool,
}

/// A session in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Paired {
    pub(super) lines: Vec<Line>,
    /// What is not as it should be, with the rows' numbers.
    pub(super) notes: Vec<(u64, What)>,
}

/// Puts the rows of one session in the order of their times, and of the file where those are the same; drops what is there
/// twice; and has replies answer the messages before them. Of several messages in a row, as many get a reply as there are
/// behind them, in their order, the last ones first: a reply that is missing was lost before, not after.
pub(super) fn pair(rows: Vec<Row>) -> Paired {
    let mut paired = Paired::default();
    let rows = in_order(rows, &mut paired.notes);
    let rows = once_each(rows, &mut paired.notes);
    let mut rest = rows.as_slice();
    while !rest.is_empty() {
        let asked = rest.iter().take_while(|row| row.role == Speaker::User).count();
        let answered = rest[asked..].iter().take_while(|row| row.role == Speaker::Assistant).count();
        let (run, behind) = rest.split_at(asked + answered);
        take_run(run, asked, &mut paired);
        rest = behind;
    }
    paired
}

fn take_run(run: &[Row], asked: usize, paired: &mut Paired) {
    let (messages, replies) = run.split_at(asked);
    // Where the first message of this run stands.
    let first = paired.lines.len();
    let unanswered = messages.len().saturating_sub(replies.len());
    for (index, row) in messages.iter().enumerate() {
        let failed = index < unanswered;
        if failed {
            paired.notes.push((row.number, What::NoReply));
        }
        paired.lines.push(Line { row: *row, reply_to: None, failed });
    }
    for (index, row) in replies.iter().enumerate() {
        if messages.is_empty() {
            paired.notes.push((row.number, What::NoMessage));
            continue;
        }
        let answers = unanswered + index;
        if answers >= messages.len() {
            paired.notes.push((row.number, What::AnsweredAgain));
        } else if messages.len() > 1 {
            paired.notes.push((row.number, What::PairedByOrder));
        }
        let reply_to = Some(first + answers.min(messages.len() - 1));
        paired.lines.push(Line { row: *row, reply_to, failed: false });
    }
}

/// Sorts by time; a row without one keeps its place behind the row before it in the file.
fn in_order(mut rows: Vec<Row>, notes: &mut Vec<(u64, What)>) -> Vec<Row> {
    let mut time = rows.iter().find_map(|row| row.time);
    for row in &mut rows {
        row.time = row.time.or(time);
        time = row.time;
    }
    for pair in rows.windows(2) {
        if pair[1].time < pair[0].time {
            notes.push((pair[1].number, What::Unordered));
        }
    }
    rows.sort_by_key(|row| (row.time, row.number));
    rows
}

/// Drops rows whose id came before, or that say the same at the same time.
fn once_each(rows: Vec<Row>, notes: &mut Vec<(u64, What)>) -> Vec<Row> {
    let (mut ids, mut said) = (HashSet::new(), HashSet::new());
    let mut is_new = |row: &Row| {
        let is_new_id = row.id == 0 || ids.insert(row.id);
        let is_user = row.role == Speaker::User;
        let is_new_text = said.insert((is_user, row.text, row.time));
        let is_new = is_new_id && is_new_text;
        if !is_new {
            notes.push((row.number, What::Duplicate));
        }
        is_new
    };
    rows.into_iter().filter(|row| is_new(row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows by a picture: letters are messages, digits replies, each a second after the one before.
    fn rows(picture: &str) -> Vec<Row> {
        let row = |(at, c): (usize, char)| Row {
            number: at as u64 + 1,
            offset: 0,
            role: if c.is_ascii_digit() { Speaker::Assistant } else { Speaker::User },
            time: Some(Timestamp(i64::try_from(at).unwrap())),
            text: u64::from(c),
            id: 0,
        };
        picture.chars().enumerate().map(row).collect()
    }

    /// What answers what: `b1` for reply 1 to message b; `a-` for a message without one; then the notes.
    fn paired(rows: Vec<Row>) -> (String, Vec<(u64, What)>) {
        let Paired { lines, notes } = pair(rows);
        let name = |line: &Line| char::from_u32(u32::try_from(line.row.text).unwrap()).unwrap();
        let mut words = Vec::new();
        for line in &lines {
            match line.reply_to {
                Some(of) => words.push(format!("{}{}", name(&lines[of]), name(line))),
                None if line.failed => words.push(format!("{}-", name(line))),
                None => {}
            }
        }
        (words.join(" "), notes)
    }

    #[test]
    fn replies_answer_the_message_before_them() {
        assert_eq!(paired(rows("a1b2c3")), ("a1 b2 c3".to_owned(), vec![]));
    }

    #[test]
    fn several_messages_are_paired_in_their_order() {
        let notes = vec![(4, What::PairedByOrder), (5, What::PairedByOrder), (6, What::PairedByOrder)];
        assert_eq!(paired(rows("abc123")), ("a1 b2 c3".to_owned(), notes));
    }

    #[test]
    fn a_missing_reply_is_one_of_an_earlier_message() {
        let notes = vec![(1, What::NoReply), (3, What::PairedByOrder)];
        assert_eq!(paired(rows("ab1")), ("a- b1".to_owned(), notes));
        assert_eq!(paired(rows("a")), ("a-".to_owned(), vec![(1, What::NoReply)]));
    }

    #[test]
    fn replies_too_many_answer_again_and_replies_to_nothing_are_left_out() {
        assert_eq!(paired(rows("a12")), ("a1 a2".to_owned(), vec![(3, What::AnsweredAgain)]));
        assert_eq!(paired(rows("1a2")), ("a2".to_owned(), vec![(1, What::NoMessage)]));
    }

    #[test]
    fn time_gives_the_order_and_the_file_where_it_is_the_same() {
        let mut all = rows("1a2b");
        // The first row came last; the others are of one moment.
        all[0].time = Some(Timestamp(9));
        for row in &mut all[1..] {
            row.time = Some(Timestamp(5));
        }
        let notes = vec![(2, What::Unordered)];
        assert_eq!(paired(all), ("a2 b1".to_owned(), notes));
        let mut all = rows("a1b2");
        all[1].time = None;
        assert_eq!(paired(all), ("a1 b2".to_owned(), vec![]));
    }

    #[test]
    fn what_is_there_twice_counts_once() {
        let mut all = rows("a1a1");
        for (row, id) in all.iter_mut().zip([7, 8, 7, 8]) {
            row.id = id;
        }
        assert_eq!(paired(all), ("a1".to_owned(), vec![(3, What::Duplicate), (4, What::Duplicate)]));
        // The same words at another time are said again.
        assert_eq!(paired(rows("a1a1")).1, vec![]);
    }
}
