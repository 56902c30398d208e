//! Growing delays after failed logins, per account and per address.
//!
//! An account is what is guessed at, so its rule is strict: each try is counted before its password is hashed and a
//! proof takes it back, so tries that come at once pass no more often than tries one by one. Only where nothing has failed
//! may a few more come at once: a person's devices may all log in at the same moment. An address may be that of
//! many people (a home, a mobile network), so its rule is loose, and counts failures only; those that are being hashed
//! when a limit is reached still go through, and the pool of hashing threads bounds how many that are.
//!
//! Nothing is locked for good, and a name without an account is treated like one that has one. The tables are bounded:
//! what was quiet longest is forgotten first.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lru::LruCache;

/// Accounts, and addresses, that are remembered.
const ROWS_MAX: NonZeroUsize = NonZeroUsize::new(16_384).expect("it is not zero");

/// Failures of an account before its first delay.
const ACCOUNT_FREE: u32 = 5;
/// Tries of an account that may be under way at once while none has failed.
const ACCOUNT_AT_ONCE: u32 = 32;
/// The longest delay of an account; the first one is a second, and each failure doubles it.
const ACCOUNT_DELAY_MAX: Duration = Duration::from_mins(15);
/// An account that nobody tried for so long has no failures any more.
const ACCOUNT_MEMORY: Duration = Duration::from_hours(1);

/// Failures of an address, and the delay after each of them from that number on. The steps are those of Rauthy (an
/// identity provider), moved up and without its longest one, for addresses that are shared.
const ADDRESS_STEPS: [(u32, Duration); 4] = [
    (60, Duration::from_hours(1)),
    (40, Duration::from_mins(15)),
    (30, Duration::from_mins(10)),
    (20, Duration::from_mins(1)),
];
/// An address is forgiven one failure in each of these.
const ADDRESS_FORGIVEN: Duration = Duration::from_mins(10);

/// Who failed how often.
pub(super) struct Throttle {
    /// Guards both tables.
    tables: Mutex<Tables>,
}

/// A try that was let through. Dropping it counts it as a failure: so does a client that did not wait for the answer.
pub(super) struct Attempt<'a> {
    throttle: &'a Throttle,
    /// The account that it counts for, and when that was tried last before.
    account: Option<(String, Instant)>,
    network: Network,
    /// Until when it holds up other tries from its network, where that has a delay.
    hold: Option<Instant>,
    at: Instant,
    settled: bool,
}

struct Tables {
    accounts: LruCache<String, Account>,
    networks: LruCache<Network, Failures>,
}

/// The address itself, or an IPv6 address's /64, which is what one customer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Network(IpAddr);

/// An account's tries since its last proof.
struct Account {
    tries: u32,
    /// How many of them are under way.
    under_way: u32,
    last: Instant,
}

/// An address's failures that are not forgiven yet.
struct Failures {
    count: u32,
    /// When the forgiving of the next one began.
    since: Instant,
    /// No try before this.
    next: Instant,
}

impl Throttle {
    pub(super) fn new() -> Self {
        let tables = Tables { accounts: LruCache::sparse(ROWS_MAX), networks: LruCache::sparse(ROWS_MAX) };
        Self { tables: Mutex::new(tables) }
    }

