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

fn meta() -> SessionMeta {
    let at = Timestamp(1);
    SessionMeta {
        owner: UserId::new(),
        title: None,
        created_at: at,
        changed_at: at,
        cleared_through: Seq::ZERO,
        cleared_turns: 0,
        system_prompt: None,
    }
}

#[test]
fn p3_a_view_calls_no_message_answered_before_it_has_the_reply() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::open(dir.path(), 1 << 20).unwrap();
    let id = SessionId::new();
    let put = |seq, record: &MessageRecord| index.put_message(id, seq, record).unwrap();
    put(Seq(1), &record(SpeakerCode::User, None));
    let end = index.log_end(id, Seq::ZERO, 0).unwrap();
    let reply = record(SpeakerCode::Assistant, Some(Seq(1)));
    put(Seq(2), &reply); // The writer comes between the load's two looks.

    let mut view = SessionView::up_to(&index, id, meta(), end).unwrap();
    assert_eq!(view.find(Seq(1)).unwrap().status, Status::Pending);
    view.apply(&Change::Message { session: id, seq: Seq(2), record: reply });
    assert_eq!(view.find(Seq(1)).unwrap().status, Status::Answered);
    assert_eq!(view.find(Seq(2)).unwrap().status, Status::Complete);
}

#[test]
fn p3_a_view_calls_no_reply_replaced_before_it_has_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::open(dir.path(), 1 << 20).unwrap();
    let id = SessionId::new();
    let put = |change: &Change| index.apply(change, Timestamp(1)).unwrap();
    let message = |seq, of: Option<u64>| {
        let speaker = if of.is_some() { SpeakerCode::Assistant } else { SpeakerCode::User };
        Change::Message { session: id, seq: Seq(seq), record: record(speaker, of.map(Seq)) }
    };
    let outcome = |seq, record| Change::Outcome { session: id, seq: Seq(seq), record };
    // The first message has a reply, the second has failed.
    let failed = OutcomeRecord::Failed { detail: "detail".to_owned(), too_slow: false, at: Timestamp(1) };
    for change in [message(1, None), message(2, Some(1)), message(3, None), outcome(3, failed)] {
        put(&change);
    }
    let end = index.log_end(id, Seq::ZERO, 0).unwrap();
    // Both are answered anew between the load's two looks.
    let news = [
        outcome(1, OutcomeRecord::Retried { seq: Seq(4), before: Some(Seq(2)) }),
        message(4, Some(1)),
        outcome(3, OutcomeRecord::Retried { seq: Seq(5), before: None }),
        message(5, Some(3)),
    ];
    for change in &news {
        put(change);
    }
    let mut view = SessionView::up_to(&index, id, meta(), end).unwrap();
    let statuses = |view: &SessionView| view.tail.iter().map(|message| message.status).collect::<Vec<_>>();
    assert_eq!(statuses(&view), [Status::Answered, Status::Complete, Status::Failed]);
    for change in &news {
        view.apply(change);
    }
    let [answered, complete] = [Status::Answered, Status::Complete];
    assert_eq!(statuses(&view), [answered, Status::Superseded, answered, complete, complete]);
}
