//! A pool of threads for work that blocks or computes long, so that the async workers never do.
//!
//! Bounded twice: in threads and in jobs that wait. A job that was taken runs to its end whether or not its caller still
//! waits, and the thread stays taken until then: a client that hangs up cannot make room for more work than the pool has.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Threads that run jobs in the order they came.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    /// Guards the waiting jobs and whether more may come.
    queue: Mutex<Queue>,
    work: Condvar,
    waiting_max: usize,
}

struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

/// Why a job gave no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// As many jobs wait as the pool allows.
    #[error("too much work waits already")]
    Full,
    /// The job panicked; the pool goes on.
    #[error("the work ended in a panic")]
    Panicked,
}

impl Pool {
    /// Starts `threads` threads named `name-0`, `name-1`, ...; at most `waiting_max` jobs wait.
    ///
    /// # Errors
    /// The system's, where it gives no thread.
    pub fn start(name: &str, threads: usize, waiting_max: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue { jobs: VecDeque::new(), closed: false }),
            work: Condvar::new(),
            waiting_max,
        });
        let threads = (0..threads.max(1))
            .map(|n| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new().name(format!("{name}-{n}")).spawn(move || shared.run())
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { shared, threads })
    }

    /// Runs `job` on a thread of the pool and waits for its result. Dropping the future does not stop the job.
    ///
    /// # Errors
    /// [`PoolError::Full`] at once where too many jobs wait; [`PoolError::Panicked`] where the job did.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, PoolError> {
        let (done, result) = oneshot::channel();
        self.submit(move || {
            // The caller may have gone; the job's effects stand all the same.
            let _ = done.send(job());
        })?;
        result.await.map_err(|_| PoolError::Panicked)
    }

    /// Hands `job` to the pool without waiting for it.
    ///
    /// # Errors
    /// [`PoolError::Full`] where too many jobs wait.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<(), PoolError> {
        let mut queue = self.shared.lock();
        if queue.jobs.len() >= self.shared.waiting_max || queue.closed {
            return Err(PoolError::Full);
        }
        queue.jobs.push_back(Box::new(job));
        drop(queue);
        self.shared.work.notify_one();
        Ok(())
    }
}

impl Drop for Pool {
    /// Lets the waiting jobs finish, then ends the threads.
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // The last owner may be a job of this very pool, which cannot wait for itself.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join(); // Jobs' panics are caught, so this cannot fail.
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code that can panic runs under this lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                drop(queue);
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    tracing::error!("a job of a pool panicked");
                }
                queue = self.lock();
            } else if queue.closed {
                return;
            } else {
                queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_pool_refuses_at_once_and_a_panic_does_not_end_it() {
        let pool = Pool::start("test", 1, 1).unwrap();
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let (started, running) = oneshot::channel();
        pool.submit(move || {
            let _ = started.send(());
            let _ = blocked.recv();
        })
        .unwrap();
        running.await.unwrap();
        pool.submit(|| panic!("on purpose")).unwrap();
        assert_eq!(pool.submit(|| ()), Err(PoolError::Full));
        release.send(()).unwrap();
        while pool.submit(|| ()).is_err() {
            tokio::task::yield_now().await;
        }
        loop {
            match pool.run(|| 7).await {
                Err(PoolError::Full) => tokio::task::yield_now().await,
                other => break assert_eq!(other, Ok(7)),
            }
        }
    }
}
