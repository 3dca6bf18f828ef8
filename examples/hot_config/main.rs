//! A configuration that is reloaded while requests read it: `Rcu<Config>` beside a `RwLock<Arc<Config>>`.
//!
//! A request reads several settings in one section, and they are of one version. Whoever reloads never waits for requests, and
//! requests never wait for him; the old version is freed when no request reads it any more.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Barrier, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use examples::cli;
use urcu::{Memb, Rcu};

const ABOUT: &str =
    "hot_config: a configuration reloaded under its readers, beside its RwLock twin";
/// Between two reloads.
const RELOAD: Duration = Duration::from_millis(1);
/// Requests between two looks at the clock.
const BATCH: u64 = 1000;

struct Config {
    version: u64,
    workers: u64,
    greeting: String,
}

impl Config {
    /// As it would be read from a file.
    fn load(version: u64) -> Self {
        let workers = version * 2;
        let greeting = format!("hello from version {version}");
        Self {
            version,
            workers,
            greeting,
        }
    }

    /// What a request makes of it. Fails if the settings are of two versions.
    fn serve(&self) -> u64 {
        assert_eq!(self.workers, self.version * 2, "torn");
        self.version + self.greeting.len() as u64
    }
}

/// What both keepers can do.
trait Keeper: Sync {
    fn reload(&self, config: Config);
    fn request(&self) -> u64;
}

static CONFIG: Rcu<Config> = Rcu::null();

struct ByRcu;

impl Keeper for ByRcu {
    fn reload(&self, config: Config) {
        CONFIG.assign(config);
    }

    fn request(&self) -> u64 {
        let guard = Memb::read_lock();
        CONFIG
            .dereference(&guard)
            .expect("main has loaded it")
            .serve()
    }
}

struct ByLock(RwLock<Arc<Config>>);

impl Keeper for ByLock {
    fn reload(&self, config: Config) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    fn request(&self) -> u64 {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .serve()
    }
}

/// Two threads of requests beside one that reloads. Nanoseconds for a request.
fn measure(keeper: &dyn Keeper, time: Duration) -> f64 {
    let (over, start) = (AtomicBool::new(false), Barrier::new(3));
    let versions = AtomicU64::new(0);
    let requests = || {
        start.wait();
        let (begun, mut requests, mut sum) = (Instant::now(), 0, 0_u64);
        // One batch at least, however late this thread comes.
        while requests == 0 || begun.elapsed() < time {
            for _ in 0..BATCH {
                sum = sum.wrapping_add(keeper.request());
            }
            requests += BATCH;
        }
        assert_ne!(sum, 0);
        begun.elapsed().as_nanos() as f64 / requests as f64
    };
    let ns = thread::scope(|s| {
        s.spawn(|| {
            start.wait();
            while !over.load(Relaxed) {
                thread::sleep(RELOAD);
                keeper.reload(Config::load(versions.fetch_add(1, Relaxed) + 2));
            }
        });
        let other = s.spawn(requests);
        let ns = (requests() + other.join().expect("requests do not panic")) / 2.0;
        over.store(true, Relaxed);
        ns
    });
    println!("  {} reloads", versions.into_inner());
    ns
}

fn main() {
    let time = cli::seconds(ABOUT, 2) / 2;
    CONFIG.assign(Config::load(1));
    println!("Rcu:");
    let rcu = measure(&ByRcu, time);
    println!("RwLock<Arc>:");
    let lock = measure(&ByLock(RwLock::new(Arc::new(Config::load(1)))), time);
    println!(
        "a request: {rcu:.1} ns by Rcu, {lock:.1} ns by RwLock, {:.1} x",
        lock / rcu
    );
}
