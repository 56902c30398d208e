//! What a reply is made from: the session's own instructions, and the newest whole turns of its log that the backend
//! takes, up to the message that is answered. Turns without a reply, replies that were replaced, and anything of another
//! session never get in.

use super::Inner;
use crate::{
    id::{Seq, SessionId},
    reply::{Budget, Line, tokens},
    store::{Message, OpenTurn, Speaker, Status, StoreError},
};

/// Messages that are read at first; more are read only where the backend takes more.
const MESSAGES: usize = 50;
/// The most that are read.
const MESSAGES_MAX: usize = 6400;
/// Bytes that are read, however few tokens the backend takes, and however many.
const BYTES_MIN: usize = 1 << 20;
const BYTES_MAX: usize = 32 << 20;

/// What the backend is asked with.
pub(super) struct Context {
    /// Instructions, where they are not the configured ones.
    pub(super) system: Option<String>,
    /// The conversation; the last one is the message to answer.
    pub(super) messages: Vec<Message>,
}

impl Context {
    /// The conversation, line by line.
    pub(super) fn lines(&self) -> Vec<Line<'_>> {
        self.messages
            .iter()
            .map(|message| Line { role: message.role.into(), text: &message.content, name: None })
            .collect()
    }
}

/// Reads what the reply to `turn` is made from, under `instructions` or the session's own; nothing in it where the message is gone.
pub(super) async fn of(inner: &Inner, turn: OpenTurn, instructions: Option<&str>) -> Result<Context, StoreError> {
    let Told { system, tokens, lines } = Told::of(inner, Some(turn.session), instructions).await?;
    let mut limit = MESSAGES;
    loop {
        let (messages, is_cut) = inner.parts.store.context(turn.session, turn.seq, limit, bytes_max(tokens)).await?;
        let is_all = is_cut || is_all(&messages, turn.seq, limit); // Of what is cut nothing would fit.
        let parts = conversation(turn.seq, messages);
        let whole = parts.len();
        let fitting = newest_that_fit(parts, tokens);
        // As many places as a backend takes lines are enough, although some are no part of the conversation, as the reply that
        // is cut from its message: it is in memory, where twice as much is not.
        let is_short = limit < lines || fitting.iter().map(Vec::len).sum::<usize>() < lines / 2;
        let has_room = fitting.len() == whole && is_short;
        let wants_more = has_room && limit < MESSAGES_MAX && !is_all;
        if !wants_more {
            return Ok(Context { system, messages: fitting.into_iter().flatten().collect() });
        }
        limit *= 2;
    }
}

/// What a backend is told first, and what it takes beside that.
struct Told {
    /// Instructions, where they are not the configured ones.
    system: Option<String>,
    /// Most tokens.
    tokens: usize,
    /// Most lines.
    lines: usize,
}

impl Told {
    async fn of(inner: &Inner, session: Option<SessionId>, own: Option<&str>) -> Result<Self, StoreError> {
        let parts = &inner.parts;
        let system = match (own, session) {
            (Some(own), _) => Some(own.to_owned()),
            (None, Some(session)) => parts.store.session(session).await?.and_then(|session| session.system_prompt),
            (None, None) => None,
        };
        Ok(match parts.backend.budget() {
            Budget::Lines(lines) => Self { system, tokens: usize::MAX, lines },
            Budget::Tokens(tokens) => {
                let told = tokens::at_most(system.as_deref().unwrap_or(parts.backend.system()));
                Self { system, tokens: tokens.saturating_sub(told + tokens::PER_MESSAGE), lines: usize::MAX }
            }
        })
    }
}

/// Whether a reply to what is said last in `new` can be made from all that was said: in the turns of the session up to the
/// message at `through`, and in `new` behind them.
pub(super) async fn has_room(
    inner: &Inner,
    through: Option<OpenTurn>,
    new: &[&str],
    instructions: Option<&str>,
) -> Result<bool, StoreError> {
    let Told { tokens: tokens_max, lines: lines_max, .. } =
        Told::of(inner, through.map(|turn| turn.session), instructions).await?;
    let cost = |text: &str| tokens::at_most(text) + tokens::PER_MESSAGE;
    let is_in_bounds = |said: &[Message]| {
        let all = || said.iter().map(|message| message.content.as_str()).chain(new.iter().copied());
        all().count() <= lines_max && (tokens_max == usize::MAX || all().map(cost).sum::<usize>() <= tokens_max)
    };
    let Some(OpenTurn { session, seq }) = through else { return Ok(is_in_bounds(&[])) };
    let mut limit = MESSAGES;
    loop {
        let (messages, is_cut) = inner.parts.store.context(session, seq, limit, bytes_max(tokens_max)).await?;
        let is_all = !is_cut && is_all(&messages, seq, limit);
        // What stands right behind is not part of it: a conversation ends with the message that is to be answered.
        let said: Vec<_> = conversation(seq.next(), messages).into_iter().flatten().collect();
        let said: Vec<_> =
            said.into_iter().filter(|message| message.seq != seq.next() || message.reply_to.is_some()).collect();
        if is_all || is_cut || limit >= MESSAGES_MAX || !is_in_bounds(&said) {
            return Ok(is_all && is_in_bounds(&said));
        }
        limit *= 2;
    }
}

