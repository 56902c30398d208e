//! Event streams: `/api/v1/sessions/{id}/events` and `/api/v1/events`.

use bytes::Bytes;
use hyper::header::HeaderName;
use serde::Serialize;

use crate::{
    app::App,
    auth::Identity,
    chat::{Follow, Update},
    http::{
        problem::Problem,
        request::ApiRequest,
        response::{self, ApiResponse, BrokenOff},
    },
    id::{Seq, SessionId},
    sse,
    store::{SessionChange, Status},
};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Whether each event names its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Yes,
    No,
}

#[derive(Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<SessionId>,
    reply_to: Seq,
    attempt: u32,
    offset: usize,
    text: &'a str,
}

#[derive(Serialize)]
struct Ended<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<SessionId>,
    reply_to: Seq,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<Seq>,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Serialize)]
struct Erased {
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<SessionId>,
    seq: Seq,
}

#[derive(Serialize)]
struct State {
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<SessionId>,
    head: Seq,
    turns: Turns,
}

/// The statuses of turns, by their sequence.
struct Turns(Vec<(Seq, Status)>);

impl Serialize for Turns {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// `GET /api/v1/sessions/{id}/events`: what happens in the session, after the messages that were missed.
///
/// 403 unless the caller owns the session; 422 for a place that is no number; 429 where the caller has too many streams.
pub(in crate::http) async fn of_session(
    app: &App,
    caller: &Identity,
    request: ApiRequest,
) -> Result<ApiResponse, Problem> {
    let session = app.chat.owned(caller, request.session_id()?).await?;
    let after = request.query()?.seq("after")?;
    // A browser that comes back asks with the address of the first time, and with this.
    let after = last_event_id(&request)?.or(after);
    Ok(stream(app.chat.follow(caller, session, after)?, Named::No))
}

/// `GET /api/v1/events`: what happens in all of the caller's sessions.
pub(in crate::http) async fn of_user(
    app: &App,
    caller: &Identity,
    _request: ApiRequest,
) -> Result<ApiResponse, Problem> {
    Ok(stream(app.chat.follow_all(caller).await?, Named::Yes))
}

fn last_event_id(request: &ApiRequest) -> Result<Option<Seq>, Problem> {
    let Some(id) = request.headers().get(LAST_EVENT_ID) else { return Ok(None) };
    let seq = id.to_str().ok().and_then(|id| id.parse().ok()).map(Seq);
    seq.map(Some).ok_or_else(|| Problem::field("Last-Event-ID", "must be the id of an event of this stream"))
}

/// The body that tells what `follow` does.
pub(super) fn stream(follow: Follow, named: Named) -> ApiResponse {
    let first = Bytes::from_static(sse::HEARTBEAT); // What waits for a first byte sees at once that it is open.
    response::events(first, follow, move |mut follow| async move {
        match follow.next().await {
            Ok(Some(updates)) => {
                let mut frames = Vec::with_capacity(updates.len() * 256);
                for update in &updates {
                    render(update, named, &mut frames);
                }
                Ok(Some((Bytes::from(frames), follow)))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                tracing::warn!(target: "http", %error, "an event stream broke off");
                Err(BrokenOff)
            }
        }
    })
}

fn render(update: &Update, named: Named, out: &mut Vec<u8>) {
    let name = |session: &SessionId| (named == Named::Yes).then_some(*session);
    match update {
        Update::Message { session, seq, json } => match named {
            Named::No => sse::frame("message", Some(seq.0), json, out),
            Named::Yes => {
                let mut data = format!("{{\"session_id\":\"{session}\",").into_bytes();
                data.extend_from_slice(&json[1..]); // Behind the brace that every object begins with.
                sse::frame("message", None, &data, out);
            }
        },
        Update::Delta { session, reply_to, attempt, offset, text } => {
            let (session_id, reply_to, attempt, offset) = (name(session), *reply_to, *attempt, *offset);
            event("delta", &Delta { session_id, reply_to, attempt, offset, text }, out);
        }
        Update::Ended { session, reply_to, seq, status, detail } => {
            let (session_id, reply_to, seq, status) = (name(session), *reply_to, *seq, *status);
            let kind = if seq.is_some() { "done" } else { "failed" };
            event(kind, &Ended { session_id, reply_to, seq, status, detail: detail.as_deref() }, out);
        }
        Update::State { session, standing } => {
            let turns = Turns(standing.turns.clone());
            event("state", &State { session_id: name(session), head: standing.head, turns }, out);
        }
        Update::Session { session, change, json } => {
            let mut data = format!("{{\"session_id\":\"{session}\",\"change\":\"{change}\"").into_bytes();
            if let SessionChange::Cleared(through) = change {
                data.extend_from_slice(format!(",\"through\":{through}").as_bytes());
            }
            if let Some(json) = json {
                data.extend_from_slice(b",\"session\":");
                data.extend_from_slice(json);
            }
            data.push(b'}');
            sse::frame("session", None, &data, out);
        }
        Update::Erased { session, seq } => event("erased", &Erased { session_id: name(session), seq: *seq }, out),
        Update::Beat => out.extend_from_slice(sse::HEARTBEAT),
    }
}

fn event(name: &str, data: &impl Serialize, out: &mut Vec<u8>) {
    let data = serde_json::to_vec(data).expect("our events have string keys only, so they always become JSON");
    sse::frame(name, None, &data, out);
}
