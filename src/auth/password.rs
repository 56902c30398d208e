//! Passwords and their argon2id hashes.
//!
//! A hash takes tens of milliseconds and megabytes on purpose, so all of them run on a pool of their own, as many at
//! once as there are cores; the excess is refused. A job whose caller has given up before it started is skipped; one
//! that has started runs on, and nobody else gets its thread until it is done.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::{
        self,
        phc::{Output, ParamsString, PasswordHash, Salt},
    },
};
use unicode_normalization::UnicodeNormalization;

use super::AuthError;
use crate::{
    config::Argon2Config,
    pool::{Pool, PoolError},
};

/// Hashes that may wait for a thread.
const WAITING_MAX: usize = 64;

/// The longest wait for a thread.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// What a refused caller is told to wait: about what the queue takes to get empty.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The least that is asked for as the memory of one hash, bytes; what is not used of it is never touched.
///
/// From over 32 MiB on, glibc's allocator takes memory from the system and gives it back. Below that it keeps it, and does
/// not find it again for blocks that are aligned as these are: a flood of logins took a gigabyte.
const ROOM_MIN: usize = 33 << 20;

/// The most memory that a stored hash may ask for, KiB; more only where the config asks for more.
const STORED_MEMORY_KIB_MAX: u32 = 64 << 10;
/// The most passes that a stored hash may ask for; more only where the config asks for more.
const STORED_ITERATIONS_MAX: u32 = 10;
/// The most lanes that a stored hash may ask for; more only where the config asks for more.
const STORED_PARALLELISM_MAX: u32 = 4;

/// A password on its way to its hash; `Debug` does not show it.
///
/// It is kept in Unicode's NFC form: keyboards differ in how they compose the same characters.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// The most bytes that a password may have.
    pub const BYTES_MAX: usize = 256;

    /// Takes a password as it came.
    #[must_use]
    pub fn new(text: String) -> Self {
        // Too long to be one, so not worth the work of composing it.
        let composed = text.len() > 4 * Self::BYTES_MAX || text.is_ascii();
        Self(if composed { text } else { text.nfc().collect() })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    fn is_too_long(&self) -> bool {
        self.0.len() > Self::BYTES_MAX
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What came of comparing a password with a stored hash.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the right one. With a new hash, where the stored one was made under other parameters than the config's.
    Right { rehashed: Option<String> },
    /// It is not.
    Wrong,
}

/// Makes and checks hashes.
pub(super) struct Hasher {
    pool: Pool,
    argon2: Argon2<'static>,
    /// A hash that no password has, for users that are not there: looking at it takes the same time as a real one.
    nobody: Arc<str>,
}

/// A hash could not be computed; says nothing of the password.
#[derive(Debug, thiserror::Error)]
enum HashError {
    #[error("the stored hash is damaged or asks for too much: {0}")]
    Stored(String),
    #[error("hashing failed: {0}")]
    Failed(password_hash::Error),
}

impl Hasher {
    /// Starts the threads.
    ///
    /// # Errors
    /// Parameters that argon2 does not have; the system's, where it gives no thread or no memory.
    pub(super) fn start(config: Argon2Config) -> io::Result<Self> {
        let params = Params::new(config.memory_kib, config.iterations, config.parallelism, None)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, format!("auth.argon2: {error}")))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let (unguessable, _) = super::token::mint(super::token::Kind::Login);
        let nobody = hash(&argon2, &unguessable).map_err(io::Error::other)?.into();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self { pool: Pool::start("bondhu-hash", threads, WAITING_MAX)?, argon2, nobody })
    }

    /// A hash that no password has.
    pub(super) fn nobody(&self) -> &str {
        &self.nobody
    }

    /// Wants a hash from elsewhere to be one that passwords can be compared with here.
    ///
    /// # Errors
    /// What is wrong with it, in words that do not repeat it.
    pub(super) fn accept(&self, stored: &str) -> Result<(), String> {
        parse(self.argon2.params(), stored).map(drop).map_err(|error| error.to_string())
    }

    /// A new hash of `password` as a PHC string.
    ///
    /// Dropping the future skips the work unless it has started.
    ///
    /// # Errors
    /// `Busy`.
    pub(super) async fn hash(&self, password: Password) -> Result<String, AuthError> {
        let argon2 = self.argon2.clone();
        self.run(move || hash(&argon2, password.as_str())).await
    }

    /// Compares `password` with a stored hash, or takes the same time where there is none.
    ///
    /// Dropping the future skips the work unless it has started.
    ///
    /// # Errors
    /// `Busy`.
    pub(super) async fn verify(&self, password: Password, stored: Option<&str>) -> Result<Verdict, AuthError> {
        if password.is_too_long() {
            return Ok(Verdict::Wrong); // No account has it, whoever asks.
        }
        let argon2 = self.argon2.clone();
        let stored = stored.map_or_else(|| Arc::clone(&self.nobody), Arc::from);
        self.run(move || verify(&argon2, password.as_str(), &stored)).await
    }

    /// Runs `work` on the pool; nobody waits longer than [`WAIT_MAX`] for its start.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, AuthError> {
        let claim = Claim::default();
        let claimed = Arc::clone(&claim.0);
        // Whoever claims the job first has it: the thread that starts it, or the caller that gives up.
        let mut job = std::pin::pin!(self.pool.run(move || (!claimed.swap(true, Ordering::AcqRel)).then(work)));
        let result = match tokio::time::timeout(WAIT_MAX, &mut job).await {
            Ok(result) => result,
            Err(_) if claim.take() => return Err(AuthError::Busy { retry_after: RETRY_AFTER }),
            Err(_) => job.await,
        };
        match result {
            Ok(Some(Ok(value))) => return Ok(value),
            Ok(Some(Err(error))) => tracing::error!(%error, "a password could not be hashed"),
            Err(PoolError::Panicked) => tracing::error!("hashing a password ended in a panic"),
            Ok(None) | Err(PoolError::Full) => {}
        }
        Err(AuthError::Busy { retry_after: RETRY_AFTER })
    }
}

