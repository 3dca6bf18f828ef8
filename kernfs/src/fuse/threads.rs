//! The threads of a mount; and one more, where all those that serve are in callbacks.
//!
//! A callback may block, and then its thread serves nobody else. If that goes for all of them, and none comes back for a
//! while ([`super::load`]), another one is started, up to a limit; then that is told, and clients wait.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::session::{Session, service_name};
use crate::error::{Error, Result};
use crate::sys::{mounting as sys, say};

/// How long the end of a mount waits for a thread that the kernel may keep.
const PATIENCE: Duration = Duration::from_secs(2);
/// When a thread that could not be started is tried again, if no other has come back before.
const RETRY: Duration = Duration::from_millis(100);

/// The threads that serve, and the one that sees to it that there are enough.
#[derive(Debug)]
pub(super) struct Threads {
    session: Arc<Session>,
    service: Arc<Service>,
    relief: JoinHandle<()>,
}

/// The threads that serve.
#[derive(Debug, Default)]
struct Service(Mutex<Vec<JoinHandle<()>>>);

impl Service {
    fn lock(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the next one; `false`: there are as many as may be.
    fn start(&self, session: &Arc<Session>) -> Result<bool> {
        let mut threads = self.lock();
        let index = threads.len();
        if !session.open(index) {
            return Ok(false);
        }
        let serving = Arc::clone(session);
        let body = move || serving.serve(index);
        // It counts from here on, however late it comes: nobody starts another one meanwhile.
        session.load.arrives();
        let thread = spawn(service_name(index), body);
        threads.push(thread.inspect_err(|_| session.load.begins())?);
        Ok(true)
    }

    /// The body of the thread that sees to it that there are enough.
    fn relieve(&self, session: &Arc<Session>) {
        let mut told = false;
        while let Some(since) = session.load.wait_for_need() {
            let started = self.start(session);
            if matches!(started, Ok(true)) {
                continue;
            }
            if !told {
                told = true;
                let n = self.lock().len();
                let why = match &started {
                    Err(error) => error.to_string(),
                    Ok(_) => "that is the limit".into(),
                };
                let late = match session.late() {
                    0 => String::new(),
                    late => format!(" ({late} of them beyond their limit)"),
                };
                let line = format!(
                    "kernfs: all {n} service threads of a mount are in callbacks{late}, its clients wait; {why}\n"
                );
                say(&line);
            }
            // What was short for the thread may be there again though none of these has come back.
            let limit = started.is_err().then_some(RETRY);
            session.load.wait_for_progress(since, limit);
        }
    }
}

impl Threads {
    /// Starts `count` of them.
    pub(super) fn start(session: &Arc<Session>, count: usize) -> Result<Self> {
        let service = Arc::<Service>::default();
        for _ in 0..count {
            service.start(session)?;
        }
        let (seen, to) = (Arc::clone(session), Arc::clone(&service));
        let relief = spawn("kernfs-relief".into(), move || to.relieve(&seen))?;
        Ok(Self {
            session: Arc::clone(session),
            service,
            relief,
        })
    }

    /// No more are started.
    pub(super) fn close(self) -> Vec<JoinHandle<()>> {
        self.session.load.close();
        join(self.relief);
        std::mem::take(&mut *self.service.lock())
    }
}

/// Starts a thread that runs no signal handlers: those belong to the program's threads.
pub(super) fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    sys::with_signals_blocked(|| thread::Builder::new().name(name).spawn(body)).map_err(|error| {
        Error::from(error)
            .errno()
            .because("cannot start a thread of the mount")
    })
}

/// A thread that the kernel may keep from ending.
#[derive(Debug)]
pub(super) struct Kept {
    thread: JoinHandle<()>,
    /// Nothing is sent: it ends with the thread.
    end: Mutex<Receiver<()>>,
}

impl Kept {
    pub(super) fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> Result<Self> {
        let (alive, end) = mpsc::channel();
        let body = move || {
            let _alive: Sender<()> = alive;
            body();
        };
        Ok(Self {
            thread: spawn(name, body)?,
            end: Mutex::new(end),
        })
    }

    /// Joins, unless it takes too long: then it ends some time by itself.
    pub(super) fn join(self) {
        let end = self
            .end
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Disconnected) {
            join(self.thread);
        }
    }
}

/// Joins, but not the calling thread itself: a callback may drop the mount it is called by.
pub(super) fn join(thread: JoinHandle<()>) {
    if thread.thread().id() != thread::current().id() {
        let _ = thread.join();
    }
}
