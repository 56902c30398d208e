//! The durable queue: `/api/v1/admin/jobs...`.

use hyper::StatusCode;
use serde::Serialize;

use crate::{
    app::App,
    auth::Administrator,
    clock::Timestamp,
    http::{
        problem::Problem,
        request::ApiRequest,
        response::{self, ApiResponse},
    },
    id::JobId,
    jobs::{EndedJob, JobOutcome, Jobs},
    store::{Job, JobCursor, JobError, JobState, JobStateName, StoreError},
};

/// How many jobs a list has where the request does not say.
const LIST_DEFAULT: usize = 50;

/// A job as administrators see it: not what it works on.
#[derive(Serialize)]
struct JobView<'a> {
    #[serde(flatten)]
    job: &'a Job,
    state: &'static str,
    #[serde(serialize_with = "time")]
    lease_until: Option<Timestamp>,
    #[serde(serialize_with = "time")]
    parked_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct EndedView<'a> {
    #[serde(flatten)]
    job: &'a EndedJob,
    state: &'static str,
}

#[derive(Serialize)]
struct Counts {
    queued: u64,
    running: u64,
    parked: u64,
}

#[derive(Serialize)]
struct Runs {
    kind: &'static str,
    outcome: JobOutcome,
    count: u64,
}

#[derive(Serialize)]
struct List<T> {
    jobs: Vec<T>,
    next: Option<String>,
    counts: Counts,
    runs: Vec<Runs>,
}

#[derive(Serialize)]
struct JobAnswer<'a> {
    job: JobView<'a>,
}

impl<'a> From<&'a Job> for JobView<'a> {
    fn from(job: &'a Job) -> Self {
        let (state, lease_until, parked_at) = match job.state {
            JobState::Queued => ("queued", None, None),
            JobState::Running { until } => ("running", Some(until), None),
            JobState::Parked { at } => ("parked", None, Some(at)),
        };
        Self { job, state, lease_until, parked_at }
    }
}

/// `GET /api/v1/admin/jobs?state=&cursor=&limit=`: those that run, wait and are parked, or those in one state; with `done`
/// those that ended last, newest first.
pub(super) async fn list(app: &App, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let query = request.query()?;
    let limit = query.limit(LIST_DEFAULT)?;
    let state = query.text("state")?;
    let cursor = query.text("cursor")?.map(|text| text.parse::<JobCursor>());
    let cursor = cursor.transpose().map_err(|fault| Problem::field("cursor", fault))?;
    let state = match state.as_deref() {
        None => None,
        Some("queued") => Some(JobStateName::Queued),
        Some("running") => Some(JobStateName::Running),
        Some("parked") => Some(JobStateName::Parked),
        Some("done") => {
            let ended = app.jobs.ended();
            let jobs = ended.iter().take(limit).map(|job| EndedView { job, state: "done" }).collect();
            return Ok(listed(app, jobs, None));
        }
        Some(_) => return Err(Problem::field("state", "must be queued, running, parked or done")),
    };
    let (jobs, next) = Jobs::list(&app.store, state, cursor, limit).await?;
    Ok(listed(app, jobs.iter().map(JobView::from).collect(), next))
}

/// `POST /api/v1/admin/jobs/{id}/retry`: 200 with the job, which was parked and is due now; 404; 409 where it is not parked.
pub(super) async fn retry(app: &App, caller: &Administrator, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let job = app.store.retry_job(id(&request)?).await?;
    tracing::info!(target: "admin", by = %caller.id(), job = %job.id, kind = job.kind, "a parked job is to run again");
    Ok(response::json(StatusCode::OK, &JobAnswer { job: JobView::from(&job) }))
}

/// `DELETE /api/v1/admin/jobs/{id}`: 204; 404; 409 where it runs, or comes again by the configuration.
pub(super) async fn remove(app: &App, caller: &Administrator, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let id = id(&request)?;
    app.store.remove_job(id).await?;
    tracing::info!(target: "admin", by = %caller.id(), job = %id, "a job was removed");
    Ok(response::no_content())
}

fn listed<T: Serialize>(app: &App, jobs: Vec<T>, next: Option<JobCursor>) -> ApiResponse {
    let figures = app.jobs.figures();
    let counts = figures.jobs;
    let runs = figures.runs.iter().filter(|runs| runs.count > 0);
    let list = List {
        jobs,
        next: next.map(|next| next.to_string()),
        counts: Counts { queued: counts.queued, running: counts.running, parked: counts.parked },
        runs: runs.map(|runs| Runs { kind: runs.kind, outcome: runs.outcome, count: runs.count }).collect(),
    };
    response::json(StatusCode::OK, &list)
}

/// The job in the path.
fn id(request: &ApiRequest) -> Result<JobId, Problem> {
    let id = request.segment("id").and_then(|id| id.parse().ok());
    id.ok_or_else(|| Problem::from(StoreError::Job(JobError::Missing)))
}

#[expect(clippy::ref_option, reason = "what serde calls takes the field as it is")]
fn time<S: serde::Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => crate::clock::rfc3339(time, serializer),
        None => serializer.serialize_none(),
    }
}
