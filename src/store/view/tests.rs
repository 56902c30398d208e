//! A view that is loaded while the writer is at work.

use super::*;
use crate::{clock::Timestamp, id::MessageId};

fn record(speaker: SpeakerCode, reply_to: Option<Seq>) -> MessageRecord {
    MessageRecord {
        id: MessageId::new(),
        speaker,
        content: "text".to_owned(),
        reply_to,
        stopped: false,
        created_at: Timestamp(1),
        turn: 1,
        stamp: 1,
    }
}

#[test]
fn p3_a_view_calls_no_message_answered_before_it_has_the_reply() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::open(dir.path(), 1 << 20).unwrap();
    let id = SessionId::new();
    let at = Timestamp(1);
    let (title, cleared_through) = (None, Seq::ZERO);
    let meta = SessionMeta {
        owner: UserId::new(),
        title,
        created_at: at,
        changed_at: at,
        cleared_through,
        cleared_turns: 0,
        system_prompt: None,
    };
    let put = |seq, record: &MessageRecord| index.put_message(id, seq, record).unwrap();
    put(Seq(1), &record(SpeakerCode::User, None));
    let end = index.log_end(id, Seq::ZERO, 0).unwrap();
    let reply = record(SpeakerCode::Assistant, Some(Seq(1)));
    put(Seq(2), &reply); // The writer comes between the load's two looks.

    let mut view = SessionView::up_to(&index, id, meta, end).unwrap();
    assert_eq!(view.find(Seq(1)).unwrap().status, Status::Pending);
    view.apply(&Change::Message { session: id, seq: Seq(2), record: reply });
    assert_eq!(view.find(Seq(1)).unwrap().status, Status::Answered);
    assert_eq!(view.find(Seq(2)).unwrap().status, Status::Complete);
}
