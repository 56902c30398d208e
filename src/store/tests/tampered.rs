//! What `check` says of an index that is not as the journal is: each thing that stands beside accounts and messages by name.

use std::time::Duration;

use super::{
    super::{codec, key::MessageKey, verify::verify_dir, *},
    held::Held,
    user,
};
use crate::id::{Seq, TokenId};

/// A directory with an account, a key of a program, and a session with all that may stand in it.
struct Bench {
    dir: tempfile::TempDir,
    user: UserId,
    session: SessionId,
    key: Token,
}

const KEY: [u8; 32] = [2; 32];

fn open(dir: &tempfile::TempDir) -> Store {
    let config = DataConfig { dir: dir.path().join("data"), min_free: 0, ..DataConfig::default() };
    Store::open(&config, &CacheConfig::default(), Clock::System).unwrap().0
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Held::new(open(&dir));
        let (user, session) = (user(&store).await, SessionId::new());
        let (at, expires_at) = (Clock::System.now(), Clock::System.now().after(Duration::from_hours(1)));
        let login = |scopes| {
            let (id, label) = (TokenId::new(), None);
            Token { id, user, label, created_at: at, expires_at, last_used_at: at, scopes }
        };
        let key = login(Some(1));
        store.create_token(TokenDigest([1; 32]), login(None), 9).await.unwrap();
        assert!(store.create_key(TokenDigest(KEY), key.clone(), TokenDigest([1; 32]), 9).await.unwrap());
        let bench = Self { dir, user, session, key };
        let annotation = Some("asked".to_owned());
        let about = Some("metadata".to_owned());
        let turn = bench.say(&store, Beside { annotation, about, ..Beside::default() }).await;
        let ending = Ending::Reply { content: "reply".to_owned(), stopped: false };
        store.conclude(turn, ending, Some("ended".to_owned())).await.unwrap();
        assert_eq!(store.erase(user, session, Seq(2)).await.unwrap(), Erasure::Erased);
        let open = bench.say(&store, Beside::default()).await;
        store.progress(open, 0, "piece".to_owned()).await.unwrap();
        store.end(&bench.dir.path().join("data"), false).await;
        bench
    }

    async fn say(&self, store: &Store, beside: Beside) -> OpenTurn {
        let (user, session, content) = (self.user, self.session, "question".to_owned());
        let message = NewMessage { user, session, create: true, content, key: None, beside };
        let seq = store.append(message).unwrap().await.unwrap().message.seq;
        OpenTurn { session, seq }
    }

    fn place(&self, seq: u64) -> [u8; 24] {
        MessageKey { session: self.session, seq: Seq(seq) }.encode()
    }

    /// What `check` finds once a tree of the index has this under that key.
    async fn found(&self, tree: &str, key: &[u8], value: Option<Vec<u8>>) -> Vec<String> {
        let (data, mut store) = (self.dir.path().join("data"), Held::new(open(&self.dir)));
        let tree = store.shared.index.db.open_tree(tree).unwrap();
        match value {
            Some(value) => drop(tree.insert(key, value).unwrap()),
            None => assert!(tree.remove(key).unwrap().is_some(), "it was there"),
        }
        drop(tree);
        store.end(&data, false).await;
        let verdict = verify_dir(&Dir::of(&data), |_, _| ()).unwrap();
        assert_eq!(verdict.index_to_rebuild, None, "it was compared");
        let found = verdict.findings.into_iter().map(|finding| finding.0).collect();
        Held::new(open(&self.dir)).end(&data, true).await;
        found
    }
}

fn text(text: &str) -> Vec<u8> {
    codec::encode(&text.to_owned())
}

#[tokio::test]
async fn check_compares_the_scopes_of_api_keys_and_their_logins() {
    let bench = Bench::new().await;
    let wrong_scopes = [format!("the scopes of the API key {} are not so in the index", bench.key.id)];
    assert_eq!(bench.found("scopes", &KEY, Some(codec::encode(&u32::MAX))).await, wrong_scopes);
    assert_eq!(bench.found("scopes", &KEY, None).await, wrong_scopes, "a key without bounds would be a person's login");
    let unknown = ["the index has scopes of an API key that is not there"];
    assert_eq!(bench.found("scopes", &[9; 32], Some(codec::encode(&1_u32))).await, unknown);
    let wrong_login = format!("login {} is not so in the index", bench.key.id);
    assert_eq!(bench.found("tokens", &KEY, None).await, [wrong_login.clone(), unknown[0].to_owned()]);
    let later = bench.key.expires_at.after(Duration::from_hours(1));
    let record = |id, user, expires_at| {
        let (label, created_at, last_used_at) = (None, bench.key.created_at, bench.key.last_used_at);
        Some(codec::encode(&codec::TokenRecord { id, user, label, created_at, expires_at, last_used_at }))
    };
    assert_eq!(bench.found("tokens", &KEY, record(bench.key.id, bench.user, later)).await, [wrong_login]);
    let (id, nobody) = (TokenId::new(), UserId::new());
    let added = [format!("login {id} is in the index only")];
    assert_eq!(bench.found("tokens", &[9; 32], record(id, bench.user, later)).await, added);
    let of_nobody = [format!("login {id} belongs to user {nobody}, who is not there")];
    assert_eq!(bench.found("tokens", &[9; 32], record(id, nobody, later)).await, of_nobody);
    assert_eq!(bench.found("tokens", &[9; 32], record(id, bench.user, Timestamp(1))).await, [""; 0], "it is over");
}

#[tokio::test]
async fn check_compares_annotations_pieces_and_what_was_erased() {
    let bench = Bench::new().await;
    let session = bench.session;
    let annotated = |place: &str| [format!("the annotation of {place}session {session} is not so in the index")];
    for wrong in [Some(text("other")), None] {
        assert_eq!(bench.found("annotations", &bench.place(0), wrong.clone()).await, annotated(""));
        assert_eq!(bench.found("annotations", &bench.place(1), wrong).await, annotated("message 1 of "));
    }
    assert_eq!(bench.found("annotations", &bench.place(2), Some(text("new"))).await, annotated("message 2 of "));
    let mut piece = bench.place(3).to_vec();
    piece.extend(5_u32.to_be_bytes());
    let shown =
        [format!("what was shown of the running reply to message 3 of session {session} is not so in the index")];
    assert_eq!(bench.found("progress", &piece, Some(text("invented"))).await, shown);
    let mut store = Held::new(open(&bench.dir));
    let erased = store.shared.index.message(session, Seq(2)).unwrap().unwrap();
    assert_eq!(erased.content, "");
    store.end(&bench.dir.path().join("data"), false).await;
    let back = codec::MessageRecord { content: "reply".to_owned(), ..erased };
    let found = bench.found("messages", &bench.place(2), Some(codec::encode(&back))).await;
    let [found] = &found[..] else { panic!("{found:?}") };
    assert!(found.ends_with(&format!("message 2 of session {session} is not so in the index")), "{found}");
}