/// Bytes of messages that are read for so many tokens: no more could be told, even if few of those that are read were part of
/// the conversation.
fn bytes_max(tokens: usize) -> usize {
    tokens.saturating_mul(tokens::BYTES_MAX).clamp(BYTES_MIN, BYTES_MAX)
}

/// True where these newest messages up to `seq`, `limit` places at most, are all.
fn is_all(messages: &[Message], seq: Seq, limit: usize) -> bool {
    messages.first().is_none_or(|first| first.seq <= Seq(1) || first.seq.0 + limit as u64 > seq.0 + 1)
}

/// A part of a conversation that is told whole or not at all: a turn, something that belongs to no turn, or the message that
/// is to be answered.
type Part = Vec<Message>;

/// The conversation that the message at `seq` ends, part by part. A reply may stand behind later messages in the log.
fn conversation(seq: Seq, messages: Vec<Message>) -> Vec<Part> {
    let turn_of = |message: &Message| message.reply_to.unwrap_or(message.seq);
    let mut conversation: Vec<_> = messages
        .into_iter()
        .filter(|message| message.seq == seq || (turn_of(message) < seq && belongs(message)))
        .collect();
    conversation.sort_by_key(|message| (turn_of(message), message.seq));
    // A message whose reply is not here, or says nothing, is half a turn, and so is a reply without its message.
    let mut parts: Vec<Part> = Vec::with_capacity(conversation.len());
    let mut rest = conversation.into_iter().peekable();
    while let Some(message) = rest.next() {
        if message.seq == seq || (message.status == Status::Noted && !message.content.is_empty()) {
            parts.push(vec![message]);
        } else if message.role == Speaker::User
            && !message.content.is_empty() // It was erased.
            && let Some(reply) = rest.next_if(|next| next.reply_to == Some(message.seq))
            && !reply.content.trim().is_empty()
        {
            parts.push(vec![message, reply]);
        }
    }
    parts
}

/// True where a message is part of the conversation: turns that failed, and replies that were replaced, are not.
fn belongs(message: &Message) -> bool {
    match message.status {
        Status::Answered | Status::Stopped | Status::Complete | Status::Noted => true,
        Status::Pending | Status::Failed | Status::Interrupted | Status::Superseded => false,
    }
}

/// The last message, then whatever a system or a developer says, as far as `budget` has tokens for it, and as many of the
/// newest other parts before it as it has tokens for beside that.
fn newest_that_fit(parts: Vec<Part>, budget: usize) -> Vec<Part> {
    let cost = |part: &Part| part.iter().map(|message| tokens::at_most(&message.content) + tokens::PER_MESSAGE).sum();
    let Some((last, before)) = parts.split_last() else { return parts };
    if budget == usize::MAX {
        return parts;
    }
    let mut left = budget.saturating_sub(cost(last));
    let mut fits = vec![false; before.len()];
    let newest_first = || before.iter().enumerate().rev();
    let (told, said): (Vec<_>, Vec<_>) = newest_first().partition(|(_, part)| is_instruction(part));
    for parts in [told, said] {
        for (at, part) in parts {
            let cost = cost(part);
            if cost > left {
                break;
            }
            left -= cost;
            fits[at] = true;
        }
    }
    fits.push(true);
    parts.into_iter().zip(fits).filter_map(|(part, fits)| fits.then_some(part)).collect()
}

