//! What is imported becomes a log like any other, once, and leaves no turn open.

use super::{super::*, held::Held, user};
use crate::id::{MessageId, Seq};

/// A message of the user (`reply_to` is nothing) or a reply, with an id of its number.
fn message(number: u8, reply_to: Option<u64>, at: i64) -> ImportMessage {
    ImportMessage {
        id: MessageId::from_bytes([number; 16]),
        role: if reply_to.is_none() { Speaker::User } else { Speaker::Assistant },
        content: format!("message {number}"),
        reply_to: reply_to.map(Seq),
        stopped: false,
        created_at: Timestamp(at),
        failure: None,
        noted: false,
        note: None,
    }
}

struct Bench {
    store: Store,
    config: DataConfig,
    user: UserId,
    session: SessionId,
}

impl Bench {
    async fn import(&self, head: u64, messages: Vec<ImportMessage>) -> Result<Imported, StoreError> {
        self.import_as(self.user, head, messages).await
    }

    async fn import_as(&self, user: UserId, head: u64, messages: Vec<ImportMessage>) -> Result<Imported, StoreError> {
        let (created_at, updated_at) = (Timestamp(1_000), Timestamp(1_000));
        let make = Some(ImportSession { title: None, system_prompt: None, note: None, created_at, updated_at });
        self.store.import(Import { user, session: self.session, make, head: Seq(head), messages }).await
    }

    /// `(id's number, reply_to, status, created_at)` of every message.
    async fn log(&self) -> Vec<(u8, Option<u64>, Status, i64)> {
        let entries = self.store.read_log(self.session).await;
        let line = |message: &Message| {
            (message.id.bytes()[0], message.reply_to.map(|of| of.0), message.status, message.created_at.0)
        };
        entries.iter().map(line).collect()
    }
}

impl Store {
    async fn read_log(&self, session: SessionId) -> Vec<Message> {
        self.scan(move |index| {
            let entries = index.entries(session, Seq(1), Seq(1_000), log::NOW)?;
            Ok(entries.iter().map(|entry| batch::message_of(entry.seq, &entry.record, entry.status)).collect())
        })
        .await
        .unwrap()
    }
}

async fn bench(dir: &std::path::Path) -> Bench {
    let config = DataConfig { dir: dir.join("data"), ..DataConfig::default() };
    let (store, open) = Store::open(&config, &CacheConfig::default(), Clock::System).unwrap();
    assert_eq!(open, [], "a start finds a turn open");
    let user = user(&store).await;
    Bench { store, config, user, session: SessionId::from_bytes([7; 16]) }
}

#[tokio::test]
async fn a_turn_that_a_batch_cuts_is_closed_until_its_reply_comes() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path()).await;
    assert_eq!(bench.import(0, vec![message(1, None, 2_000)]).await.unwrap(), Imported::Stored(Seq(1)));
    assert_eq!(bench.log().await, [(1, None, Status::Interrupted, 2_000)]);
    bench.store.close().await;
    let (store, open) = Store::open(&bench.config, &CacheConfig::default(), Clock::System).unwrap();
    assert_eq!(open, [], "a start would answer what was said long ago");
    let bench = Bench { store, ..bench };
    // A time before that of the message moves behind it.
    let rest = vec![message(2, Some(1), 1_500), message(3, None, 3_000), message(4, Some(3), 3_001)];
    assert_eq!(bench.import(1, rest).await.unwrap(), Imported::Stored(Seq(4)));
    let wanted = [
        (1, None, Status::Answered, 2_000),
        (2, Some(1), Status::Complete, 2_000),
        (3, None, Status::Answered, 3_000),
        (4, Some(3), Status::Complete, 3_001),
    ];
    assert_eq!(bench.log().await, wanted);
    bench.store.close().await;
    drop(bench.store);
    let verdict = verify(&bench.config.dir, |_, _| ()).unwrap();
    assert_eq!((verdict.findings, verdict.open_turns), (vec![], 0));
}

