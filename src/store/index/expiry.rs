//! What is over by itself leaves the index: idempotency keys, logins, invitations, jobs and their keys. The journal needs
//! no word of it, because each record says until when it counts.

use std::ops::Bound;

use sled::Tree;

use super::{
    super::{
        codec::{self, JobKeyRecord, JobRecord, Record, SendKeyRecord, TokenRecord},
        key::UserKey,
    },
    Index, IndexError,
};
use crate::{clock::Timestamp, id::JobId};

/// Records that one step looks at: about a millisecond of the writer's time.
const LOOKED_AT: usize = 512;

/// How far the removal of what is over has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpiryCursor {
    tree: usize,
    after: Option<Vec<u8>>,
    /// Records that were taken away so far.
    pub removed: u64,
}

impl Index {
    /// Looks at the next records, and takes away those that are over; nothing behind the last.
    pub(crate) fn remove_expired(
        &self,
        cursor: ExpiryCursor,
        now: Timestamp,
    ) -> Result<(u64, Option<ExpiryCursor>), IndexError> {
        let ExpiryCursor { tree, after, mut removed } = cursor;
        let trees = [&self.send_keys, &self.tokens, &self.invitations, &self.jobs.jobs, &self.jobs.keys];
        let Some(&looked_at) = trees.get(tree) else { return Ok((removed, None)) };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut looked, mut last) = (0, None);
        for entry in looked_at.range((from, Bound::Unbounded)).take(LOOKED_AT) {
            let (key, value) = entry?;
            looked += 1;
            removed += u64::from(self.remove_if_over(tree, &key, &value, now)?);
            last = Some(key.to_vec());
        }
        let next = match last {
            Some(last) if looked == LOOKED_AT => ExpiryCursor { tree, after: Some(last), removed },
            Some(_) | None => ExpiryCursor { tree: tree + 1, after: None, removed },
        };
        Ok((removed, (next.tree < trees.len()).then_some(next)))
    }

    fn remove_if_over(&self, tree: usize, key: &[u8], value: &[u8], now: Timestamp) -> Result<bool, IndexError> {
        match tree {
            0 => remove_if(&self.send_keys, key, value, |record: &SendKeyRecord| record.expires_at <= now),
            1 => {
                let record = codec::decode::<TokenRecord>(value)?;
                if record.expires_at > now {
                    return Ok(false);
                }
                self.user_tokens.remove(UserKey::token(record.user, record.id).encode())?;
                self.tokens.remove(key)?;
                // Last: nobody may find the login without its bounds.
                self.end_scopes(key)?;
                Ok(true)
            }
            2 => remove_if(&self.invitations, key, value, |expires_at: &Timestamp| *expires_at <= now),
            3 => {
                let record = codec::decode::<JobRecord>(value)?;
                let Some(id) = <[u8; 16]>::try_from(key).ok().filter(|_| record.expires_at <= now) else {
                    return Ok(false);
                };
                self.end_job(JobId::from_bytes(id), &record.key, None, now)?;
                Ok(true)
            }
            _ => remove_if(&self.jobs.keys, key, value, |record: &JobKeyRecord| {
                record.ended_until.is_some_and(|until| until <= now)
            }),
        }
    }
}

fn remove_if<T: Record>(
    tree: &Tree,
    key: &[u8],
    value: &[u8],
    is_over: impl FnOnce(&T) -> bool,
) -> Result<bool, IndexError> {
    let over = is_over(&codec::decode(value)?);
    if over {
        tree.remove(key)?;
    }
    Ok(over)
}
