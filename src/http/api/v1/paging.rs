//! Pages of lists: `after`, `limit` and `order`, as all lists of this API take them.

use serde_json::Value;

use crate::http::{problem::Problem, request::ApiRequest};

const LIMIT_DEFAULT: u64 = 20;
const LIMIT_MAX: u64 = 100;

/// The part of a list that is asked for.
pub(super) struct Page {
    /// The id of the last one that was seen.
    pub(super) after: Option<String>,
    /// How many at most.
    pub(super) limit: usize,
    /// True for the oldest first.
    pub(super) upwards: bool,
}

impl Page {
    /// Of a request's query; `upwards` is the order where it does not say.
    ///
    /// # Errors
    /// 400 for what is out of bounds.
    pub(super) fn of(request: &ApiRequest, upwards: bool) -> Result<Self, Problem> {
        let query = request.query()?;
        let limit = query.number("limit")?.unwrap_or(LIMIT_DEFAULT);
        let limit = Some(limit).filter(|limit| (1..=LIMIT_MAX).contains(limit)).and_then(|limit| limit.try_into().ok());
        let limit = limit.ok_or_else(|| Problem::field("limit", format_args!("must be from 1 to {LIMIT_MAX}")))?;
        let upwards = match query.text("order")?.as_deref() {
            None => upwards,
            Some("asc") => true,
            Some("desc") => false,
            Some(_) => return Err(Problem::field("order", "must be asc or desc")),
        };
        let after = query.text("after")?.filter(|after| !after.is_empty()).map(std::borrow::Cow::into_owned);
        Ok(Self { after, limit, upwards })
    }

    /// The page of a list that is all here, newest first, and whether there is more of it.
    ///
    /// # Errors
    /// 400 where `after` is not in it.
    pub(super) fn of_all(&self, mut all: Vec<Value>) -> Result<(Vec<Value>, bool), Problem> {
        if self.upwards {
            all.reverse();
        }
        let start = match &self.after {
            None => 0,
            Some(after) => 1 + all.iter().position(|one| one["id"] == **after).ok_or_else(Self::no_such_after)?,
        };
        let mut rest = all.split_off(start);
        let has_more = rest.len() > self.limit;
        rest.truncate(self.limit);
        Ok((rest, has_more))
    }

    /// 400 for a place that is not in the list.
    pub(super) fn no_such_after() -> Problem {
        Problem::field("after", "names nothing in this list; please take the last_id of a page of it")
    }
}