/// True for what the model is told and nobody said: it must not be forgotten before what was said.
fn is_instruction(part: &Part) -> bool {
    part.iter().all(|message| matches!(message.role, Speaker::System | Speaker::Developer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Timestamp,
        id::MessageId,
        store::Speaker::{Assistant, User},
    };

    fn message(seq: u64, role: Speaker, reply_to: Option<u64>, status: Status) -> Message {
        Message {
            seq: Seq(seq),
            id: MessageId::new(),
            role,
            content: "word".to_owned(),
            reply_to: reply_to.map(Seq),
            status,
            created_at: Timestamp(1),
        }
    }

    fn order(parts: &[Part]) -> Vec<u64> {
        parts.iter().flatten().map(|message| message.seq.0).collect()
    }

    #[test]
    fn a_reply_that_was_made_while_the_next_message_waited_is_part_of_the_conversation() {
        let log = vec![
            message(1, User, None, Status::Answered),
            message(2, User, None, Status::Failed),
            message(3, User, None, Status::Pending),
            message(4, User, None, Status::Pending),
            message(5, Assistant, Some(1), Status::Complete),
        ];
        assert_eq!(order(&conversation(Seq(3), log)), [1, 5, 3]);
    }

    #[test]
    fn a_turn_that_is_answered_anew_sees_what_came_before_it_and_not_its_old_reply() {
        let log = vec![
            message(1, User, None, Status::Answered),
            message(2, Assistant, Some(1), Status::Superseded),
            message(3, User, None, Status::Answered),
            message(4, Assistant, Some(3), Status::Complete),
            message(5, User, None, Status::Answered),
            message(6, Assistant, Some(5), Status::Complete),
            message(7, Assistant, Some(1), Status::Complete),
        ];
        assert_eq!(order(&conversation(Seq(3), log.clone())), [1, 7, 3]);
        assert_eq!(order(&conversation(Seq(5), log)), [1, 7, 3, 4, 5]);
    }

    #[test]
    fn half_a_turn_is_none() {
        let mut log = vec![
            message(2, Assistant, Some(1), Status::Complete), // Its message was too far back.
            message(3, User, None, Status::Stopped),
            message(4, Assistant, Some(3), Status::Stopped),
            message(5, User, None, Status::Pending),
        ];
        log[2].content.clear(); // Stopped before its first word.
        assert_eq!(order(&conversation(Seq(5), log)), [5]);
    }

    #[test]
    fn the_oldest_turns_go_first_and_the_message_itself_never() {
        let log = || {
            conversation(
                Seq(5),
                vec![
                    message(1, User, None, Status::Answered),
                    message(2, Assistant, Some(1), Status::Complete),
                    message(3, User, None, Status::Answered),
                    message(4, Assistant, Some(3), Status::Complete),
                    message(5, User, None, Status::Pending),
                ],
            )
        };
        let each = tokens::at_most("word") + tokens::PER_MESSAGE;
        for (budget, kept) in [(5 * each, 5), (5 * each - 1, 3), (3 * each, 3), (3 * each - 1, 1), (0, 1)] {
            assert_eq!(order(&newest_that_fit(log(), budget)).len(), kept, "{budget} tokens");
        }
    }

    #[test]
    fn what_belongs_to_no_turn_is_told_in_its_place_and_instructions_stay_longest() {
        let log = || {
            conversation(
                Seq(6),
                vec![
                    message(1, Speaker::Developer, None, Status::Noted),
                    message(2, User, None, Status::Noted),
                    message(3, Assistant, None, Status::Noted),
                    message(4, User, None, Status::Answered),
                    message(5, Assistant, Some(4), Status::Complete),
                    message(6, User, None, Status::Pending),
                ],
            )
        };
        assert_eq!(order(&log()), [1, 2, 3, 4, 5, 6]);
        let each = tokens::at_most("word") + tokens::PER_MESSAGE;
        let kept = |messages: usize| order(&newest_that_fit(log(), messages * each));
        assert_eq!([kept(6), kept(5), kept(4)], [vec![1, 2, 3, 4, 5, 6], vec![1, 3, 4, 5, 6], vec![1, 4, 5, 6]]);
        assert_eq!([kept(3), kept(2), kept(1)], [vec![1, 6], vec![1, 6], vec![6]]);
    }

    #[test]
    fn what_was_erased_is_told_to_nobody() {
        let mut log = vec![
            message(1, User, None, Status::Answered),
            message(2, Assistant, Some(1), Status::Complete),
            message(3, User, None, Status::Noted),
            message(4, User, None, Status::Pending),
        ];
        log[0].content.clear();
        log[2].content.clear();
        assert_eq!(order(&conversation(Seq(4), log)), [4]);
    }
}
