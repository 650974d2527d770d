//! One single-threaded runtime per worker thread.
//!
//! A connection, once accepted, belongs to one worker for its whole life: its TLS state, its HTTP state, its engine
//! connection and its tunnel never cross threads. The acceptor hands each new connection to the worker with the fewest, so
//! that two heavy streams do not share a core by bad luck.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// How long [`Workers::stop`] waits for the threads: one that the kernel holds up must not keep the process.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// The worker threads.
#[derive(Debug)]
pub struct Workers {
    workers: Vec<Worker>,
    stop: CancellationToken,
    /// Closed when every thread has ended.
    ended: Mutex<Receiver<()>>,
}

#[derive(Debug)]
struct Worker {
    handle: Handle,
    load: Arc<AtomicUsize>,
}

struct Load(Arc<AtomicUsize>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Workers {
    /// Starts `count` workers.
    ///
    /// # Errors
    /// When a runtime or a thread cannot be made.
    pub fn start(count: usize) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let (alive, ended) = mpsc::channel();
        let workers = (0..count.max(1))
            .map(|n| {
                let runtime = Builder::new_current_thread().enable_all().build()?;
                let handle = runtime.handle().clone();
                let (until, alive) = (stop.clone(), alive.clone());
                std::thread::Builder::new()
                    .name(format!("worker-{n}"))
                    .spawn(move || {
                        let _alive = alive;
                        runtime.block_on(until.cancelled());
                        drop(runtime);
                    })?;
                Ok(Worker {
                    handle,
                    load: Arc::default(),
                })
            })
            .collect::<io::Result<_>>()?;
        Ok(Self {
            workers,
            stop,
            ended: Mutex::new(ended),
        })
    }

    /// Gives a task to the least loaded worker. A panic in it ends it alone.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let Some(worker) = self.workers.iter().min_by_key(|w| w.load.load(Relaxed)) else {
            return;
        };
        worker.load.fetch_add(1, Relaxed);
        let load = Load(worker.load.clone());
        worker.handle.spawn(async move {
            let _load = load;
            task.await;
        });
    }

    /// Whether every worker runs a task within `limit`.
    pub async fn answer(&self, limit: Duration) -> bool {
        let asked: Vec<_> = self
            .workers
            .iter()
            .map(|w| w.handle.spawn(async {}))
            .collect();
        let answered = async {
            for worker in asked {
                if worker.await.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(limit, answered).await.unwrap_or(false)
    }

    /// Stops the workers; tasks that still run are dropped. Waits two seconds at most.
    pub fn stop(self) {
        self.stop.cancel();
        let ended = self
            .ended
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        // Nothing is ever sent: it ends by the last thread's end, or by time.
        let _ = ended.recv_timeout(LAST_WAIT);
    }
}
