//! Event streams: read and checked while their user sends.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use super::{
    bench::{Answer, Bench, Question},
    figures::{Call, End},
    pace::Pace,
    user::User,
};
use crate::{
    checker::{Message, SessionNo, Stream},
    client::Kept,
    sse,
};

/// How long a stream may take to tell what was acknowledged.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a stream of the churn is read.
const MOMENT: Duration = Duration::from_secs(2);

/// A stream that is read.
struct Reader {
    kept: Kept,
    decoder: sse::Decoder,
    stream: Stream,
    no: SessionNo,
}

impl User {
    /// Opens the stream of the newest session, and begins behind `after`.
    async fn open(&mut self, bench: &Bench, talk: usize, after: Option<u64>) -> Option<Reader> {
        let talk = &self.talks[talk];
        let after_query = after.map(|after| format!("?after={after}")).unwrap_or_default();
        let path = format!("{}/events{after_query}", talk.path());
        let stream = bench.checker.borrow_mut().stream_begins(talk.no, after);
        let mut tab = bench.tab(self.account.token.clone());
        let kept = tab.open(bench, Question::get(Call::Stream, &path)).await?;
        Some(Reader { kept, decoder: sse::Decoder::default(), stream, no: talk.no })
    }

    /// Sends as long as the run lasts, while a stream of the session is read on a connection of its own.
    pub(super) async fn follow(&mut self, bench: &Rc<Bench>, pace: &mut Pace) {
        let Some(talk) = self.talk(bench).await else { return };
        let after = bench.checker.borrow().head(self.talks[talk].no);
        let Some(mut reader) = self.open(bench, talk, Some(after)).await else { return };
        let (since, over) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(false)));
        let reading = {
            let (bench, since, over) = (Rc::clone(bench), Rc::clone(&since), Rc::clone(&over));
            tokio::task::spawn_local(async move {
                reader.read(&bench, &since, || over.get()).await;
                if over.get() {
                    bench.checker.borrow_mut().stream_ends(reader.no, &reader.stream);
                }
            })
        };
        while let Some(due) = pace.next(bench, &mut self.random).await {
            since.set(Some(due));
            self.step(bench, due).await;
        }
        over.set(true);
        let _ = tokio::time::timeout(PATIENCE * 2, reading).await;
    }

    /// Opens a stream that begins at the first message, sends while it is open, and closes it.
    pub(super) async fn stream_for_a_moment(&mut self, bench: &Rc<Bench>, talk: usize) {
        let head = bench.checker.borrow().head(self.talks[talk].no);
        let Some(mut reader) = self.open(bench, talk, Some(head)).await else { return };
        self.send(bench, talk, Instant::now()).await;
        let since = Cell::new(None);
        let _ = tokio::time::timeout(MOMENT, reader.read(bench, &since, || true)).await;
        bench.checker.borrow_mut().stream_ends(reader.no, &reader.stream);
    }

    /// Has the last turn of the session answered anew.
    pub(super) async fn retry(&mut self, bench: &Rc<Bench>, talk: usize, due: Instant) {
        #[derive(serde::Deserialize)]
        struct Anew<'a> {
            #[serde(borrow)]
            message: Message<'a>,
            #[serde(borrow)]
            reply: Message<'a>,
        }
        let talk = &self.talks[talk];
        let Some(seq) = talk.last_message(bench, &mut self.tab).await else { return };
        bench.checker.borrow_mut().retry_begins(talk.no);
        let path = format!("{}/messages/{seq}/retry", talk.path());
        let mut question = Question::post(Call::Retry, &path, String::new());
        (question.body, question.also) = (None, 409);
        let Answer::Ok(reply) = self.tab.ask(bench, due, question).await else { return };
        if reply.head.status == 409 {
            return;
        }
        match serde_json::from_slice::<Anew>(reply.body()) {
            Ok(Anew { message, reply }) => bench.checker.borrow_mut().retried(talk.no, &message, &reply),
            Err(error) => bench.unreadable(Call::Retry, &error),
        }
    }
}

impl Reader {
    /// Reads until the stream ends, or until it has told everything once `is_over`. Events that end a turn are counted by
    /// how long after the send they came.
    async fn read(&mut self, bench: &Bench, since: &Cell<Option<Instant>>, is_over: impl Fn() -> bool) {
        let mut patience = None;
        loop {
            if is_over() {
                if bench.checker.borrow().has_caught_up(self.no, &self.stream) {
                    return;
                }
                if patience.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                    return; // What it has not told by now is lost.
                }
            }
            let Ok(piece) = tokio::time::timeout(Duration::from_millis(200), self.kept.piece()).await else { continue };
            let bytes = match piece {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return Self::broke_off(bench, "the server ended it"),
                Err(error) => return Self::broke_off(bench, &error.to_string()),
            };
            let mut rest = &bytes[..];
            loop {
                match self.decoder.next(&mut rest) {
                    Ok(Some(event)) => {
                        bench.checker.borrow_mut().event(self.no, &mut self.stream, &event.name, &event.data);
                        if let Some(due) = since.get().filter(|_| event.name == "done") {
                            bench.record(Call::Event, due, &End::Ok);
                            since.set(None);
                        }
                    }
                    Ok(None) => break,
                    Err(error) => return Self::broke_off(bench, &error.to_string()),
                }
            }
        }
    }

    fn broke_off(bench: &Bench, why: &str) {
        bench.record(Call::Stream, Instant::now(), &End::Error(format!("a stream broke off: {why}")));
    }
}