/// The caller's side of a job that either a thread or the caller claims; dropping it gives the job up.
#[derive(Default)]
struct Claim(Arc<AtomicBool>);

impl Claim {
    /// True for the first one who asks.
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.take();
    }
}

fn hash(argon2: &Argon2<'_>, password: &str) -> Result<String, HashError> {
    let failed = |_| HashError::Failed(password_hash::Error::Crypto);
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(failed)?;
    let salt = Salt::new(&salt).map_err(|error| HashError::Failed(error.into()))?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(argon2.params()).map_err(HashError::Failed)?,
        salt: Some(salt),
        hash: Some(compute(argon2, password, &salt)?),
    };
    Ok(hash.to_string())
}

/// The hash itself, in memory that goes back to the system.
fn compute(argon2: &Argon2<'_>, password: &str, salt: &[u8]) -> Result<Output, HashError> {
    let failed = |error: argon2::Error| HashError::Failed(error.into());
    let (blocks, mut room) = (argon2.params().block_count(), Vec::new());
    room.try_reserve_exact(blocks.max(ROOM_MIN / Block::SIZE)).map_err(|_| failed(argon2::Error::OutOfMemory))?;
    room.resize(blocks, Block::new());
    let length = argon2.params().output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let mut output = [0; Output::MAX_LENGTH];
    let output = output.get_mut(..length).ok_or_else(|| failed(argon2::Error::OutputTooLong))?;
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, &mut room).map_err(failed)?;
    Output::new(output).map_err(|error| HashError::Failed(error.into()))
}