#[tokio::test]
async fn a_batch_moves_behind_what_was_said_meanwhile_and_is_never_stored_twice() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path()).await;
    let (user, session) = (bench.user, bench.session);
    let first = vec![message(1, None, 2_000), message(2, Some(1), 2_001)];
    assert_eq!(bench.import(0, first.clone()).await.unwrap(), Imported::Stored(Seq(2)));
    // Whoever does not know that it is stored sends it again.
    assert_eq!(bench.import(0, first).await.unwrap(), Imported::Moved(Seq(2)));
    let live =
        NewMessage { user, session, create: false, content: "live".to_owned(), key: None, beside: Beside::default() };
    bench.store.append(live).unwrap().await.unwrap();
    let second = vec![message(3, None, 2_002), message(4, Some(3), 2_003), message(5, Some(1), 2_004)];
    assert_eq!(bench.import(2, second).await.unwrap(), Imported::Stored(Seq(6)));
    let log: Vec<_> = bench.log().await.into_iter().map(|(_, of, status, _)| (of, status)).collect();
    let wanted = [
        (None, Status::Answered),
        (Some(1), Status::Superseded),
        (None, Status::Pending),
        (None, Status::Answered),
        (Some(4), Status::Complete),
        (Some(1), Status::Complete),
    ];
    assert_eq!(log, wanted);
    let wrong = bench.import(6, vec![message(6, Some(3), 9_000)]).await.unwrap();
    assert!(matches!(wrong, Imported::Wrong(why) if why.contains("is being answered")), "a running turn is its own");
    bench.store.conclude(OpenTurn { session, seq: Seq(3) }, Ending::Interrupted, None).await.unwrap();
}

#[tokio::test]
async fn check_finds_a_message_that_a_session_has_twice() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path()).await;
    bench.import(0, vec![message(1, None, 2_000), message(2, Some(1), 2_001)]).await.unwrap();
    // Whoever makes it says that there is nothing of it up to 2.
    let again = bench.import(2, vec![message(1, None, 2_000), message(3, Some(3), 2_001)]).await.unwrap();
    assert_eq!(again, Imported::Stored(Seq(4)));
    Held::new(bench.store).end(&bench.config.dir, false).await;
    let verdict = verify(&bench.config.dir, |_, _| ()).unwrap();
    let found: Vec<_> = verdict.findings.into_iter().map(|finding| finding.0).collect();
    assert_eq!(found, [format!("session {} has one message twice, as 1 and as 3", bench.session)]);
}

#[tokio::test]
async fn what_is_wrong_with_a_batch_is_said_and_nothing_of_it_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path()).await;
    let too_long = ImportMessage { content: "x".repeat(TEXT_BYTES_MAX + 1), ..message(1, None, 2_000) };
    let many = (0..=u8::MAX).map(|number| message(number, None, 2_000)).chain([message(1, None, 2_000)]);
    for wrong in [
        vec![message(1, Some(1), 2_000)],
        vec![message(1, None, 2_000), message(2, Some(3), 2_000), message(3, None, 2_000)],
        vec![message(1, None, 2_000), message(2, Some(1), 2_000), message(3, Some(2), 2_000)],
        vec![ImportMessage { role: Speaker::Assistant, ..message(1, None, 2_000) }],
        vec![message(1, None, 2_000), ImportMessage { id: message(2, None, 2_000).id, ..too_long }],
        vec![message(1, None, 2_000), message(1, None, 2_000)],
        many.collect(),
    ] {
        assert!(matches!(bench.import(0, wrong).await.unwrap(), Imported::Wrong(_)));
    }
    assert_eq!(bench.import(3, vec![message(1, None, 2_000)]).await.unwrap(), Imported::Moved(Seq(0)));
    assert_eq!(bench.log().await, []);
    let stranger = bench.import_as(UserId::new(), 0, vec![message(1, None, 2_000)]).await;
    assert!(matches!(stranger, Err(StoreError::NotOwner(_))));
    bench.import(0, vec![message(1, None, 2_000)]).await.unwrap();
    let future = Timestamp(i64::MAX);
    bench.import(1, vec![ImportMessage { created_at: future, ..message(2, None, 0) }]).await.unwrap();
    assert!(bench.log().await[1].3 < Clock::System.now().0 + 1, "nothing is said in the future");
    bench.store.delete_session(bench.user, bench.session).await.unwrap();
    let gone = bench.import(2, vec![message(3, None, 2_000)]).await;
    assert!(matches!(gone, Err(StoreError::NotOwner(_))), "a deleted session does not come back");
    let look = bench.store.look_for_import(bench.user, bench.session, Seq::ZERO).await.unwrap();
    assert_eq!(look.holder, Holder::Deleted);
}
