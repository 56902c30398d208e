//! Word of alerts to the operator's webhook, by the durable queue: what is enqueued is delivered, also by the next start.

use std::{collections::BTreeMap, time::Duration};

use tokio::{runtime::Handle, time::sleep};

use crate::{
    alerts::posted,
    clock::Clock,
    config::{Live, Loaded},
    jobs::{
        Jobs,
        webhook::{Signing, Webhook},
    },
    monitor::Notifier,
    store::StoreError,
};

/// What the store refuses for now is offered again after this, so often at most.
const AGAIN: Duration = Duration::from_secs(1);
const TRIES: usize = 60;

/// Tells the webhook of `loaded`, where there is one; must be made within the runtime.
pub(super) fn notifier(jobs: Jobs, loaded: Live<Loaded>, clock: Clock) -> Notifier {
    let runtime = Handle::current();
    Box::new(move |notice| {
        let alerts = loaded.get().config.alerts.clone();
        let Some(url) = alerts.webhook_url else { return };
        let headers = BTreeMap::from([("content-type".to_owned(), "application/json".to_owned())]);
        let signing = alerts.webhook_secret_file.map(|secret_file| Signing { secret_file, id: notice.id.clone() });
        let webhook = Webhook { url, headers, body: posted(notice), signing };
        let (jobs, id, due) = (jobs.clone(), notice.id.clone(), clock.now());
        runtime.spawn(async move {
            let job = match webhook.job(id, due) {
                Ok(job) => job,
                Err(error) => return tracing::error!(target: "alerts", %error, "the webhook is not told"),
            };
            for _ in 0..TRIES {
                match jobs.enqueue(job.clone()).await {
                    Ok(_) => return,
                    Err(StoreError::Busy | StoreError::DiskFull | StoreError::Unknown) => sleep(AGAIN).await,
                    Err(error) => return tracing::error!(target: "alerts", %error, "the webhook is not told"),
                }
            }
            tracing::error!(target: "alerts", "the webhook is not told: the store took nothing");
        });
    })
}
