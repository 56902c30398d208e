//! What went wrong with one try: what the user is told, what the log is told, and what follows from it.

use std::time::Duration;

use http::StatusCode;

use crate::{
    client::PostError,
    completions::Refusal,
    reply::{Fault, Refused, ReplyError},
};

/// Most characters of a cause.
const CAUSE_CHARS_MAX: usize = 400;

/// One try that gave no reply.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) what: What,
    /// For the log: nothing of the conversation, no key.
    pub(super) cause: String,
}

/// The kinds of failures, by what follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// No connection.
    Unreachable,
    /// No connection in time.
    Distant,
    /// The connection broke, or the answer ended in the middle.
    Broken,
    /// Too slow.
    Slow,
    /// The server asks for rest (429, or 503 with a time), for as long as it says.
    Busy(Option<Duration>),
    /// The server can't serve now (503).
    Unavailable,
    /// The server failed, or its answer is none of this protocol.
    Faulty,
    /// The server does not know this program, or has no such model: its operator has something to mend.
    Barred,
    /// The server takes no conversation like this one.
    Rejected(Refused),
    /// The model said nothing.
    Silent,
    /// A filter of the server let nothing of the answer through.
    Filtered,
    /// The model thought until it had no tokens left to say anything.
    Spent,
}

/// What a failure says of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// The server fails, whatever it is asked.
    OfServer,
    /// Either that, or it is the question.
    OfEither,
}

impl Failure {
    pub(super) fn new(what: What, cause: impl Into<String>) -> Self {
        Self { what, cause: cause.into() }
    }

    /// An answer that is none of this protocol.
    pub(super) fn faulty(cause: impl Into<String>) -> Self {
        Self::new(What::Faulty, cause)
    }

    /// Of a status that is no success.
    pub(super) fn of_status(status: StatusCode, again: Option<Duration>, refusal: &Refusal) -> Self {
        Self::new(What::of_status(status, again).told(refusal), format!("status {}{}", status.as_u16(), words(refusal)))
    }

    /// Of an error in the place of an answer.
    pub(super) fn of_refusal(refusal: &Refusal) -> Self {
        let status = refusal.code.as_deref().and_then(|code| code.parse().ok());
        let what = match status {
            Some(status) if StatusCode::is_client_error(&status) => What::of_status(status, None),
            _ if refusal.kind.as_deref() == Some("invalid_request_error") => What::Rejected(Refused::Other),
            Some(_) | None => What::Faulty,
        };
        Self::new(what.told(refusal), format!("the answer is an error{}", words(refusal)))
    }

    /// What this says about the server, rather than about one conversation; nothing where it does not. Otherwise who knows
    /// what it does not answer could have it closed for everybody.
    pub(super) fn sign(&self) -> Option<Sign> {
        match self.what {
            What::Rejected(_) | What::Silent | What::Filtered | What::Spent => None,
            What::Broken | What::Slow | What::Faulty => Some(Sign::OfEither),
            What::Unreachable | What::Distant | What::Busy(_) | What::Unavailable | What::Barred => {
                Some(Sign::OfServer)
            }
        }
    }

    /// True where another try may go better: on the same server, or only on another one.
    pub(super) fn may_mend(&self, elsewhere: bool) -> bool {
        match self.what {
            // The time is gone, and a server that is slow is not helped by more work; what was thought may not be longer the
            // next time either.
            What::Slow | What::Spent => false,
            What::Distant | What::Barred | What::Rejected(_) | What::Filtered => elsewhere,
            What::Unreachable | What::Broken | What::Busy(_) | What::Unavailable | What::Faulty | What::Silent => true,
        }
    }

    /// As it is given to whoever asked for the reply.
    pub(super) fn into_error(self) -> ReplyError {
        let detail = match self.what {
            What::Unreachable => "The model server can't be reached; please try again in a minute.".to_owned(),
            What::Distant => "The model server could not be reached in time; please try again in a minute.".to_owned(),
            What::Broken => "The model server broke off; please try again.".to_owned(),
            What::Slow => "The model took too long to answer; please try again.".to_owned(),
            What::Busy(Some(again)) => format!("The model server is busy; please try again {}.", in_time(again)),
            What::Busy(None) | What::Unavailable => {
                "The model server is busy; please try again in a minute.".to_owned()
            }
            What::Faulty => "The model server failed; please try again.".to_owned(),
            What::Barred => {
                "The model can't be used at the moment; please tell the operator of this service.".to_owned()
            }
            What::Rejected(Refused::TooLong) => {
                "The conversation is longer than the model has room for; please send less, or begin a new one."
                    .to_owned()
            }
            What::Rejected(Refused::Other) => {
                "The model server does not take this conversation; please try a shorter message.".to_owned()
            }
            What::Silent | What::Filtered => {
                "The model said nothing usable; please put it in other words or try again.".to_owned()
            }
            What::Spent => {
                "The model used up its tokens before it said anything; please ask for less at once, or have \
                            the operator of this service raise reply.openai.max_tokens."
                    .to_owned()
            }
        };
        let fault = match self.what {
            What::Slow | What::Distant => Fault::TooSlow,
            What::Busy(_) | What::Unavailable => Fault::Busy,
            What::Rejected(why) => Fault::Refused(why),
            What::Filtered => Fault::Filtered,
            What::Spent => Fault::Spent,
            What::Unreachable | What::Broken | What::Faulty | What::Barred | What::Silent => Fault::Other,
        };
        ReplyError { detail, fault, usage: None, cause: for_log(&self.cause) }
    }
}

