//! What stands beside turns: items, annotations, progress and erasures, through restarts, a new index and compaction.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use super::{super::*, held::Held, user};
use crate::id::Seq;

/// A store that can be closed and opened again.
struct Bench {
    dir: tempfile::TempDir,
    store: Held,
    user: UserId,
    session: SessionId,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Held::new(open(dir.path()).0);
        let user = user(&store).await;
        Self { dir, store, user, session: SessionId::new() }
    }

    /// Closes and opens it, with a new index where that is asked for; gives the open turns.
    async fn again(&mut self, rebuild: bool) -> Vec<OpenTurn> {
        let (data, mut turns) = (self.dir.path().join("data"), Vec::new());
        let begin = || {
            let (store, open) = open(self.dir.path());
            turns = open;
            store
        };
        self.store.again(&data, rebuild, begin).await;
        turns
    }

    async fn say(&self, content: &str, beside: Beside) -> OpenTurn {
        let (user, session) = (self.user, self.session);
        let message = NewMessage { user, session, create: true, content: content.to_owned(), key: None, beside };
        let seq = self.store.append(message).unwrap().await.unwrap().message.seq;
        OpenTurn { session, seq }
    }

    async fn reply(&self, turn: OpenTurn, annotation: Option<&str>) {
        let ending = Ending::Reply { content: "the reply".to_owned(), stopped: false };
        self.store.conclude(turn, ending, annotation.map(str::to_owned)).await.unwrap();
    }

    /// `(role, text, status)` of every message.
    async fn log(&self) -> Vec<(Speaker, String, Status)> {
        let (mut log, mut from) = (Vec::new(), Seq(1));
        loop {
            let run = self.store.run(self.session, from, true, 1000).await.unwrap();
            let Some(last) = run.last().map(|message| message.seq) else { return log };
            log.extend(run.into_iter().map(|message| (message.role, message.content, message.status)));
            from = last.next();
        }
    }

    async fn annotation(&self, seq: u64) -> Option<String> {
        self.store.annotation(self.session, Seq(seq)).await.unwrap()
    }

    /// True where some file of the directory has `text` in it.
    fn is_on_disk(&self, text: &str) -> bool {
        let mut dirs = vec![self.dir.path().join("data").join("journal")];
        let mut found = false;
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    let bytes = std::fs::read(path).unwrap();
                    found |= bytes.windows(text.len()).any(|window| window == text.as_bytes());
                }
            }
        }
        found
    }
}

fn open(dir: &std::path::Path) -> (Store, Vec<OpenTurn>) {
    let config = DataConfig {
        dir: dir.join("data"),
        segment: 16 << 10,
        min_free: 0,
        keep_replaced: Duration::ZERO,
        ..DataConfig::default()
    };
    Store::open(&config, &CacheConfig::default(), Clock::System).unwrap()
}

fn item(role: Speaker, content: &str) -> NewItem {
    NewItem { role, content: content.to_owned() }
}

