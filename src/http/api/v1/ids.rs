//! The ids of what clients are given. What is stored is named by its session and its place in it, so that no table maps
//! ids; each thing has one id, and reading takes exactly what writing gives.

use uuid::Uuid;

use crate::{
    chat::ItemId,
    id::{Seq, SessionId},
};

const CONVERSATION: &str = "conv_";
const RESPONSE: &str = "resp_";
const COMPLETION: &str = "chatcmpl-";
const ITEM: &str = "msg_";
/// Behind the place of the message that a reply answers.
const REPLY: char = 'r';

/// Hex digits of a session.
const SESSION_DIGITS: usize = 32;
/// Hex digits of a sequence: at least so many, and more only where they are needed.
const SEQ_DIGITS: usize = 8;

/// What is asked for and has an id, but is not stored: no id of what is stored looks like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passing {
    /// A completion.
    Completion,
    /// A response.
    Response,
    /// A response's message.
    Item,
}

impl Passing {
    /// A new id.
    pub(super) fn id(self) -> String {
        let prefix = match self {
            Self::Completion => COMPLETION,
            Self::Response => RESPONSE,
            Self::Item => ITEM,
        };
        format!("{prefix}{}", Uuid::new_v4().simple())
    }
}

/// The id of a session as a conversation.
pub(super) fn conversation(session: SessionId) -> String {
    format!("{CONVERSATION}{}", digits(session))
}

/// The id of the response to the message at `seq`.
pub(super) fn response(session: SessionId, seq: Seq) -> String {
    format!("{RESPONSE}{}{:08x}", digits(session), seq.0)
}

/// The id of the stored completion whose last message is at `seq`.
pub(super) fn completion(session: SessionId, seq: Seq) -> String {
    format!("{COMPLETION}{}{:08x}", digits(session), seq.0)
}

/// The id of an item.
pub(super) fn item(session: SessionId, id: ItemId) -> String {
    match id {
        ItemId::Message(seq) => format!("{ITEM}{}{:08x}", digits(session), seq.0),
        ItemId::Reply(seq) => format!("{ITEM}{}{:08x}{REPLY}", digits(session), seq.0),
    }
}

/// The session of a conversation's id.
pub(super) fn conversation_of(id: &str) -> Option<SessionId> {
    let (session, rest) = session_of(id.strip_prefix(CONVERSATION)?)?;
    rest.is_empty().then_some(session)
}

/// The place of a response's id.
pub(super) fn response_of(id: &str) -> Option<(SessionId, Seq)> {
    place_of(id.strip_prefix(RESPONSE)?)
}

/// The place of a stored completion's id.
pub(super) fn completion_of(id: &str) -> Option<(SessionId, Seq)> {
    place_of(id.strip_prefix(COMPLETION)?)
}

/// The session and the item of an item's id.
pub(super) fn item_of(id: &str) -> Option<(SessionId, ItemId)> {
    let id = id.strip_prefix(ITEM)?;
    match id.strip_suffix(REPLY) {
        Some(id) => place_of(id).map(|(session, seq)| (session, ItemId::Reply(seq))),
        None => place_of(id).map(|(session, seq)| (session, ItemId::Message(seq))),
    }
}

fn digits(session: SessionId) -> uuid::fmt::Simple {
    Uuid::from_bytes(session.bytes()).simple()
}

fn place_of(id: &str) -> Option<(SessionId, Seq)> {
    let (session, seq) = session_of(id)?;
    let needless = seq.len() > SEQ_DIGITS && seq.starts_with('0');
    if seq.len() < SEQ_DIGITS || needless || !is_hex(seq) {
        return None;
    }
    let seq = u64::from_str_radix(seq, 16).ok().filter(|seq| *seq > 0)?;
    Some((session, Seq(seq)))
}

fn session_of(id: &str) -> Option<(SessionId, &str)> {
    let (session, rest) = id.split_at_checked(SESSION_DIGITS)?;
    let uuid = Uuid::try_parse(session).ok().filter(|_| is_hex(session))?;
    Some((SessionId::from_bytes(uuid.into_bytes()), rest))
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written() {
        let session = SessionId::new();
        assert_eq!(conversation_of(&conversation(session)), Some(session));
        for seq in [1, 0xff, 0xffff_ffff, 0x1_0000_0000, u64::MAX].map(Seq) {
            assert_eq!(response_of(&response(session, seq)), Some((session, seq)));
            assert_eq!(completion_of(&completion(session, seq)), Some((session, seq)));
            for id in [ItemId::Message(seq), ItemId::Reply(seq)] {
                assert_eq!(item_of(&item(session, id)), Some((session, id)));
            }
        }
        assert_eq!(response(session, Seq(10)).len(), 5 + 32 + 8);
        assert!(item(session, ItemId::Reply(Seq(255))).ends_with("000000ffr"));
    }

    #[test]
    fn what_was_not_written_so_names_nothing() {
        let session = SessionId::new();
        let (conversation, response, item) =
            (conversation(session), response(session, Seq(7)), item(session, ItemId::Reply(Seq(7))));
        for wrong in [
            String::new(),
            "conv_".to_owned(),
            conversation.to_uppercase(),
            conversation[..36].to_owned(),
            format!("{conversation}0"),
            format!("conv_{session}"),
            format!("{conversation}é"),
            conversation.replace("conv_", "resp_"),
            format!("conv_{}", "é".repeat(16)),
            format!("conv_{}", "g".repeat(32)),
        ] {
            assert_eq!(conversation_of(&wrong), None, "{wrong}");
        }
        for wrong in [
            response.replace("00000007", "7"),
            response.replace("00000007", "000000007"),
            response.replace("00000007", "00000000"),
            response.replace("00000007", "0000000A"),
            response.replace("00000007", "+0000007"),
            format!("{response}r"),
            format!("{response} "),
            response.replace("00000007", &"f".repeat(17)),
            response.replace("00000007", ""),
            response.replace("resp_", "msg_"),
        ] {
            assert_eq!(response_of(&wrong), None, "{wrong}");
        }
        for wrong in [format!("{item}r"), item.replace('r', "R"), item.replace("00000007r", "r"), response.clone()] {
            assert_eq!(item_of(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_not_stored_has_an_id_without_a_place() {
        let id = Passing::Completion.id();
        assert!(id.len() == "chatcmpl-".len() + 32 && completion_of(&id).is_none());
        assert_ne!(Passing::Completion.id(), id);
        assert!(response_of(&Passing::Response.id()).is_none() && item_of(&Passing::Item.id()).is_none());
    }
}