impl What {
    /// With what the server says of it besides.
    fn told(self, refusal: &Refusal) -> Self {
        let is_rejected = matches!(self, Self::Rejected(_));
        if is_rejected && is_too_long(refusal) { Self::Rejected(Refused::TooLong) } else { self }
    }

    fn of_status(status: StatusCode, again: Option<Duration>) -> Self {
        match status.as_u16() {
            429 => Self::Busy(again),
            503 if again.is_some() => Self::Busy(again),
            503 => Self::Unavailable,
            400 | 413 | 422 => Self::Rejected(Refused::Other),
            408 | 409 | 425 => Self::Faulty,
            400..500 => Self::Barred,
            _ => Self::Faulty,
        }
    }
}

/// True where a server says, in OpenAI's word or in llama.cpp's, that the conversation is too long for the model.
fn is_too_long(refusal: &Refusal) -> bool {
    refusal.code.as_deref() == Some("context_length_exceeded")
        || refusal.kind.as_deref() == Some("exceed_context_size_error")
}

impl From<PostError> for Failure {
    fn from(error: PostError) -> Self {
        let what = match error {
            PostError::ConnectTooSlow(_) => What::Distant,
            PostError::Connect(_) => What::Unreachable,
            PostError::Broken(_) => What::Broken,
        };
        Self::new(what, error.to_string())
    }
}

/// Where no server is asked for now; the first of them is asked again after `again`.
pub(super) fn resting(again: Duration) -> ReplyError {
    let detail = format!("The model server is not answering; please try again {}.", in_time(again));
    let cause = "every server failed too often and is left alone for a while".to_owned();
    ReplyError { detail, fault: Fault::Other, usage: None, cause }
}

fn in_time(time: Duration) -> String {
    match time.as_secs() + u64::from(time.subsec_nanos() > 0) {
        0 | 1 => "in a second".to_owned(),
        seconds => format!("in {seconds} seconds"),
    }
}

fn words(refusal: &Refusal) -> String {
    let words: Vec<_> = [&refusal.kind, &refusal.code].into_iter().flatten().map(String::as_str).collect();
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

/// One line of bounded length.
pub(super) fn for_log(cause: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
    cause.chars().take(CAUSE_CHARS_MAX).map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_status(status: u16) -> Failure {
        Failure::of_status(StatusCode::from_u16(status).unwrap(), None, &Refusal::default())
    }

    #[test]
    fn what_follows_from_a_status() {
        use What::{Barred, Busy, Faulty, Unavailable};
        let rejected = What::Rejected(Refused::Other);
        for (status, what, servers, here, elsewhere) in [
            (400, rejected, false, false, true),
            (401, Barred, true, false, true),
            (402, Barred, true, false, true),
            (403, Barred, true, false, true),
            (404, Barred, true, false, true),
            (408, Faulty, true, true, true),
            (413, rejected, false, false, true),
            (422, rejected, false, false, true),
            (429, Busy(None), true, true, true),
            (500, Faulty, true, true, true),
            (503, Unavailable, true, true, true),
            (301, Faulty, true, true, true),
            (204, Faulty, true, true, true),
        ] {
            let failure = of_status(status);
            let follows = (failure.sign().is_some(), failure.may_mend(false), failure.may_mend(true));
            assert_eq!((failure.what, follows), (what, (servers, here, elsewhere)), "{status}");
        }
        let slow = Failure::new(What::Slow, "");
        assert!(slow.sign().is_some() && !slow.may_mend(true));
        let spent = Failure::new(What::Spent, "");
        assert!(spent.sign().is_none() && !spent.may_mend(true));
    }

    #[test]
    fn an_error_in_an_answer_is_read_like_a_status() {
        let of = |kind: Option<&str>, code: Option<&str>| {
            Failure::of_refusal(&Refusal { kind: kind.map(str::to_owned), code: code.map(str::to_owned) }).what
        };
        assert_eq!(of(None, Some("429")), What::Busy(None));
        assert_eq!(
            of(Some("invalid_request_error"), Some("context_length_exceeded")),
            What::Rejected(Refused::TooLong)
        );
        assert_eq!(of(Some("exceed_context_size_error"), Some("400")), What::Rejected(Refused::TooLong));
        assert_eq!(of(Some("invalid_request_error"), None), What::Rejected(Refused::Other));
        assert_eq!(of(Some("server_error"), None), What::Faulty);
        assert_eq!(of(None, Some("502")), What::Faulty);
        assert_eq!(of(None, None), What::Faulty);
    }

    #[test]
    fn people_are_told_when_to_try_again() {
        let told = |what| Failure::new(what, "").into_error();
        assert!(told(What::Busy(Some(Duration::from_millis(6100)))).detail.ends_with("in 7 seconds."));
        assert!(
            resting(Duration::from_millis(200)).detail.ends_with("is not answering; please try again in a second.")
        );
        assert!(told(What::Slow).is_too_slow() && told(What::Slow).is_overload());
        assert!(told(What::Unavailable).is_overload() && told(What::Busy(None)).is_overload());
        assert_eq!(told(What::Faulty).fault, Fault::Other);
        assert_eq!(told(What::Rejected(Refused::Other)).refused(), Some(Refused::Other));
    }

    #[test]
    fn a_cause_is_one_line_of_bounded_length() {
        let cause = Failure::faulty(format!("a\r\n\x1b[31m{}", "x".repeat(9000))).into_error().cause;
        assert!(cause.starts_with("a\\r\\n\\u{1b}[31m") && cause.len() < 500, "{cause}");
    }
}