fn verify(argon2: &Argon2<'_>, password: &str, stored: &str) -> Result<Verdict, HashError> {
    let (stored, params) = match parse(argon2.params(), stored) {
        Ok(parsed) => parsed,
        Err(error) => {
            tracing::error!(%error, "a password can't be checked");
            return Ok(Verdict::Wrong);
        }
    };
    let same_cost = same_cost(argon2.params(), &params);
    let (Some(salt), Some(wanted)) = (&stored.salt, &stored.hash) else { return Ok(Verdict::Wrong) };
    let computed = compute(&Argon2::new(Algorithm::Argon2id, Version::V0x13, params), password, salt)?;
    Ok(match computed == *wanted {
        false => Verdict::Wrong,
        true if same_cost => Verdict::Right { rehashed: None },
        // The password is right, whatever becomes of its new hash: the next login tries again.
        true => Verdict::Right { rehashed: hash(argon2, password).ok() },
    })
}

/// Reads a stored hash and refuses one whose work would be out of bounds: it would be done for everyone who asks.
fn parse(config: &Params, stored: &str) -> Result<(PasswordHash, Params), HashError> {
    let damaged = |error: &dyn std::fmt::Display| HashError::Stored(error.to_string());
    let hash = PasswordHash::new(stored).map_err(|error| damaged(&error))?;
    let params = Params::try_from(&hash).map_err(|error| damaged(&error))?;
    if hash.algorithm.as_str() != Algorithm::Argon2id.as_str() || hash.version != Some(Version::V0x13.into()) {
        return Err(damaged(&"it is not argon2id in version 19"));
    }
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(damaged(&"it has no salt or no output"));
    }
    if params.m_cost() > config.m_cost().max(STORED_MEMORY_KIB_MAX)
        || params.t_cost() > config.t_cost().max(STORED_ITERATIONS_MAX)
        || params.p_cost() > config.p_cost().max(STORED_PARALLELISM_MAX)
    {
        return Err(damaged(&format_args!("m={},t={},p={}", params.m_cost(), params.t_cost(), params.p_cost())));
    }
    Ok((hash, params))
}

