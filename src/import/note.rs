//! What an import says of a file that is not as it should be.

/// Something that is not as it should be, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What it is.
    pub what: What,
    /// Where it stands in the file, for people.
    pub at: String,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is imported, changed as the words say.
    Repaired,
    /// It is not imported.
    LeftOut,
}

/// What is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// Several messages stood before their replies.
    PairedByOrder,
    /// A message has no reply.
    NoReply,
    /// A message that has a reply has another one.
    AnsweredAgain,
    /// A reply came in several parts.
    Joined,
    /// There is no usable time.
    NoTime,
    /// A time is in the future, or before what came before.
    WrongTime,
    /// The rows are not in the order of their times.
    Unordered,
    /// A text is longer than a message may be.
    Cut,
    /// Two users share a session's id.
    Shared,
    /// A row names no session.
    NoSession,
    /// The same was read before.
    Duplicate,
    /// A reply has no message before it.
    NoMessage,
    /// Neither a user nor the system speaks.
    Sender,
    /// There is no text.
    Empty,
    /// A row names no user.
    NoUser,
    /// It can't be read.
    Malformed,
    /// Something is no text: a picture, a file, a sound.
    Media,
    /// A step of a tool, or a thought of the model.
    Tool,
    /// A message of another branch of the conversation than the last one.
    Branch,
    /// A mood, which has no place here.
    Mood,
    /// A login, whose secret is not in the file.
    Login,
    /// A role or a password, which are taken over only from a file that is trusted.
    Untrusted,
    /// The session was deleted on this server.
    Deleted,
    /// The message is older than when its session was cleared on this server.
    Cleared,
    /// What a program keeps with something is too long, or nothing that can be kept.
    Kept,
    /// The server refused it.
    Refused,
    /// A quote is never closed, and has taken everything behind it.
    OpenQuote,
    /// A quote that is missing has put rows of the table into a text.
    Swallowed,
    /// The file ends within a line or a row.
    CutShort,
    /// A session lacks messages that it says it has.
    Incomplete,
}

impl What {
    /// What became of it.
    #[must_use]
    pub fn fate(self) -> Fate {
        match self {
            Self::PairedByOrder
            | Self::NoReply
            | Self::AnsweredAgain
            | Self::Joined
            | Self::NoTime
            | Self::WrongTime
            | Self::Unordered
            | Self::Cut
            | Self::Shared
            | Self::NoSession => Fate::Repaired,
            Self::Duplicate
            | Self::NoMessage
            | Self::Sender
            | Self::Empty
            | Self::NoUser
            | Self::Malformed
            | Self::Media
            | Self::Tool
            | Self::Branch
            | Self::Mood
            | Self::Login
            | Self::Untrusted
            | Self::Deleted
            | Self::Cleared
            | Self::Kept
            | Self::Refused
            | Self::OpenQuote
            | Self::Swallowed
            | Self::CutShort
            | Self::Incomplete => Fate::LeftOut,
        }
    }

    /// Its name in a report that programs read.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PairedByOrder => "paired-by-order",
            Self::NoReply => "no-reply",
            Self::AnsweredAgain => "answered-again",
            Self::Joined => "joined",
            Self::NoTime => "no-time",
            Self::WrongTime => "wrong-time",
            Self::Unordered => "unordered",
            Self::Cut => "cut",
            Self::Shared => "shared",
            Self::NoSession => "no-session",
            Self::Duplicate => "duplicate",
            Self::NoMessage => "no-message",
            Self::Sender => "sender",
            Self::Empty => "empty",
            Self::NoUser => "no-user",
            Self::Malformed => "malformed",
            Self::Media => "media",
            Self::Tool => "tool",
            Self::Branch => "branch",
            Self::Mood => "mood",
            Self::Login => "login",
            Self::Untrusted => "untrusted",
            Self::Deleted => "deleted",
            Self::Cleared => "cleared",
            Self::Kept => "kept",
            Self::Refused => "refused",
            Self::OpenQuote => "open-quote",
            Self::Swallowed => "swallowed",
            Self::CutShort => "cut-short",
            Self::Incomplete => "incomplete",
        }
    }

    /// What it is, and what was done about it.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::PairedByOrder => "reply behind several messages: paired in their order",
            Self::NoReply => "no reply: kept as failed, so that they can be retried",
            Self::AnsweredAgain => "further reply to an answered message: kept as its later answer",
            Self::Joined => "a reply in several parts: joined",
            Self::NoTime => "no usable time: given that of what came before",
            Self::WrongTime => "time in the future, or before what came before: moved to the nearest that is possible",
            Self::Unordered => "not in the order of their times: sorted",
            Self::Cut => "text over 1000000 bytes: cut to that",
            Self::Shared => "session of several users: one made for each",
            Self::NoSession => "no session: gathered in one for each user",
            Self::Duplicate => "the same again",
            Self::NoMessage => "reply without a message before it",
            Self::Sender => "said by neither a user nor the system",
            Self::Empty => "no text",
            Self::NoUser => "no user",
            Self::Malformed => "not readable",
            Self::Media => "picture, file or sound",
            Self::Tool => "step of a tool, or thought of the model",
            Self::Branch => "message of a branch that was left",
            Self::Mood => "mood, which has no place here",
            Self::Login => "login, whose secret is in no export",
            Self::Untrusted => "role or password of a file that is not said to be trusted (--trust)",
            Self::Deleted => "session that was deleted on this server",
            Self::Cleared => "message older than the clearing of its session on this server",
            Self::Kept => "what a program keeps with something, too long or of another form",
            Self::Refused => "refused by the server",
            Self::OpenQuote => "everything behind a quote that is never closed",
            Self::Swallowed => "row with other rows in its text, because a quote is missing",
            Self::CutShort => "the end of the file, which is cut in the middle",
            Self::Incomplete => "messages that a session had and the file has not",
        }
    }

    /// True where the file itself lacks or hides what it once had: it is to be mended, or made again, and imported again.
    #[must_use]
    pub fn is_broken_file(self) -> bool {
        matches!(self, Self::OpenQuote | Self::Swallowed | Self::CutShort | Self::Incomplete)
    }

    /// True where messages that somebody wanted may be missing.
    #[must_use]
    pub fn loses_messages(self) -> bool {
        let is_beside =
            matches!(self, Self::Mood | Self::Login | Self::Untrusted | Self::Media | Self::Tool | Self::Kept);
        self.fate() == Fate::LeftOut && !is_beside
    }
}
