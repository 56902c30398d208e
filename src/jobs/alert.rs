//! Word of an alert to another server.
//!
//! The job holds the words alone. Where they go and what signs them is read from the configuration at each try, so neither
//! the URL nor the secret is in the journal; and each try is signed anew, so that a receiver may refuse what is old.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::Receiver;

use super::{
    Failure, Jobs, Kind,
    webhook::{LEASE, Names, Webhook, within},
};
use crate::{
    alerts::{Notice, Secret, body, headers},
    clock::Clock,
    config::{AlertsConfig, Live},
    id::JobId,
    store::{Job, JobEffect, JobError, JobStateName, NewJob, Repeat, StoreError},
};

/// The kind's name.
pub const ALERT: &str = "alert";
/// What the store does not take now is offered again after this.
const AGAIN: Duration = Duration::from_secs(1);
/// Jobs that are looked at in one read.
const LOOK: usize = 64;

/// What is told.
#[derive(Serialize, Deserialize)]
struct Told {
    /// The notice's.
    id: String,
    /// JSON.
    body: String,
}

/// Puts each notice into the queue, until there is nobody any more to give one. Where there is no URL they are dropped.
///
/// Of one rule only the newest word is told: an older one that did not get through would arrive behind it, and a receiver would
/// believe that what is over still fires.
pub async fn deliver(mut notices: Receiver<Notice>, jobs: Jobs, config: Live<AlertsConfig>) {
    while let Some(notice) = notices.recv().await {
        if config.get().webhook_url.is_none() {
            continue;
        }
        loop {
            match drop_overtaken(&jobs, &notice).await {
                Err(StoreError::Busy | StoreError::Unknown) => tokio::time::sleep(AGAIN).await,
                Err(error) => {
                    break tracing::error!(target: "alerts", %error, "older words of a rule can't be taken back");
                }
                Ok(()) => break,
            }
        }
        let told = Told { id: notice.id.clone(), body: body(&notice) };
        let payload = serde_json::to_string(&told).unwrap_or_default(); // Two strings always become JSON.
        let due = jobs.inner.clock.now();
        let job =
            NewJob { kind: ALERT.to_owned(), key: notice.id.clone(), user: None, payload, due, repeat: Repeat::Once };
        loop {
            match jobs.enqueue(job.clone()).await {
                // A full queue or disk: word of it is worth waiting for.
                Err(StoreError::Busy | StoreError::DiskFull | StoreError::Unknown) => tokio::time::sleep(AGAIN).await,
                Err(error) => {
                    break tracing::error!(target: "alerts", %error, id = notice.id, "word of it is not posted");
                }
                Ok(_) => break,
            }
        }
    }
}

/// Takes the words of this rule out of the queue that came before `notice`. `Busy` where one of them is just being posted: that
/// takes seconds at most.
async fn drop_overtaken(jobs: &Jobs, notice: &Notice) -> Result<(), StoreError> {
    let store = &jobs.inner.store;
    let of_rule = format!("{}_", notice.stem());
    let is_older = |job: &Job| job.kind == ALERT && job.key != notice.id && job.key.starts_with(&of_rule);
    // The queue a second time: a try may have ended between the first two looks.
    for state in [JobStateName::Queued, JobStateName::Running, JobStateName::Queued] {
        let mut after = None;
        loop {
            let found = store.jobs(state, after, LOOK).await?;
            for job in found.iter().filter(|job| is_older(job)) {
                match store.remove_job(job.id).await {
                    Ok(()) => {
                        tracing::info!(target: "alerts", id = job.key, "word of it was overtaken and is not posted");
                    }
                    Err(StoreError::Job(JobError::Missing)) => {}
                    Err(StoreError::Job(_)) => return Err(StoreError::Busy), // It runs.
                    Err(error) => return Err(error),
                }
            }
            if found.len() < LOOK {
                break;
            }
            after = found.last().map(Job::cursor);
        }
    }
    Ok(())
}

pub(super) fn kind(config: Live<AlertsConfig>, clock: Clock) -> Kind {
    let names: Arc<Names> = Arc::default();
    let run = move |job: &Job| {
        let (payload, id, names) = (job.payload.clone(), job.id, Arc::clone(&names));
        let (config, clock) = (config.full(), clock.clone());
        let work: super::Work = Box::pin(async move { within(tell(&payload, id, &config, &clock, &names)).await });
        work
    };
    Kind {
        name: ALERT,
        lease: LEASE,
        is_long: false,
        every: None,
        at_once: false,
        makes_room: false,
        run: Box::new(run),
    }
}

async fn tell(
    payload: &str,
    id: JobId,
    config: &AlertsConfig,
    clock: &Clock,
    names: &Names,
) -> Result<JobEffect, Failure> {
    let Told { id: notice, body } =
        serde_json::from_str(payload).map_err(|_| Failure("the job can't be read".to_owned()))?;
    let (Some(url), Some(file)) = (&config.webhook_url, &config.webhook_secret_file) else {
        return Ok(JobEffect::Nothing); // It was taken out of the configuration: nobody wants to know.
    };
    // Read from a file, which a job's own thread may wait for.
    let secret = Secret::read(file).map_err(|error| Failure(format!("alerts.webhook_secret_file: {error}")))?;
    let headers = headers(&notice, &body, &secret, clock.now());
    let headers: BTreeMap<_, _> = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Webhook { url: url.clone(), headers, body }.send(id, names).await
}
