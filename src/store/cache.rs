//! The cache: a sharded LRU, bounded in bytes, that is never stale.
//!
//! The writer changes an entry in place before it acknowledges a change, so nothing is ever invalidated. A miss is
//! loaded once however many ask for it. A load that the writer overtook is given only to those who joined it before
//! that, and is not kept: whoever asks after an acknowledgement finds the new entry or begins a new load.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;
use tokio::sync::watch;

use super::{StoreError, TokenDigest};
use crate::{id::Id, metrics::Counter, pool::Pool};

const SHARDS: usize = 16;

/// What an entry costs beside its own bytes: list links, table slot, reference counts.
const OVERHEAD: usize = 160;

/// How many bytes a value takes.
pub(crate) trait Weigh {
    /// Bytes on the heap and in place.
    fn weight(&self) -> usize;
}

/// Keys that spread by themselves over the shards: their last byte is random.
pub(crate) trait Spread {
    /// A byte that is as good as random among many keys.
    fn spread(&self) -> u8;
}

impl<K> Spread for Id<K> {
    fn spread(&self) -> u8 {
        self.bytes()[15]
    }
}

impl Spread for TokenDigest {
    fn spread(&self) -> u8 {
        self.0[31]
    }
}

/// What the writer makes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Yes,
    No,
}

/// Values by key, least recently used out first.
pub(crate) struct Cache<K, V> {
    shards: Box<[Mutex<Shard<K, V>>]>,
    hits: Counter,
    misses: Counter,
}

/// How a cache does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct CacheFigures {
    /// Reads that found what they wanted.
    pub hits: u64,
    /// Reads that did not, those that joined a load of others among them.
    pub misses: u64,
    /// Bytes that the entries take.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
}

/// Guards one part of the keys: the entries, and the loads that are under way.
struct Shard<K, V> {
    entries: LruCache<K, (Arc<V>, usize)>,
    bytes: usize,
    bytes_max: usize,
    loads: HashMap<K, Load<V>>,
    next_load: u64,
}

type Loaded<V> = Option<Result<Option<Arc<V>>, StoreError>>;

struct Load<V> {
    id: u64,
    result: watch::Receiver<Loaded<V>>,
}

