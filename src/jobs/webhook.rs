//! A message to another server: a POST of JSON, repeated until it is taken.
//!
//! Each try of a delivery has the same `x-bondhu-delivery`, so that whoever receives it twice, because its answer was
//! lost, can tell. Only a status of 200 to 299 is an end; no redirect is followed. Nothing of the URL, the headers or the
//! body is logged or shown: they may be secrets.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use serde::{Deserialize, Serialize};

use super::{Failure, Kind};
use crate::{
    client::{Client, Resolver, Target},
    clock::Timestamp,
    id::JobId,
    store::{JobEffect, NewJob, Repeat},
};

/// The kind's name.
pub const WEBHOOK: &str = "webhook";
/// The header with the id that all tries of a delivery have in common.
pub const DELIVERY: HeaderName = HeaderName::from_static("x-bondhu-delivery");

/// Longest time for look-up, TCP and TLS together, and for all of a try.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const WITHIN: Duration = Duration::from_secs(15);
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// What to post.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Where to: `http` or `https`.
    pub url: String,
    /// Headers beside those of every request, by their names.
    pub headers: BTreeMap<String, String>,
    /// The body: JSON.
    pub body: String,
}

impl Webhook {
    /// The job that posts it, once for `key`: enqueued again within a day of its end, it is not sent again.
    ///
    /// # Errors
    /// The URL or a header is none.
    pub fn job(&self, key: String, due: Timestamp) -> Result<NewJob, Failure> {
        self.parts()?;
        let payload = serde_json::to_string(self).map_err(|_| Failure("the message is no JSON".to_owned()))?;
        Ok(NewJob { kind: WEBHOOK.to_owned(), key, user: None, payload, due, repeat: Repeat::Once })
    }

    fn parts(&self) -> Result<(Uri, HeaderMap), Failure> {
        let none = |what: &str| Failure(format!("the {what} is none"));
        let url: Uri = self.url.parse().map_err(|_| none("URL"))?;
        if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none_or(str::is_empty) {
            return Err(none("URL"));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name = HeaderName::try_from(name).map_err(|_| none("name of a header"))?;
            let mut value = HeaderValue::try_from(value).map_err(|_| none("value of a header"))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok((url, headers))
    }
}

/// The threads that look up names, from the first URL on that has one: they never end.
pub(super) type Names = Mutex<Option<Resolver>>;

pub(super) fn kind() -> Kind {
    let names: Arc<Names> = Arc::default();
    let run = move |job: &crate::store::Job| {
        let (payload, id, names) = (job.payload.clone(), job.id, Arc::clone(&names));
        let work: super::Work = Box::pin(async move { within(post(&payload, id, &names)).await });
        work
    };
    Kind {
        name: WEBHOOK,
        lease: LEASE,
        is_long: false,
        every: None,
        at_once: false,
        makes_room: false,
        run: Box::new(run),
    }
}

/// `post`, which fails where it takes too long.
pub(super) async fn within(post: impl Future<Output = Result<JobEffect, Failure>>) -> Result<JobEffect, Failure> {
    let late = |_| Err(Failure(format!("no answer within {} s", WITHIN.as_secs())));
    tokio::time::timeout(WITHIN, post).await.unwrap_or_else(late)
}

async fn post(payload: &str, id: JobId, names: &Names) -> Result<JobEffect, Failure> {
    let webhook: Webhook = serde_json::from_str(payload).map_err(|_| Failure("the job can't be read".to_owned()))?;
    webhook.send(id, names).await
}

impl Webhook {
    /// One try.
    pub(super) async fn send(self, id: JobId, names: &Names) -> Result<JobEffect, Failure> {
        let (url, mut headers) = self.parts()?;
        let id = HeaderValue::try_from(id.to_string()).map_err(|_| Failure("the id is no header".to_owned()))?;
        headers.insert(DELIVERY, id);
        let resolver = resolver(&url, names)?;
        let target = Target { url, authorization: None, ca_file: None, connect_timeout: CONNECT_WITHIN };
        // Reads certificates from files, which a job's own thread may wait for.
        let client = Client::new(target, &resolver).map_err(|error| Failure(error.to_string()))?;
        let answer = client.post_with(Bytes::from(self.body), headers).await;
        let status = answer.map_err(|error| Failure(error.to_string()))?.status;
        if status.is_success() {
            Ok(JobEffect::Nothing)
        } else {
            Err(Failure(format!("it was answered with {status}")))
        }
    }
}

/// Threads for names, where the URL has one.
fn resolver(url: &Uri, names: &Names) -> Result<Resolver, Failure> {
    let failed = |error: std::io::Error| Failure(format!("no thread can be started: {error}"));
    let mut kept = names.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(resolver) = kept.as_ref() {
        return Ok(resolver.clone());
    }
    let resolver = Resolver::start([url]).map_err(failed)?;
    if resolver.looks_up() {
        *kept = Some(resolver.clone());
    }
    Ok(resolver)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(url: &str, header: (&str, &str)) -> Webhook {
        let headers = BTreeMap::from([(header.0.to_owned(), header.1.to_owned())]);
        Webhook { url: url.to_owned(), headers, body: "{}".to_owned() }
    }

    #[test]
    fn what_can_not_be_posted_is_refused_before_it_is_a_job_and_not_repeated() {
        let good = ("x-signature", "secret");
        assert!(webhook("https://example.org/hook?secret", good).job("key".to_owned(), Timestamp(0)).is_ok());
        let bad_urls = ["secret", "ftp://secret/", "http://", "/secret", "http://sec ret/", ""];
        let bad_headers = [("sec ret", "x"), ("", "secret"), ("x", "secret\n"), ("x", "secret\u{1}")];
        let all = bad_urls.iter().map(|url| webhook(url, good));
        let all = all.chain(bad_headers.iter().map(|header| webhook("http://127.0.0.1/", *header)));
        for webhook in all {
            let refused = webhook.job("key".to_owned(), Timestamp(0)).unwrap_err();
            assert!(refused.0.ends_with(" is none") && !refused.0.contains("secret"), "{refused}");
        }
    }

    #[tokio::test]
    async fn metadata_services_are_not_posted_to() {
        let names = Mutex::new(None);
        for url in ["http://169.254.169.254/latest", "http://[fe80::1]/", "http://0xa9fea9fe/secret"] {
            let payload = serde_json::to_string(&webhook(url, ("x", "y"))).unwrap();
            let refused = post(&payload, JobId::new(), &names).await.unwrap_err();
            assert!(refused.0.contains("link-local") && !refused.0.contains("secret"), "{refused}");
        }
        assert!(names.lock().unwrap().is_some(), "the threads for names are kept");
        assert!(post("{}", JobId::new(), &names).await.is_err());
    }
}