    /// Lets a try for the account with this folded name through, and counts it; where the name can't be one, there is
    /// no account to count for.
    ///
    /// # Errors
    /// The time until the next try is let through; this one is not counted.
    pub(super) fn begin(&self, account: Option<&str>, from: IpAddr, now: Instant) -> Result<Attempt<'_>, Duration> {
        let network = Network::of(from);
        let mut tables = self.lock();
        let wait_network = tables.networks.get_mut(&network).map_or(Duration::ZERO, |failures| failures.wait(now));
        let wait_account = account
            .and_then(|account| tables.accounts.get_mut(account))
            .map_or(Duration::ZERO, |account| account.wait(now));
        let wait = wait_network.max(wait_account);
        if !wait.is_zero() {
            return Err(wait);
        }
        let hold = tables.networks.get_mut(&network).and_then(|failures| failures.hold(now));
        let account = account.map(|name| (name.to_owned(), tables.account(name, now).count(now)));
        drop(tables);
        Ok(Attempt { throttle: self, account, network, hold, at: now, settled: false })
    }

    /// Forgets an account's failures: its password was set anew.
    pub(super) fn forgive(&self, account: &str) {
        self.lock().accounts.pop(account);
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        // No code that can panic runs under this lock.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// The password was right: the account starts afresh. What the address has on it stays: who guesses at other
    /// accounts may well have one.
    pub(super) fn proved(mut self) {
        self.settled = true;
        let mut tables = self.throttle.lock();
        if let Some((name, _)) = &self.account {
            tables.accounts.pop(name.as_str());
        }
        tables.release(&self);
    }

    /// The password was not looked at: as if there had been no try.
    pub(super) fn undone(mut self) {
        self.settled = true;
        let mut tables = self.throttle.lock();
        if let Some((name, before)) = &self.account
            && let Some(account) = tables.accounts.get_mut(name.as_str())
        {
            account.take_back(self.at, *before);
        }
        tables.release(&self);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.settled {
            let mut tables = self.throttle.lock();
            tables.network(self.network, self.at).fail(self.at);
            if let Some((name, _)) = &self.account
                && let Some(account) = tables.accounts.get_mut(name.as_str())
            {
                account.under_way = account.under_way.saturating_sub(1);
            }
        }
    }
}

impl Tables {
    fn account(&mut self, name: &str, now: Instant) -> &mut Account {
        self.accounts.get_or_insert_mut_ref(name, || Account { tries: 0, under_way: 0, last: now })
    }

    fn network(&mut self, network: Network, now: Instant) -> &mut Failures {
        self.networks.get_or_insert_mut(network, || Failures { count: 0, since: now, next: now })
    }

    /// Ends the hold of a try that did not fail, but not a delay that came from failures meanwhile.
    fn release(&mut self, attempt: &Attempt<'_>) {
        if let Some(failures) = self.networks.get_mut(&attempt.network)
            && attempt.hold == Some(failures.next)
        {
            failures.next = attempt.at;
        }
    }
}

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => Self(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64))),
            v4 @ IpAddr::V4(_) => Self(v4),
        }
    }
}

impl Account {
    /// How long until the next try is let through.
    fn wait(&mut self, now: Instant) -> Duration {
        if now.saturating_duration_since(self.last) >= ACCOUNT_MEMORY {
            self.tries = self.under_way;
        }
        if self.tries == self.under_way {
            let full = self.under_way >= ACCOUNT_AT_ONCE;
            return if full { Duration::from_secs(1) } else { Duration::ZERO };
        }
        let Some(doublings) = self.tries.checked_sub(ACCOUNT_FREE) else { return Duration::ZERO };
        let delay =
            2_u32.checked_pow(doublings).map_or(ACCOUNT_DELAY_MAX, |seconds| Duration::from_secs(seconds.into()));
        (self.last + delay.min(ACCOUNT_DELAY_MAX)).saturating_duration_since(now)
    }

    /// Counts a try, and gives the time of the one before it.
    fn count(&mut self, now: Instant) -> Instant {
        let before = self.last;
        self.tries = self.tries.saturating_add(1);
        self.under_way = self.under_way.saturating_add(1);
        self.last = before.max(now);
        before
    }

    /// Undoes the counting of the try at `at`; `before` is the one before it.
    fn take_back(&mut self, at: Instant, before: Instant) {
        self.tries = self.tries.saturating_sub(1);
        self.under_way = self.under_way.saturating_sub(1);
        if self.last == at {
            self.last = before;
        }
    }
}

impl Failures {
    /// How long until the next try is let through.
    fn wait(&mut self, now: Instant) -> Duration {
        self.forgive(now);
        if self.delay().is_zero() { Duration::ZERO } else { self.next.saturating_duration_since(now) }
    }

    /// From the first delay on, only one try at a time is let through: gives until when the others are held up.
    fn hold(&mut self, now: Instant) -> Option<Instant> {
        let delay = self.delay();
        if delay.is_zero() {
            return None;
        }
        self.next = now + delay;
        Some(self.next)
    }

