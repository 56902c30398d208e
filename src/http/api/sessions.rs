//! Sessions: `/api/v1/sessions` and `/api/v1/sessions/{id}`.

use hyper::{
    StatusCode,
    header::{HeaderValue, LOCATION},
};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    app::App,
    auth::Identity,
    clock::Timestamp,
    http::{
        problem::Problem,
        request::ApiRequest,
        response::{self, ApiResponse},
    },
    id::SessionId,
    store::{Edit, Session, SessionEdit},
    text::{SystemPrompt, TextFault, Title},
};

/// How many sessions a list has where the request does not say.
const LIST_DEFAULT: usize = 50;

#[derive(Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewSession {
    id: Option<String>,
    title: Option<String>,
    system_prompt: Option<String>,
}

/// `null` takes a field away; one that is left out stays.
#[derive(Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Changes {
    title: Given,
    system_prompt: Given,
}

/// A field that may be left out, told apart from `null`.
#[derive(Debug, Default, PartialEq)]
enum Given {
    #[default]
    Missing,
    Value(Option<String>),
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::Value)
    }
}

#[derive(Serialize)]
struct List<'a> {
    sessions: &'a [Session],
    next: Option<String>,
}

/// `POST /api/v1/sessions`: 201 with a new session; 200 where the caller has that id already.
pub(in crate::http) async fn create(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let body: NewSession = request.json_or_default().await?;
    let id = body.id.as_deref().map(|id| client_id("id", id)).transpose()?;
    let edit = SessionEdit {
        title: title(Given::Value(body.title))?,
        system_prompt: system_prompt(Given::Value(body.system_prompt))?,
    };
    let (session, new) = app.chat.create(caller, id, edit).await?;
    if !new {
        return Ok(response::json(StatusCode::OK, &session));
    }
    let mut response = response::json(StatusCode::CREATED, &session);
    let location = format!("/api/v1/sessions/{}", session.id);
    let location = HeaderValue::try_from(location).expect("a path and a UUID are visible ASCII");
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// `GET /api/v1/sessions`: the caller's sessions, newest activity first, and the cursor of those that follow.
pub(in crate::http) async fn list(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let query = request.query()?;
    let limit = query.limit(LIST_DEFAULT)?;
    let after = query.text("cursor")?.map(|cursor| Cursor::decode(&cursor)).transpose()?;
    let after = after.map(|Cursor(updated_at, id)| (updated_at, id));
    let mut sessions = app.chat.sessions(caller, after, limit + 1).await?; // One more tells whether any follow.
    let more = sessions.len() > limit;
    sessions.truncate(limit);
    let next = sessions.last().filter(|_| more).map(|last| Cursor(last.updated_at, last.id).encode());
    Ok(response::json(StatusCode::OK, &List { sessions: &sessions, next }))
}

/// `GET /api/v1/sessions/{id}`: the session; 403 unless the caller owns it.
pub(in crate::http) async fn get(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let session = app.chat.owned(caller, request.session_id()?).await?;
    Ok(response::json(StatusCode::OK, &app.chat.session(&session).await?))
}

/// `PATCH /api/v1/sessions/{id}`: the session with its new title or instructions, or without.
pub(in crate::http) async fn edit(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let session = app.chat.owned(caller, request.session_id()?).await?;
    let body: Changes = request.json().await?;
    if body == Changes::default() {
        return Err(Problem::field("title", "missing; please add it, or system_prompt"));
    }
    let edit = SessionEdit { title: title(body.title)?, system_prompt: system_prompt(body.system_prompt)? };
    Ok(response::json(StatusCode::OK, &app.chat.edit(&session, edit).await?))
}

/// `DELETE /api/v1/sessions/{id}`: 204; the session is gone for ever.
pub(in crate::http) async fn delete(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let session = app.chat.owned(caller, request.session_id()?).await?;
    app.chat.delete(session).await?;
    Ok(response::no_content())
}

/// An id that a client chose for a session.
///
/// # Errors
/// 422 where it is no UUID of a version that can't repeat.
pub(super) fn client_id(field: &str, text: &str) -> Result<SessionId, Problem> {
    let id = text.parse().ok().filter(|id: &SessionId| id.is_v4_or_v7());
    id.ok_or_else(|| Problem::field(field, "must be a UUID of version 4 or 7; leave it out to be given one"))
}

fn title(given: Given) -> Result<Edit, Problem> {
    given.checked(|text| Title::new(text).map(Title::into_string)).map_err(|fault| Problem::field("title", fault))
}

fn system_prompt(given: Given) -> Result<Edit, Problem> {
    let checked = given.checked(|text| SystemPrompt::new(text).map(SystemPrompt::into_string));
    checked.map_err(|fault| Problem::field("system_prompt", fault))
}

impl Given {
    fn checked(self, check: impl FnOnce(String) -> Result<String, TextFault>) -> Result<Edit, TextFault> {
        Ok(match self {
            Self::Missing => Edit::Keep,
            Self::Value(text) => Edit::Set(text.map(check).transpose()?),
        })
    }
}

/// The place after a session in the list of its owner: hex, because clients are to keep it and not to read it.
#[derive(Debug, PartialEq)]
struct Cursor(Timestamp, SessionId);

impl Cursor {
    fn encode(&self) -> String {
        let Self(Timestamp(updated_at), id) = self;
        format!("{:016x}{:032x}", updated_at.cast_unsigned(), u128::from_be_bytes(id.bytes()))
    }

    /// # Errors
    /// 422 for anything that [`Cursor::encode`] does not make.
    fn decode(text: &str) -> Result<Self, Problem> {
        let hex = |digits: &str| u128::from_str_radix(digits, 16).ok();
        let read = || {
            let (time, id) = text.split_at_checked(16)?;
            let time = u64::try_from(hex(time)?).ok()?;
            Some(Self(Timestamp(time.cast_signed()), SessionId::from_bytes(hex(id)?.to_be_bytes())))
        };
        read()
            .filter(|cursor| cursor.encode() == text)
            .ok_or_else(|| Problem::field("cursor", "is not one that this server gave; please begin without it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_given_and_no_other_is_taken() {
        for time in [0, 1_795_456_800_000_000, -1, i64::MAX, i64::MIN] {
            let cursor = Cursor(Timestamp(time), SessionId::new());
            assert_eq!(Cursor::decode(&cursor.encode()).unwrap(), cursor);
        }
        let good = Cursor(Timestamp(1), SessionId::new()).encode();
        let long = "0".repeat(1 << 20);
        for bad in ["", "x", &good[1..], &format!("{good}0"), &good.replacen('0', "+", 1), &format!("আ{good}"), &long]
        {
            assert_eq!(Cursor::decode(bad).unwrap_err().status(), 422);
        }
    }

    #[test]
    fn a_client_brings_only_ids_that_cant_repeat() {
        assert!(client_id("id", "0197b1c2-7a3e-7c4d-9b1a-2f3e4d5c6b7a").is_ok());
        assert!(client_id("id", "7F3C6B2E-8A54-4B1D-9E0F-1A2B3C4D5E6F").is_ok());
        let v1 = "5b4d1f9e-7a3e-11ee-8c99-0242ac120002";
        for bad in [v1, "", "x", "00000000-0000-0000-0000-000000000000", "7f3c6b2e8a544b1d9e0f1a2b3c4d5e6f"] {
            assert_eq!(client_id("id", bad).unwrap_err().status(), 422, "{bad}");
        }
    }

    #[test]
    fn a_title_is_taken_away_by_null_and_not_by_leaving_it_out() {
        let title = |json| serde_json::from_str::<Changes>(json).unwrap().title;
        assert_eq!(title("{\"title\":null}"), Given::Value(None));
        assert_eq!(title("{\"title\":\"a\"}"), Given::Value(Some("a".to_owned())));
        assert_eq!(title("{\"system_prompt\":\"b\"}"), Given::Missing);
    }
}
