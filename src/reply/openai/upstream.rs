//! One server, and one try to have it reply.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri, header};
use tokio::time::Instant;

use super::{
    breaker::{AGAIN_MAX, Breaker, Pass},
    failure::{Failure, What},
    key::Key,
    stream::{Progress, Reading, Spoken, Whole},
};
use crate::{
    client::{Answer, Client, Resolver, Target},
    completions::{Completion, Refusal},
    config::UpstreamConfig,
    reply::BackendError,
};

/// Time for the end of the stream to come behind the end of the text, so that the connection can be used again.
const FAREWELL: Duration = Duration::from_millis(100);
/// Most that is read of an answer that says what went wrong, and the time for it.
const REFUSAL_BYTES_MAX: usize = 16 << 10;
const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// A server that makes replies.
pub(super) struct Upstream {
    /// Its model.
    pub(super) model: String,
    /// Whether it is asked at all.
    pub(super) breaker: Breaker,
    client: Client,
}

/// How long what may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) connect: Duration,
    pub(super) first_token: Duration,
    pub(super) token: Duration,
    pub(super) total: Duration,
}

/// When the next piece of one try must be there.
pub(super) struct Waits {
    until: Instant,
    token: Duration,
    deadline: Instant,
    /// Once the text is at its end.
    farewell: Option<Instant>,
}

impl Waits {
    /// For a try that begins now.
    pub(super) fn begin(times: Times, deadline: Instant) -> Self {
        let until = deadline.min(Instant::now() + times.first_token);
        Self { until, token: times.token, deadline, farewell: None }
    }
}

impl Upstream {
    /// The server of the configuration's table `table`.
    ///
    /// # Errors
    /// For the operator: its key or its certificates.
    pub(super) fn new(
        table: &str,
        config: &UpstreamConfig,
        connect: Duration,
        resolver: &Resolver,
    ) -> Result<Self, BackendError> {
        let key = Key::read(table, config, |name| std::env::var_os(name))?;
        let target = Target {
            url: url(config).ok_or_else(|| BackendError::Url { key: format!("{table}.base_url") })?,
            authorization: key.map(|key| key.header()),
            ca_file: config.ca_file.clone(),
            connect_timeout: connect,
        };
        let client = Client::new(target, resolver);
        let client = client.map_err(|source| BackendError::Client { table: table.to_owned(), source })?;
        Ok(Self { model: config.model.clone(), breaker: Breaker::new(), client })
    }

    /// Asks once, and passes the text on as it comes. Dropping the future closes the connection.
    ///
    /// # Errors
    /// As [`Failure`] says; text may have been passed on.
    pub(super) async fn ask(
        &self,
        request: Bytes,
        waits: Waits,
        spoken: &mut Spoken<'_, '_>,
        pass: &mut Pass<'_>,
    ) -> Result<(), Failure> {
        let mut answer = in_time(waits.until, self.client.post(request)).await??;
        if answer.status != StatusCode::OK {
            return Err(refused(&mut answer, waits.until).await);
        }
        match kind(&answer.headers)? {
            Kind::Whole => whole(answer, waits.until, spoken).await,
            Kind::Stream => stream(answer, waits, spoken, pass).await,
        }
    }
}

/// Where completions are asked for.
pub(super) fn url(config: &UpstreamConfig) -> Option<Uri> {
    format!("{}/chat/completions", config.base_url).parse().ok()
}

/// How an answer comes.
enum Kind {
    Stream,
    Whole,
}

fn kind(headers: &HeaderMap) -> Result<Kind, Failure> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let encoding = text(header::CONTENT_ENCODING).trim();
    if headers.contains_key(header::CONTENT_ENCODING) && !encoding.eq_ignore_ascii_case("identity") {
        return Err(Failure::faulty("the answer is compressed, which was not asked for"));
    }
    let media = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media.as_str() {
        "text/event-stream" => Ok(Kind::Stream),
        "application/json" => Ok(Kind::Whole),
        "text/html" => Err(Failure::faulty("the answer is a page (text/html); is base_url right?")),
        _ => Err(Failure::faulty("the answer is neither an event stream nor JSON")),
    }
}

async fn stream(
    mut answer: Answer,
    mut waits: Waits,
    spoken: &mut Spoken<'_, '_>,
    pass: &mut Pass<'_>,
) -> Result<(), Failure> {
    let mut reading = Reading::default();
    loop {
        let until = waits.farewell.map_or(waits.until, |farewell| waits.until.min(farewell));
        let piece = match in_time(until, answer.piece()).await {
            Ok(Ok(piece)) => piece,
            // The text has come to its end before, and that alone matters.
            Ok(Err(_)) | Err(_) if reading.is_finished() => return spoken.outcome(),
            Ok(Err(error)) => return Err(error.into()),
            Err(slow) => return Err(slow),
        };
        let Some(piece) = piece else { return reading.end(answer.is_delimited(), spoken) };
        match reading.take(&piece, spoken)? {
            Progress::Over => {
                answer.let_go();
                return spoken.outcome();
            }
            Progress::Enough => return spoken.outcome(), // The model would go on: dropping the answer stops it.
            Progress::Alive => waits.until = waits.deadline.min(Instant::now() + waits.token),
            Progress::Nothing => {}
        }
        if spoken.has_begun() {
            pass.speaks();
        }
        if reading.is_finished() {
            waits.farewell.get_or_insert_with(|| Instant::now() + FAREWELL);
        }
    }
}

async fn whole(mut answer: Answer, until: Instant, spoken: &mut Spoken<'_, '_>) -> Result<(), Failure> {
    let mut whole = Whole::default();
    while let Some(piece) = in_time(until, answer.piece()).await?? {
        whole.take(&piece)?;
    }
    whole.end(spoken)
}

/// What an answer with another status than 200 says.
async fn refused(answer: &mut Answer, until: Instant) -> Failure {
    let again =
        answer.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    // "At once" is no rest at all, and nobody is left alone for longer than the bound.
    let again = again.filter(|seconds| *seconds > 0).map(|seconds| Duration::from_secs(seconds).min(AGAIN_MAX));
    let until = until.min(Instant::now() + REFUSAL_TIME);
    let mut body = Vec::new();
    while body.len() < REFUSAL_BYTES_MAX
        && let Ok(Ok(Some(piece))) = in_time(until, answer.piece()).await
    {
        body.extend_from_slice(&piece);
    }
    let refusal: Refusal = Completion::read(&body).ok().and_then(|said| said.error).unwrap_or_default();
    Failure::of_status(answer.status, again, &refusal)
}

/// Waits for `future`, but not beyond `until`, even if it never has to wait.
async fn in_time<T>(until: Instant, future: impl Future<Output = T>) -> Result<T, Failure> {
    let slow = || Failure::new(What::Slow, "nothing of the model came in time");
    if Instant::now() >= until {
        return Err(slow());
    }
    tokio::time::timeout_at(until, future).await.map_err(|_| slow())
}