    fn fail(&mut self, now: Instant) {
        self.forgive(now);
        self.count = self.count.saturating_add(1);
        self.next = self.next.max(now + self.delay());
    }

    fn delay(&self) -> Duration {
        let step = ADDRESS_STEPS.iter().find(|(count, _)| self.count >= *count);
        step.map_or(Duration::ZERO, |(_, delay)| *delay)
    }

    fn forgive(&mut self, now: Instant) {
        let quiet = now.saturating_duration_since(self.since);
        let forgiven = u32::try_from(quiet.as_secs() / ADDRESS_FORGIVEN.as_secs()).unwrap_or(u32::MAX);
        self.count = self.count.saturating_sub(forgiven);
        // A part of the time that is over stays, but nothing is forgiven in advance.
        self.since = if self.count == 0 { self.since.max(now) } else { self.since + ADDRESS_FORGIVEN * forgiven };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    /// An address of its own for each `n`.
    fn address(n: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(n))
    }

    fn fail(throttle: &Throttle, account: &str, from: IpAddr, now: Instant) -> Result<(), Duration> {
        throttle.begin(Some(account), from, now).map(drop)
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn an_account_has_five_free_failures_and_then_a_delay_that_doubles_up_to_a_quarter_of_an_hour() {
        let (throttle, mut now) = (Throttle::new(), Instant::now());
        for n in 0..5 {
            assert_eq!(fail(&throttle, "amina", address(n), now), Ok(()));
        }
        for (n, delay) in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900].map(secs).into_iter().enumerate() {
            let from = address(100 + u32::try_from(n).unwrap());
            assert_eq!(fail(&throttle, "amina", from, now), Err(delay));
            now += delay.checked_sub(Duration::from_nanos(1)).unwrap();
            assert_eq!(fail(&throttle, "amina", from, now), Err(Duration::from_nanos(1)));
            now += Duration::from_nanos(1);
            assert_eq!(fail(&throttle, "amina", from, now), Ok(()));
        }
        assert_eq!(fail(&throttle, "another", HOME, now), Ok(()));
    }

