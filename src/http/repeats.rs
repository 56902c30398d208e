//! One line for many: what the same user or address runs into again and again within a few seconds is counted, and told as one
//! line more. So a client that ignores 429 does not fill the disk with lines about it.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::id::UserId;

/// The security event that is told so.
pub(super) const RATE_LIMITED: &str = "rate_limited";
/// How long what repeats is counted into one line.
const WINDOW: Duration = Duration::from_secs(5);
/// Users and addresses that are counted apart at the same time; those beyond are counted together, by the route alone.
const APART_MAX: usize = 1024;

/// Who ran into it, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// The account, where it is known.
    pub(super) user: Option<UserId>,
    /// Where the request came from.
    pub(super) address: IpAddr,
    /// The route's template.
    pub(super) path: &'static str,
}

/// What a line was written for.
type Key = (Option<Place>, &'static str);

/// What is counted just now.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// Guards how often each came again since its line; a key without a place is that of all who are too many.
    counts: Mutex<HashMap<Key, u64>>,
}

impl Repeats {
    /// True where this has a line of its own; what comes again within the next five seconds has not, and is counted: `told` is
    /// then given how often that was. Must be called within a tokio runtime.
    pub(super) fn is_first(self: &Arc<Self>, place: Place, told: impl FnOnce(u64) + Send + 'static) -> bool {
        let Some(key) = self.count(place) else { return false };
        let repeats = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(WINDOW).await;
            let again = repeats.end(key);
            if again > 0 {
                told(again);
            }
        });
        true
    }

    /// Counts it, or begins to: then it gives what is to be ended.
    fn count(&self, place: Place) -> Option<Key> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let own = (Some(place), place.path);
        let key = if counts.len() < APART_MAX || counts.contains_key(&own) { own } else { (None, place.path) };
        match counts.entry(key) {
            Entry::Occupied(mut count) => {
                *count.get_mut() += 1;
                None
            }
            Entry::Vacant(none) => {
                none.insert(0);
                Some(key)
            }
        }
    }

    /// How often it came again; the next one begins anew.
    fn end(&self, key: Key) -> u64 {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).remove(&key).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(n: u32) -> Place {
        Place { user: None, address: IpAddr::from(n.to_be_bytes()), path: "/" }
    }

    #[test]
    fn what_comes_again_is_counted_until_its_end_and_then_anew() {
        let repeats = Repeats::default();
        let key = repeats.count(place(1)).unwrap();
        assert_eq!([1, 1].map(|n| repeats.count(place(n))), [None, None]);
        let other = repeats.count(place(2)).unwrap();
        assert_eq!((repeats.end(key), repeats.end(other)), (2, 0));
        assert!(repeats.count(place(1)).is_some());
    }

    #[test]
    fn those_who_are_too_many_are_counted_together() {
        let repeats = Repeats::default();
        let many = 3 * u32::try_from(APART_MAX).unwrap();
        let keys: Vec<Key> = (0..many).filter_map(|n| repeats.count(place(n))).collect();
        assert_eq!(keys.len(), APART_MAX + 1);
        assert_eq!(keys[APART_MAX], (None, "/"));
        assert_eq!(keys.into_iter().map(|key| repeats.end(key)).sum::<u64>(), u64::from(many) - APART_MAX as u64 - 1);
        assert!(repeats.counts.lock().unwrap().is_empty());
    }
}