impl<K, V> Cache<K, V>
where
    K: Copy + Eq + Hash + Spread + Send + 'static,
    V: Weigh + Clone + Send + Sync + 'static,
{
    /// An empty cache of at most `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let shard = || {
            Mutex::new(Shard {
                entries: LruCache::unbounded(),
                bytes: 0,
                bytes_max: bytes_max / SHARDS,
                loads: HashMap::new(),
                next_load: 0,
            })
        };
        let shards = (0..SHARDS).map(|_| shard()).collect();
        Self { shards, hits: Counter::default(), misses: Counter::default() }
    }

    /// The entry, if it is here, which counts as a hit. Where it is not, nothing is counted: who needs it loads it.
    pub(crate) fn get(&self, key: &K) -> Option<Arc<V>> {
        let found = self.held(key)?;
        self.hits.count();
        Some(found)
    }

    /// The entry, if it is here, for who only makes use of it where it is: that is no read.
    pub(crate) fn held(&self, key: &K) -> Option<Arc<V>> {
        self.shard(key).entries.get(key).map(|(value, _)| Arc::clone(value))
    }

    /// The entry, loaded by `load` on the pool where it is not here. What `load` does not find is not kept.
    ///
    /// Dropping the future does not stop the load: it belongs to all who wait for it.
    pub(crate) async fn get_or_load(
        self: &Arc<Self>,
        key: K,
        pool: &Pool,
        load: impl FnOnce() -> Result<Option<V>, StoreError> + Send + 'static,
    ) -> Result<Option<Arc<V>>, StoreError> {
        let mut result = {
            let mut shard = self.shard(&key);
            if let Some((value, _)) = shard.entries.get(&key) {
                self.hits.count();
                return Ok(Some(Arc::clone(value)));
            }
            self.misses.count();
            match shard.loads.get(&key) {
                Some(load) => load.result.clone(),
                None => self.begin(&mut shard, key, pool, load)?,
            }
        };
        match result.wait_for(Option::is_some).await {
            Ok(loaded) => loaded.clone().unwrap_or(Err(StoreError::Busy)),
            // The load panicked; sled's panics are caught within it, so the cause is logged with the job's.
            Err(_) => Err(StoreError::Unreadable(Arc::from("a read panicked"))),
        }
    }

    fn begin(
        self: &Arc<Self>,
        shard: &mut Shard<K, V>,
        key: K,
        pool: &Pool,
        load: impl FnOnce() -> Result<Option<V>, StoreError> + Send + 'static,
    ) -> Result<watch::Receiver<Loaded<V>>, StoreError> {
        let (done, result) = watch::channel(None);
        let id = shard.next_load;
        let cache = Arc::clone(self);
        pool.submit(move || {
            // However the load ends, the next one who asks must not find it under way.
            let finish = Finish { cache: &cache, key, id };
            let loaded = load().map(|value| value.map(Arc::new));
            finish.keep(loaded.as_ref().ok().and_then(Option::as_ref));
            done.send_replace(Some(loaded));
        })
        .map_err(|_| StoreError::Busy)?;
        shard.next_load += 1;
        shard.loads.insert(key, Load { id, result: result.clone() });
        Ok(result)
    }

    /// The writer's way in: changes the entry if it is here, and lets no load that began before keep its result.
    pub(crate) fn update(&self, key: &K, change: impl FnOnce(&mut V) -> Keep) {
        let mut shard = self.shard(key);
        shard.loads.remove(key);
        let Some((value, weight)) = shard.entries.peek_mut(key) else { return };
        let before = *weight;
        let kept = change(Arc::make_mut(value));
        let after = value.weight() + OVERHEAD;
        *weight = after;
        shard.bytes = shard.bytes + after - before;
        if kept == Keep::No {
            shard.remove(key);
        }
        shard.shrink();
    }

    /// The writer's way to put a new entry in.
    pub(crate) fn insert(&self, key: K, value: V) {
        let mut shard = self.shard(&key);
        shard.loads.remove(&key);
        shard.put(key, Arc::new(value));
    }

    /// Weighs an entry anew that has grown by itself.
    pub(crate) fn reweigh(&self, key: &K) {
        let mut shard = self.shard(key);
        let Some((value, weight)) = shard.entries.peek_mut(key) else { return };
        let before = std::mem::replace(weight, value.weight() + OVERHEAD);
        let after = *weight;
        shard.bytes = shard.bytes + after - before;
        shard.shrink();
    }

    /// How it does. Takes each shard's lock once.
    pub(crate) fn figures(&self) -> CacheFigures {
        let mut figures = CacheFigures { hits: self.hits.get(), misses: self.misses.get(), bytes: 0, entries: 0 };
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            figures.bytes += shard.bytes as u64;
            figures.entries += shard.entries.len() as u64;
        }
        figures
    }

    /// Forgets every entry. Loads that are under way go on: what they find is as fresh as it would have been.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.entries.clear();
            shard.bytes = 0;
        }
    }

    /// Bytes that the entries take.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        usize::try_from(self.figures().bytes).unwrap()
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, Shard<K, V>> {
        let index = usize::from(key.spread()) % SHARDS;
        // A panic inside `change` leaves an entry that was whole before or after it.
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash, V: Weigh> Shard<K, V> {
    fn put(&mut self, key: K, value: Arc<V>) {
        self.remove(&key);
        let weight = value.weight() + OVERHEAD;
        // One huge entry must not push out everything else.
        if weight <= self.bytes_max {
            self.bytes += weight;
            self.entries.put(key, (value, weight));
            self.shrink();
        }
    }

    fn remove(&mut self, key: &K) {
        if let Some((_, weight)) = self.entries.pop(key) {
            self.bytes -= weight;
        }
    }

    fn shrink(&mut self) {
        while self.bytes > self.bytes_max {
            let Some((_, (_, weight))) = self.entries.pop_lru() else { return };
            self.bytes -= weight;
        }
    }
}

/// Ends a load, also one that panicked.
struct Finish<'a, K, V>
where
    K: Copy + Eq + Hash + Spread + Send + 'static,
    V: Weigh + Clone + Send + Sync + 'static,
{
    cache: &'a Cache<K, V>,
    key: K,
    id: u64,
}

impl<K, V> Finish<'_, K, V>
where
    K: Copy + Eq + Hash + Spread + Send + 'static,
    V: Weigh + Clone + Send + Sync + 'static,
{
    /// Keeps what was loaded, unless the writer overtook the load.
    fn keep(self, value: Option<&Arc<V>>) {
        let mut shard = self.cache.shard(&self.key);
        let current = shard.loads.get(&self.key).is_some_and(|load| load.id == self.id);
        if let (true, Some(value)) = (current, value) {
            shard.put(self.key, Arc::clone(value));
        }
    }
}

impl<K, V> Drop for Finish<'_, K, V>
where
    K: Copy + Eq + Hash + Spread + Send + 'static,
    V: Weigh + Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        let mut shard = self.cache.shard(&self.key);
        if shard.loads.get(&self.key).is_some_and(|load| load.id == self.id) {
            shard.loads.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    use super::*;

    impl Weigh for String {
        fn weight(&self) -> usize {
            self.len()
        }
    }

    impl Spread for u64 {
        fn spread(&self) -> u8 {
            self.to_le_bytes()[0]
        }
    }

    type Texts = Arc<Cache<u64, String>>;

    fn texts(bytes: usize) -> (Texts, Pool) {
        (Arc::new(Cache::new(bytes)), Pool::start("test", 2, 1000).unwrap())
    }

    #[tokio::test]
    async fn a_thousand_cold_reads_are_one_load() {
        let (cache, pool) = texts(1 << 20);
        let pool = Arc::new(pool);
        let loads = Arc::new(AtomicUsize::new(0));
        let (open, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let readers: Vec<_> = (0..1000)
            .map(|_| {
                let (cache, pool, loads, gate) =
                    (Arc::clone(&cache), Arc::clone(&pool), Arc::clone(&loads), Arc::clone(&gate));
                tokio::spawn(async move {
                    cache
                        .get_or_load(1, &pool, move || {
                            gate.lock().unwrap().recv().unwrap();
                            loads.fetch_add(1, Ordering::SeqCst);
                            Ok(Some("text".to_owned()))
                        })
                        .await
                })
            })
            .collect();
        tokio::task::yield_now().await;
        open.send(()).unwrap();
        for reader in readers {
            assert_eq!(reader.await.unwrap().unwrap().unwrap().as_str(), "text");
        }
        assert_eq!(loads.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn p3_a_load_that_the_writer_overtook_is_not_kept_and_not_joined() {
        let (cache, pool) = texts(1 << 20);
        let pool = Arc::new(pool);
        let (open, gate) = mpsc::channel::<()>();
        let (reading, began) = tokio::sync::oneshot::channel();
        let early = tokio::spawn({
            let (cache, pool) = (Arc::clone(&cache), Arc::clone(&pool));
            async move {
                cache
                    .get_or_load(1, &pool, move || {
                        let _ = reading.send(());
                        gate.recv().unwrap();
                        Ok(Some("old".to_owned()))
                    })
                    .await
            }
        });
        began.await.unwrap();
        cache.update(&1, |_| Keep::Yes); // The writer commits while the load holds the old state.
        let late = cache.get_or_load(1, &pool, || Ok(Some("new".to_owned()))).await;
        assert_eq!(late.unwrap().unwrap().as_str(), "new");
        open.send(()).unwrap();
        assert_eq!(early.await.unwrap().unwrap().unwrap().as_str(), "old");
        assert_eq!(cache.get(&1).unwrap().as_str(), "new");
    }

    #[tokio::test]
    async fn a_failed_load_is_not_kept_and_a_panic_hangs_nobody() {
        let (cache, pool) = texts(1 << 20);
        assert!(matches!(cache.get_or_load(1, &pool, || Err(StoreError::Busy)).await, Err(StoreError::Busy)));
        let panicked = cache.get_or_load(1, &pool, || panic!("on purpose")).await;
        assert!(matches!(panicked, Err(StoreError::Unreadable(_))));
        assert_eq!(cache.get_or_load(1, &pool, || Ok(None)).await.unwrap(), None);
        assert_eq!(cache.get_or_load(1, &pool, || Ok(Some("x".into()))).await.unwrap().unwrap().as_str(), "x");
    }

    #[test]
    fn it_stays_within_its_bytes_and_lets_the_least_recent_go() {
        let bytes_max = 64 * 1024;
        let cache: Cache<u64, String> = Cache::new(bytes_max);
        for key in 0..10_000 {
            cache.insert(key, "x".repeat(100));
            cache.get(&0);
            assert!(cache.bytes() <= bytes_max);
        }
        assert!(cache.get(&0).is_some() && cache.get(&1).is_none() && cache.get(&9_999).is_some());
        cache.insert(77, "x".repeat(bytes_max));
        assert!(cache.get(&77).is_none() && cache.get(&0).is_some(), "a huge entry pushes nothing out");
        cache.update(&0, |value| {
            value.push_str("more");
            Keep::Yes
        });
        assert!(cache.get(&0).unwrap().ends_with("more"));
        cache.update(&0, |_| Keep::No);
        assert!(cache.get(&0).is_none());
    }
}