    #[test]
    fn a_proof_or_a_new_password_starts_the_account_afresh() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        for reset in [true, false] {
            for n in 0..4 {
                assert_eq!(fail(&throttle, "amina", address(n), now), Ok(()));
            }
            throttle.begin(Some("amina"), HOME, now).unwrap().proved();
            for n in 10..15 {
                assert_eq!(fail(&throttle, "amina", address(n), now), Ok(()));
            }
            assert_eq!(fail(&throttle, "amina", HOME, now), Err(secs(1)));
            if reset {
                throttle.forgive("amina");
            }
        }
    }

    #[test]
    fn an_account_that_nobody_tried_for_an_hour_starts_afresh() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        for n in 0..5 {
            assert_eq!(fail(&throttle, "amina", address(n), now), Ok(()));
        }
        let later = now + ACCOUNT_MEMORY;
        for n in 0..5 {
            assert_eq!(fail(&throttle, "amina", address(n), later), Ok(()));
        }
        assert_eq!(fail(&throttle, "amina", HOME, later), Err(secs(1)));
    }

    #[test]
    fn where_nothing_failed_many_tries_may_be_under_way_and_their_failures_count() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        let begin = |now| throttle.begin(Some("amina"), HOME, now);
        let at_once: Vec<_> = (0..ACCOUNT_AT_ONCE).map(|_| begin(now).unwrap()).collect();
        assert_eq!(begin(now).err(), Some(Duration::from_secs(1)));
        drop(at_once); // All of them fail.
        assert_eq!(begin(now).err(), Some(ACCOUNT_DELAY_MAX));
        let later = now + ACCOUNT_DELAY_MAX;
        let _one = begin(later).unwrap();
        assert!(begin(later).is_err(), "after a failure, tries at once pass no more often than tries one by one");
    }

    #[test]
    fn a_try_whose_password_was_not_looked_at_leaves_no_trace() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        for _ in 0..100 {
            throttle.begin(Some("amina"), HOME, now).unwrap().undone();
        }
        for _ in 0..5 {
            assert_eq!(fail(&throttle, "amina", HOME, now), Ok(()));
        }
        let due = now + secs(1);
        throttle.begin(Some("amina"), HOME, due).unwrap().undone();
        throttle.begin(Some("amina"), HOME, due).unwrap().undone();
    }

    #[test]
    fn an_address_has_twenty_free_failures_and_then_few_more_in_a_day() {
        let (throttle, start) = (Throttle::new(), Instant::now());
        let (mut now, mut passed, mut refusals) = (start, 0, Vec::new());
        while now < start + Duration::from_hours(24) {
            match fail(&throttle, &format!("user-{passed}"), HOME, now) {
                Ok(()) => passed += 1,
                Err(delay) => {
                    refusals.push((passed, delay));
                    now += delay; // The most patient guesser: each try comes as soon as it may.
                }
            }
        }
        assert_eq!(refusals[0], (20, secs(60)));
        assert!(refusals.iter().any(|(_, delay)| *delay == secs(600)));
        assert!((150..200).contains(&passed), "{passed}"); // As many as are forgiven in a day, and the first ones.
        assert_eq!(fail(&throttle, "user-0", address(1), now), Ok(()));
    }

    #[test]
    fn the_steps_of_an_address_are_those_of_its_failures() {
        let now = Instant::now();
        let delay = |count| Failures { count, since: now, next: now }.delay().as_secs();
        let steps = [(0, 0), (19, 0), (20, 60), (29, 60), (30, 600), (39, 600), (40, 900), (59, 900), (60, 3600)];
        for (count, wanted) in steps {
            assert_eq!(delay(count), wanted, "{count}");
        }
        assert_eq!(delay(u32::MAX), 3600);
    }

    #[test]
    fn an_address_is_forgiven_a_failure_every_ten_minutes() {
        let start = Instant::now();
        let mut failures = Failures { count: 0, since: start, next: start };
        for _ in 0..3 {
            failures.fail(start);
        }
        for (minutes, left) in [(9, 3), (10, 2), (19, 2), (25, 1), (29, 1), (30, 0), (500, 0)] {
            failures.forgive(start + Duration::from_mins(minutes));
            assert_eq!(failures.count, left, "after {minutes} minutes");
        }
        failures.fail(start + Duration::from_mins(505));
        failures.forgive(start + Duration::from_mins(514));
        assert_eq!(failures.count, 1, "nothing is forgiven in advance");
    }

    #[test]
    fn many_people_behind_one_address_may_log_in_at_once() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        let running: Vec<_> =
            (0..200).map(|n| throttle.begin(Some(&format!("user-{n}")), HOME, now).unwrap()).collect();
        running.into_iter().for_each(Attempt::proved);
        assert!(throttle.begin(Some("one-more"), HOME, now).is_ok());
    }

    #[test]
    fn a_proof_does_not_clear_its_address_but_does_not_delay_it_either() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        let early = throttle.begin(Some("own"), HOME, now).unwrap();
        for n in 0..20 {
            assert_eq!(fail(&throttle, &format!("user-{n}"), HOME, now), Ok(()));
        }
        early.proved();
        assert_eq!(throttle.begin(Some("own"), HOME, now).err(), Some(secs(60)));
        let due = now + secs(60);
        let held = throttle.begin(Some("own"), HOME, due).unwrap();
        assert_eq!(throttle.begin(Some("other"), HOME, due).err(), Some(secs(60)));
        held.proved();
        assert_eq!(fail(&throttle, "user-0", HOME, due), Ok(()));
        assert_eq!(throttle.begin(Some("own"), HOME, due).err(), Some(secs(60)));
    }

    #[test]
    fn an_ipv6_customer_is_one_address_and_a_mapped_ipv4_address_is_itself() {
        let network = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.7"), Network(HOME));
        assert_ne!(network("192.0.2.7"), network("192.0.2.8"));
    }

    #[test]
    fn both_tables_are_bounded() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        for n in 0..20_000 {
            assert_eq!(fail(&throttle, &format!("user-{n}"), address(n), now), Ok(()));
        }
        let tables = throttle.lock();
        assert_eq!((tables.accounts.len(), tables.networks.len()), (ROWS_MAX.get(), ROWS_MAX.get()));
    }
}
