//! Records come back as they were, and those of earlier versions too.

use super::*;

fn message() -> MessageRecord {
    MessageRecord {
        id: MessageId::from_bytes([7; 16]),
        speaker: SpeakerCode::Assistant,
        content: "নমস্কার\0".to_owned(),
        reply_to: Some(Seq(1)),
        stopped: false,
        created_at: Timestamp(1_795_456_800_000_000),
        turn: 1,
        stamp: 300,
    }
}

#[test]
fn a_record_comes_back_as_it_was() {
    assert_eq!(decode(&encode(&message())), Ok(message()));
}

#[test]
fn damaged_bytes_are_an_error_and_ask_for_no_memory() {
    let whole = encode(&message());
    for cut in 0..whole.len() {
        assert!(decode::<MessageRecord>(&whole[..cut]).is_err(), "cut at {cut}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert!(decode::<MessageRecord>(&longer).is_err(), "a byte too many");
    let mut newer = whole;
    newer[0] = 99;
    assert_eq!(decode::<MessageRecord>(&newer), Err(CodecError::Version(99)));
    let mut huge = vec![VERSION, 16];
    huge.extend([7; 16]);
    huge.extend([1, 253, 255, 255, 255, 255, 255, 255, 255, 127]); // A text of 2^63 bytes.
    assert!(decode::<MessageRecord>(&huge).is_err());
}

#[test]
fn p8_a_record_over_the_limit_is_refused() {
    let text = u32::try_from(BYTES_MAX).unwrap();
    let mut bytes = [&[VERSION, 16][..], &[7; 16], &[1, 252], &text.to_le_bytes()].concat();
    bytes.resize(bytes.len() + usize::try_from(BYTES_MAX).unwrap() + 5, 0);
    assert!(matches!(decode::<MessageRecord>(&bytes), Err(CodecError::TooLong)));
}

/// The bytes of version 1 as the first release wrote them: if this fails, old directories can't be read.
#[test]
fn version_1_is_read_for_ever() {
    let bytes = include_bytes!("../../../tests/fixtures/message_record_v1.bin");
    assert_eq!(decode(bytes), Ok(message()));
    let bytes = include_bytes!("../../../tests/fixtures/changes_v1.bin");
    let (id, owner) = (SessionId::from_bytes([9; 16]), UserId::from_bytes([5; 16]));
    let change = Change::Message { session: id, seq: Seq(2), record: message() };
    assert_eq!(decode(bytes), Ok(vec![change]));
    let meta = SessionMeta {
        owner,
        title: Some("নদী".to_owned()),
        created_at: Timestamp(1_795_456_800_000_000),
        changed_at: Timestamp(1_795_456_800_000_001),
        cleared_through: Seq(4),
        cleared_turns: 2,
        system_prompt: None,
    };
    let bytes = include_bytes!("../../../tests/fixtures/session_record_v1.bin");
    assert_eq!(decode(bytes), Ok(SessionRecord::Live(meta.clone())));
    let failed = OutcomeRecord::Failed { detail: "no".to_owned(), too_slow: true, at: Timestamp(7) };
    let key = SendKeyRecord { session: id, seq: Seq(5), body: [2; 16], expires_at: Timestamp(8) };
    let changes = vec![
        Change::Session { id, meta },
        Change::Outcome { session: id, seq: Seq(5), record: failed },
        Change::SessionDeleted { id, owner },
        Change::SendKey { user: owner, key: [1; 16], record: key },
    ];
    assert_eq!(decode(include_bytes!("../../../tests/fixtures/session_changes_v1.bin")), Ok(changes));
}

/// As version 2 wrote them: sessions with instructions, turns that were answered again, and no jobs.
#[test]
fn version_2_is_read_for_ever() {
    let (id, owner) = (SessionId::from_bytes([9; 16]), UserId::from_bytes([5; 16]));
    let meta = SessionMeta {
        owner,
        title: Some("নদী".to_owned()),
        created_at: Timestamp(1_795_456_800_000_000),
        changed_at: Timestamp(1_795_456_800_000_001),
        cleared_through: Seq(4),
        cleared_turns: 2,
        system_prompt: Some("Be brief.".to_owned()),
    };
    let bytes = include_bytes!("../../../tests/fixtures/session_record_v2.bin");
    assert_eq!(decode(bytes), Ok(SessionRecord::Live(meta.clone())));
    let retried = OutcomeRecord::Retried { seq: Seq(7), before: Some(Seq(6)) };
    let in_vain = OutcomeRecord::RetryFailed { detail: "no".to_owned(), too_slow: false, at: Timestamp(7) };
    let mut changes = vec![
        Change::Session { id, meta },
        Change::Outcome { session: id, seq: Seq(5), record: retried },
        Change::Message { session: id, seq: Seq(7), record: message() },
        Change::Outcome { session: id, seq: Seq(8), record: in_vain },
        Change::Outcome { session: id, seq: Seq(9), record: OutcomeRecord::Resumed { times: 2 } },
    ];
    assert_eq!(decode(include_bytes!("../../../tests/fixtures/changes_v2.bin")), Ok(changes.clone()));
    let (id, key) = (JobId::from_bytes([3; 16]), "k".to_owned());
    changes.push(Change::JobEnded { id, key, remembered_until: None, expires_at: Timestamp(1) });
    let mut bytes = encode(&changes);
    assert_eq!(decode(&bytes), Ok(changes));
    bytes[0] = 2;
    assert!(matches!(decode::<Vec<Change>>(&bytes), Err(CodecError::Malformed(_))), "version 2 had no jobs");
}

/// As version 3 wrote them: jobs, and neither annotations nor messages that belong to no turn.
#[test]
fn version_3_is_read_for_ever() {
    let (id, key) = (JobId::from_bytes([3; 16]), "titles:9".to_owned());
    let record = JobRecord {
        kind: "titles".to_owned(),
        key: key.clone(),
        user: Some(UserId::from_bytes([5; 16])),
        payload: "{}".to_owned(),
        repeat: RepeatCode::Again,
        enqueued_at: Timestamp(1_795_456_800_000_000),
        due: Timestamp(1_795_456_800_000_001),
        attempts: 2,
        last_error: Some("no".to_owned()),
        state: JobStateCode::Running { until: Timestamp(1_795_456_800_000_002) },
        expires_at: Timestamp(1_795_456_800_000_003),
    };
    let session = SessionId::from_bytes([9; 16]);
    let ended = Change::JobEnded { id, key, remembered_until: None, expires_at: Timestamp(1) };
    let mut changes =
        vec![Change::Job { id, record }, ended, Change::Message { session, seq: Seq(7), record: message() }];
    assert_eq!(decode(include_bytes!("../../../tests/fixtures/changes_v3.bin")), Ok(changes.clone()));
    changes.push(Change::Annotation { session, seq: Seq(7), text: None });
    let mut bytes = encode(&changes);
    assert_eq!(decode(&bytes), Ok(changes));
    bytes[0] = 3;
    assert!(matches!(decode::<Vec<Change>>(&bytes), Err(CodecError::Malformed(_))), "version 3 had no annotations");
}
