//! One try of a job, on a thread of its own.
//!
//! A thread and no task of the runtime's workers: whatever a kind does, a request never waits for it. A try that does not
//! end with its lease is dropped where it waits. One that does not wait for anything can't be ended; its thread is left
//! alone, and a bounded number of such threads give their place in the pool back. Its job is not tried again beside it.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Failure, Inner, Kind, Work, figures};
use crate::{
    id::JobId,
    store::{Job, JobEffect},
};

/// A try that was told to end gets this long for it.
const END_WITHIN: Duration = Duration::from_secs(1);
/// Tries that go on behind their lease, and whose places others have.
const ABANDONED_MAX: usize = 4;

/// What a try came to.
pub(super) enum Tried {
    Done(JobEffect),
    Failed(Failure),
    /// The server stops.
    Halted,
}

/// Runs the `work` of `job` until its end, its lease's end, or the server's; keeps `place` for as long as it must.
pub(super) async fn run(
    inner: &Arc<Inner>,
    (job, kind): (&Job, &Kind),
    work: Work,
    place: impl Send + 'static,
) -> Tried {
    let lease = kind.lease;
    let end = CancellationToken::new();
    let (tell, mut told) = oneshot::channel();
    let (runtime, ended) = (Handle::current(), end.clone());
    let on_thread = move || {
        let until_told = async {
            tokio::select! {
                biased;
                () = ended.cancelled() => None,
                done = work => Some(done),
            }
        };
        let _ = tell.send(runtime.block_on(until_told)); // A panic drops it unsent, which tells as much.
    };
    if let Err(error) = std::thread::Builder::new().name("bondhu-job".to_owned()).spawn(on_thread) {
        return Tried::Failed(Failure(format!("no thread can be started: {error}")));
    }
    let reason = tokio::select! {
        done = timeout(lease, &mut told) => match done {
            Ok(Ok(Some(Ok(effect)))) => return Tried::Done(effect),
            Ok(Ok(Some(Err(failure)))) => return Tried::Failed(failure),
            Ok(Ok(None)) => return Tried::Halted,
            Ok(Err(_)) => return Tried::Failed(Failure("it panicked".to_owned())),
            Err(_) => Some(Failure(format!("it took longer than {} s", lease.as_secs_f64()))),
        },
        () = inner.halt.cancelled() => None,
    };
    end.cancel();
    // What it still finished is not done twice.
    match timeout(END_WITHIN, &mut told).await {
        Ok(Ok(Some(Ok(effect)))) => return Tried::Done(effect),
        Ok(_) => {}
        Err(_) => abandon(inner, (job.id, figures::Work::of(job, kind)), told, place),
    }
    reason.map_or(Tried::Halted, Tried::Failed)
}

/// Gives the place back, unless too many did so already: then it is kept until the thread ends.
fn abandon<T: Send + 'static>(
    inner: &Arc<Inner>,
    (job, work): (JobId, figures::Work),
    told: oneshot::Receiver<T>,
    place: impl Send + 'static,
) {
    let abandoned = inner.counters.abandoned(|jobs| {
        jobs.insert(job, work);
        jobs.len()
    });
    tracing::error!(%job, abandoned, "a job does not end with its lease; its thread is left alone");
    let kept = (abandoned > ABANDONED_MAX).then_some(place);
    let inner = Arc::clone(inner);
    // No tracked task: a stop does not wait for what does not end.
    tokio::spawn(async move {
        let _ = told.await;
        drop(kept);
        inner.counters.abandoned(|jobs| jobs.remove(&job));
        inner.freed.notify_one();
    });
}