fn same_cost(a: &Params, b: &Params) -> bool {
    let cost = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
    cost(a) == cost(b)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const WEAK: Argon2Config = Argon2Config { memory_kib: 8, iterations: 1, parallelism: 1 };

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    fn right() -> Verdict {
        Verdict::Right { rehashed: None }
    }

    #[tokio::test]
    async fn a_hash_proves_its_password_and_no_other() {
        let hasher = Hasher::start(WEAK).unwrap();
        let stored = hasher.hash(password("one long secret")).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{stored}");
        assert_ne!(hasher.hash(password("one long secret")).await.unwrap(), stored);
        assert_eq!(hasher.verify(password("one long secret"), Some(&stored)).await.unwrap(), right());
        for wrong in ["", "one long secre", "one long secret ", "One long secret"] {
            assert_eq!(hasher.verify(password(wrong), Some(&stored)).await.unwrap(), Verdict::Wrong);
            assert_eq!(hasher.verify(password(wrong), None).await.unwrap(), Verdict::Wrong);
        }
    }

    #[test]
    fn our_hashes_are_those_of_the_crate() {
        use argon2::{PasswordHasher, PasswordVerifier};
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(16, 2, 1, None).unwrap());
        let theirs = argon2.hash_password(b"one long secret").unwrap().to_string();
        assert_eq!(verify(&argon2, "one long secret", &theirs).unwrap(), right());
        assert_eq!(verify(&argon2, "one long secre", &theirs).unwrap(), Verdict::Wrong);
        let ours = PasswordHash::new(&hash(&argon2, "one long secret").unwrap()).unwrap();
        assert!(argon2.verify_password(b"one long secret", &ours).is_ok());
        assert!(argon2.verify_password(b"one long secre", &ours).is_err());
    }

    #[tokio::test]
    async fn the_same_characters_are_the_same_password_however_they_are_composed() {
        let hasher = Hasher::start(WEAK).unwrap();
        let stored = hasher.hash(password("na\u{ef}ve caf\u{e9}s")).await.unwrap();
        assert_eq!(hasher.verify(password("nai\u{308}ve cafe\u{301}s"), Some(&stored)).await.unwrap(), right());
    }

    #[tokio::test]
    async fn a_hash_under_other_parameters_is_made_anew_when_its_password_comes() {
        let old = Hasher::start(WEAK).unwrap();
        let new = Hasher::start(Argon2Config { memory_kib: 16, iterations: 2, ..WEAK }).unwrap();
        let stored = old.hash(password("one long secret")).await.unwrap();
        assert_eq!(new.verify(password("another secret"), Some(&stored)).await.unwrap(), Verdict::Wrong);
        let Verdict::Right { rehashed: Some(rehashed) } =
            new.verify(password("one long secret"), Some(&stored)).await.unwrap()
        else {
            panic!("no new hash")
        };
        assert!(rehashed.starts_with("$argon2id$v=19$m=16,t=2,p=1$"), "{rehashed}");
        assert_eq!(new.verify(password("one long secret"), Some(&rehashed)).await.unwrap(), right());
    }

    #[test]
    fn a_damaged_or_hostile_hash_is_refused_before_any_work() {
        let config = Params::new(8, 1, 1, None).unwrap();
        let tail = "$c29tZXNhbHRzb21lc2FsdA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let ok = |text: &str| parse(&config, text).is_ok();
        for fine in ["m=8,t=1,p=1", "m=19456,t=2,p=1", "m=65536,t=10,p=4"] {
            assert!(ok(&format!("$argon2id$v=19${fine}{tail}")), "{fine}");
        }
        let beyond = ["m=65537,t=1,p=1", "m=4294967295,t=1,p=1", "m=8,t=11,p=1", "m=64,t=1,p=5"];
        for bad in beyond.into_iter().chain(["m=0,t=0,p=0", "m=8,t=1,p=4", "m=8,t=1,p=1,x=1"]) {
            assert!(!ok(&format!("$argon2id$v=19${bad}{tail}")), "{bad}");
        }
        for bad in ["", "secret", "$argon2id$v=19$m=8,t=1,p=1", &format!("$argon2id$v=16$m=8,t=1,p=1{tail}")] {
            assert!(!ok(bad), "{bad:?}");
        }
        assert!(!ok(&format!("$argon2d$v=19$m=8,t=1,p=1{tail}")));
        let larger = Params::new(70_000, 12, 5, None).unwrap();
        assert!(parse(&larger, &format!("$argon2id$v=19$m=70000,t=12,p=5{tail}")).is_ok());
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, config);
        let hostile = format!("$argon2id$v=19$m=4294967295,t=1,p=1{tail}");
        assert_eq!(verify(&argon2, "any", &hostile).unwrap(), Verdict::Wrong);
    }

    #[tokio::test]
    async fn what_is_too_long_is_never_hashed() {
        let hasher = Hasher::start(WEAK).unwrap();
        let stored = hash(&hasher.argon2, &"x".repeat(257)).unwrap();
        assert_eq!(hasher.verify(password(&"x".repeat(257)), Some(&stored)).await.unwrap(), Verdict::Wrong);
        let stored = hash(&hasher.argon2, &"x".repeat(256)).unwrap();
        assert_eq!(hasher.verify(password(&"x".repeat(256)), Some(&stored)).await.unwrap(), right());
    }

    #[tokio::test]
    async fn work_is_skipped_when_its_caller_has_gone_and_the_excess_is_refused() {
        let hasher = Hasher { pool: Pool::start("test", 1, 1).unwrap(), ..Hasher::start(WEAK).unwrap() };
        let (release, blocked) = mpsc::channel::<()>();
        let (started, running) = tokio::sync::oneshot::channel();
        let block = move || {
            let _ = started.send(());
            let _ = blocked.recv();
        };
        hasher.pool.submit(block).unwrap();
        running.await.unwrap();
        let (ran, runs) = mpsc::channel();
        {
            let mut waiting = std::pin::pin!(hasher.run(move || {
                let _ = ran.send(());
                Ok(())
            }));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(waiting.as_mut().poll(&mut context).is_pending());
            assert!(matches!(hasher.run(|| Ok(())).await, Err(AuthError::Busy { .. })));
        }
        release.send(()).unwrap();
        assert!(runs.recv().is_err(), "the work ran though nobody waited for it");
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(format!("{:?}", password("one long secret")), "Password(..)");
    }
}