#[tokio::test]
async fn items_stand_in_the_log_in_their_order_and_open_no_turn() {
    let mut bench = Bench::new().await;
    let items = vec![
        item(Speaker::Developer, "be brief"),
        item(Speaker::User, "hello"),
        item(Speaker::Assistant, "hi"),
        item(Speaker::System, "be kind"),
    ];
    let (user, session) = (bench.user, bench.session);
    let about = Some("metadata".to_owned());
    let added = bench
        .store
        .add_items(NewItems { user, session, create: true, about, items, key: None, renews_key: false })
        .await
        .unwrap()
        .items;
    assert_eq!(added.iter().map(|message| message.seq.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let before = vec![item(Speaker::User, "between")];
    let turn = bench.say("question", Beside { before, ..Beside::default() }).await;
    assert_eq!(turn.seq, Seq(6));
    bench.reply(turn, None).await;
    let wanted = [
        (Speaker::Developer, "be brief", Status::Noted),
        (Speaker::User, "hello", Status::Noted),
        (Speaker::Assistant, "hi", Status::Noted),
        (Speaker::System, "be kind", Status::Noted),
        (Speaker::User, "between", Status::Noted),
        (Speaker::User, "question", Status::Answered),
        (Speaker::Assistant, "the reply", Status::Complete),
    ]
    .map(|(role, text, status)| (role, text.to_owned(), status));
    for rebuild in [false, false, true] {
        assert_eq!(bench.log().await, wanted);
        assert_eq!(bench.annotation(0).await.as_deref(), Some("metadata"));
        let page = bench.store.page(session, PageRange { after: None, before: None, limit: 200 }).await.unwrap();
        let page: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
        let roles: Vec<_> = page["messages"].as_array().unwrap().iter().map(|line| line["role"].clone()).collect();
        assert_eq!(roles, ["developer", "user", "assistant", "system", "user", "user", "assistant"]);
        assert_eq!(page["messages"][1]["status"], "noted");
        let pairs = bench.store.history(user, None, 50, 0).await.unwrap();
        let pairs: serde_json::Value = serde_json::from_slice(&pairs.body).unwrap();
        assert_eq!((&pairs["total"], &pairs["messages"][0]["message"]), (&1.into(), &"question".into()));
        assert_eq!(bench.store.find(user, "hello", 9, Duration::from_mins(1)).await.unwrap().total, 1);
        assert!(bench.store.turn(session, Seq(2)).await.unwrap().is_none(), "nobody was asked to answer it");
        assert_eq!(bench.again(rebuild).await, []);
    }
    let stranger = super::user(&bench.store).await;
    let items = vec![item(Speaker::User, "mine")];
    let new = NewItems { user: stranger, session, create: true, about: None, items, key: None, renews_key: false };
    assert!(matches!(bench.store.add_items(new).await, Err(StoreError::NotOwner(_))));
}

#[tokio::test]
async fn p1_pieces_that_were_shown_are_there_after_a_restart_until_the_turn_has_its_outcome() {
    let mut bench = Bench::new().await;
    let annotation = Some("asked".to_owned());
    let turn = bench.say("question", Beside { annotation, ..Beside::default() }).await;
    let pieces = ["one ", "দুই ", "three"];
    let mut at = 0;
    for piece in pieces {
        bench.store.progress(turn, at, piece.to_owned()).await.unwrap();
        at += u32::try_from(piece.len()).unwrap();
    }
    for rebuild in [false, true] {
        assert_eq!(bench.again(rebuild).await, [turn]);
        assert_eq!(bench.store.pieces(turn).await.unwrap(), pieces);
        assert_eq!(bench.annotation(1).await.as_deref(), Some("asked"));
    }
    assert!(!bench.store.annotate(bench.user, bench.session, Seq(1), None).await.unwrap(), "the turn is open");
    bench.reply(turn, Some("ended")).await;
    let late = bench.store.progress(turn, at, "late".to_owned()).await;
    assert!(matches!(late, Err(StoreError::TurnGone)));
    for rebuild in [false, true] {
        assert_eq!(bench.store.pieces(turn).await.unwrap(), Vec::<String>::new());
        assert_eq!(bench.annotation(1).await.as_deref(), Some("ended"));
        bench.store.compact().await.unwrap();
        assert_eq!(bench.again(rebuild).await, []);
    }
    let until = Instant::now() + Duration::from_mins(1);
    let all = bench
        .store
        .annotations(bench.user, Walk { after: None, upwards: true, limit: 9, until }, |_| true)
        .await
        .unwrap();
    assert_eq!(all, (vec![(bench.session, Seq(1), "ended".to_owned())], true));
    assert_eq!(
        bench
            .store
            .annotations(bench.user, Walk { after: None, upwards: false, limit: 9, until }, |_| true)
            .await
            .unwrap(),
        all
    );
    for upwards in [false, true] {
        let after = Some((bench.session, Seq(1)));
        assert_eq!(
            bench.store.annotations(bench.user, Walk { after, upwards, limit: 9, until }, |_| true).await.unwrap(),
            (vec![], true)
        );
    }
    let late = bench
        .store
        .annotations(bench.user, Walk { after: None, upwards: true, limit: 9, until: Instant::now() }, |_| false)
        .await;
    assert!(matches!(late, Err(StoreError::Busy)));
}

/// Whoever comes back is told of all that has no text any more, however long the log is.
#[tokio::test]
async fn what_was_taken_away_is_found_in_the_cache_and_behind_it() {
    let mut bench = Bench::new().await;
    let (user, session) = (bench.user, bench.session);
    let turn = bench.say("a question", Beside::default()).await;
    let ending = Ending::Reply { content: "the beginning of a reply".to_owned(), stopped: true };
    bench.store.conclude(turn, ending, None).await.unwrap();
    for seq in [1, 2] {
        assert_eq!(bench.store.erase(user, session, Seq(seq)).await.unwrap(), Erasure::Erased);
    }
    let told = |after, limit| {
        let store = &bench.store;
        async move { store.taken_away(session, Seq(after), limit).await.unwrap().erased }
    };
    assert_eq!((told(2, 9).await, told(1, 9).await), (vec![Seq(1), Seq(2)], vec![Seq(1)]));
    for n in 0..100 {
        let items = vec![item(Speaker::User, &n.to_string().repeat(5000))];
        let items = NewItems { user, session, create: false, about: None, items, key: None, renews_key: false };
        bench.store.add_items(items).await.unwrap();
    }
    assert_eq!(bench.store.erase(user, session, Seq(7)).await.unwrap(), Erasure::Erased);
    for rebuild in [false, true] {
        let told = |after, limit| {
            let store = &bench.store;
            async move { store.taken_away(session, Seq(after), limit).await.unwrap() }
        };
        assert_eq!(told(102, 200).await.erased, [1, 2, 7].map(Seq), "over a megabyte of it");
        assert_eq!(told(102, 100).await.erased, [Seq(7)]);
        assert_eq!(told(102, 100).await.cleared, None);
        bench.again(rebuild).await;
    }
    bench.store.clear_sessions(user).await.unwrap();
    let told = |after| bench.store.taken_away(session, Seq(after), 100);
    let cleared = told(5).await.unwrap();
    assert_eq!((cleared.cleared.map(|(through, _)| through), cleared.erased), (Some(Seq(102)), vec![]));
    assert_eq!(told(0).await.unwrap().cleared, None, "who has nothing lost nothing");
}

#[tokio::test]
async fn what_is_erased_is_gone_from_the_log_and_by_compaction_from_the_files() {
    let mut bench = Bench::new().await;
    let annotation = Some("the annotation".to_owned());
    let turn = bench.say("a secret word", Beside { annotation, ..Beside::default() }).await;
    let (user, session) = (bench.user, bench.session);
    assert_eq!(bench.store.erase(user, session, Seq(1)).await.unwrap(), Erasure::BeingAnswered);
    bench.reply(turn, None).await;
    bench.say("another", Beside::default()).await;
    for n in 0..20 {
        // So that the segment of the secret is sealed.
        let items = vec![item(Speaker::User, &n.to_string().repeat(1500))];
        bench
            .store
            .add_items(NewItems { user, session, create: false, about: None, items, key: None, renews_key: false })
            .await
            .unwrap();
    }
    let stranger = super::user(&bench.store).await;
    assert!(matches!(bench.store.erase(stranger, session, Seq(1)).await, Err(StoreError::NotOwner(_))));
    assert_eq!(bench.store.erase(user, session, Seq(99)).await.unwrap(), Erasure::NoSuchMessage);
    for _ in 0..2 {
        assert_eq!(bench.store.erase(user, session, Seq(1)).await.unwrap(), Erasure::Erased);
    }
    for rebuild in [false, true, true] {
        let log = bench.log().await;
        assert_eq!(log[0], (Speaker::User, String::new(), Status::Answered));
        assert_eq!(log[1], (Speaker::Assistant, "the reply".to_owned(), Status::Complete));
        assert_eq!(bench.annotation(1).await, None);
        bench.store.compact().await.unwrap();
        bench.again(rebuild).await;
    }
    assert!(!bench.is_on_disk("secret") && !bench.is_on_disk("the annotation"));
    assert!(bench.is_on_disk("another"));
}

#[tokio::test]
async fn what_stands_beside_a_session_goes_with_it() {
    let mut bench = Bench::new().await;
    let beside =
        Beside { annotation: Some("asked".to_owned()), about: Some("metadata".to_owned()), ..Beside::default() };
    let turn = bench.say("question", beside).await;
    bench.store.progress(turn, 0, "begun".to_owned()).await.unwrap();
    bench.store.clear_sessions(bench.user).await.unwrap();
    for rebuild in [false, true] {
        assert_eq!(bench.annotation(1).await, None, "cleared");
        assert_eq!(bench.annotation(0).await.as_deref(), Some("metadata"), "what the session itself has stays");
        assert_eq!(bench.store.pieces(turn).await.unwrap(), Vec::<String>::new(), "though they may not be removed yet");
        assert_eq!(bench.again(rebuild).await, []);
    }
    let late = bench.store.delete_session_at(bench.user, bench.session, Seq::ZERO).await;
    assert!(matches!(late, Err(StoreError::Moved)), "something was said since");
    bench.store.delete_session_at(bench.user, bench.session, Seq(1)).await.unwrap();
    for rebuild in [false, true] {
        assert_eq!(bench.annotation(0).await, None, "deleted");
        while bench.store.shared.index.has_removals() {
            tokio::task::yield_now().await;
        }
        bench.again(rebuild).await;
    }
    bench.store.compact().await.unwrap();
    bench.again(true).await;
    assert!(bench.store.shared.index.annotation(bench.session, Seq::ZERO).unwrap().is_none());
}

#[tokio::test]
async fn items_that_are_added_again_with_their_key_are_those_of_the_first_time() {
    let mut bench = Bench::new().await;
    let (user, session) = (bench.user, bench.session);
    let key = |body: u8| Some(SendKey { key: [1; 16], body: [body; 16], expires_at: Timestamp(i64::MAX) });
    let new = |body, renews_key| {
        let items = vec![item(Speaker::User, "one"), item(Speaker::Assistant, "two")];
        NewItems { user, session, create: true, about: None, items, key: key(body), renews_key }
    };
    let seqs = |added: &AddedItems| added.items.iter().map(|message| message.seq.0).collect::<Vec<_>>();
    // The same at the same moment, decided together.
    let (first, second) = tokio::join!(bench.store.add_items(new(1, false)), bench.store.add_items(new(1, false)));
    assert_eq!((seqs(&first.unwrap()), seqs(&second.unwrap())), (vec![1, 2], vec![1, 2]));
    for rebuild in [false, true] {
        bench.again(rebuild).await;
        let known = bench.store.add_items(new(1, false)).await.unwrap();
        assert_eq!((seqs(&known), known.session, known.items[1].content.as_str()), (vec![1, 2], session, "two"));
    }
    assert!(matches!(bench.store.add_items(new(2, false)).await, Err(StoreError::KeyReused)));
    assert_eq!(seqs(&bench.store.add_items(new(2, true)).await.unwrap()), [3, 4], "the key is theirs now");
    assert_eq!(seqs(&bench.store.add_items(new(2, false)).await.unwrap()), [3, 4]);
    bench.store.clear_sessions(user).await.unwrap();
    assert!(matches!(bench.store.add_items(new(2, false)).await, Err(StoreError::TurnGone)));
    assert_eq!(bench.log().await, []);
}

/// Bytes of texts: what is whole in the index, what is just too long for that, and what is as long as a text may be.
const LONG: [usize; 4] = [90_000, 98_304, 98_305, 1_000_000];

/// A text of so many bytes that has no part twice.
fn long(name: &str, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes);
    for n in 0..bytes / 8 {
        let _ = write!(text, "{n:08}"); // A string takes all.
    }
    text.replace_range(..name.len(), name);
    text.truncate(bytes);
    text + &"x".repeat(bytes % 8)
}

#[tokio::test]
async fn long_texts_are_kept_whole_changed_whole_and_leave_nothing() {
    let mut bench = Bench::new().await;
    let (user, session) = (bench.user, bench.session);
    let mut said = Vec::new();
    for bytes in LONG.into_iter().cycle().take(40) {
        let annotation = Some(long("a note", bytes));
        let turn = bench.say(&long("a secret", bytes), Beside { annotation, ..Beside::default() }).await;
        bench.reply(turn, Some(&long("another note", bytes))).await;
        said.push((turn.seq, bytes));
    }
    let parts = |bench: &Bench| bench.store.shared.index.parts();
    for rebuild in [false, false, true] {
        let log = bench.log().await;
        for (seq, bytes) in &said {
            let at = usize::try_from(seq.0).unwrap() - 1;
            assert!(log[at].1 == long("a secret", *bytes), "message {seq} of {bytes} bytes");
            assert!(bench.annotation(seq.0).await == Some(long("another note", *bytes)), "beside message {seq}");
        }
        assert_eq!(parts(&bench), 2 * 10 * (1 + 1 + 14), "the parts of what was replaced are gone");
        bench.again(rebuild).await;
    }
    let blobs = bench.dir.path().join("data/index/blobs");
    assert_eq!(std::fs::read_dir(blobs).unwrap().count(), 0, "sled syncs no file of its own");
    let (seq, _) = said.pop().unwrap();
    assert_eq!(bench.store.erase(user, session, seq).await.unwrap(), Erasure::Erased);
    bench.again(false).await;
    assert_eq!((parts(&bench), bench.annotation(seq.0).await), (2 * (10 * 16 - 14), None));
    bench.store.delete_session(user, session).await.unwrap();
    for _ in 0..2_000 {
        if parts(&bench) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(parts(&bench), 0);
}
