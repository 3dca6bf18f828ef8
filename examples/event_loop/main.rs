//! An event loop as a QSBR reader: it pays nothing to read, and announces a quiescent state each turn.
//!
//! The loop answers requests from a configuration that another thread replaces all the time. How long those
//! replacements wait for the loop depends on what it does around `epoll_wait`: with an announcement alone it
//! still counts as a reader while it sleeps, and an idle loop holds grace periods back until the next event;
//! offline it does not.

#![deny(unsafe_code)]

mod epoll;

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use epoll::Epoll;
use examples::cli;
use examples::latencies::Latencies;
use urcu::{Qsbr, Rcu};

const ABOUT: &str = "event_loop: an epoll loop that reads a configuration under QSBR";
/// A request comes every so often: that long the loop sleeps.
const REQUEST_EVERY: Duration = Duration::from_millis(3);

struct Config {
    version: u64,
    greeting: String,
}

static CONFIG: Rcu<Config, Qsbr> = Rcu::null();
/// Whether the loop goes offline to wait, or only announces.
static OFFLINE: AtomicBool = AtomicBool::new(false);
static STOP: AtomicBool = AtomicBool::new(false);
static SERVED: AtomicU64 = AtomicU64::new(0);

/// The loop. Ends when the client hangs up.
fn serve(mut client: UnixStream) -> io::Result<()> {
    let epoll = Epoll::new()?;
    epoll.add(&client)?;
    let mut thread = Qsbr::register();
    let mut request = [0; 1];
    loop {
        if OFFLINE.load(Relaxed) {
            // No reader from here to the event: grace periods pass us by.
            thread.offline(|| epoll.wait())?;
        } else {
            thread.quiescent_state();
            epoll.wait()?;
        }
        if client.read(&mut request)? == 0 {
            return Ok(());
        }
        // The guard costs no instruction. It borrows `thread`: neither it nor what was read under it can
        // live until the next announcement.
        let guard = thread.read_lock();
        let config = CONFIG.dereference(&guard).expect("main has set it");
        let answer = format!("{} {}\n", config.version, config.greeting);
        client.write_all(answer.as_bytes())?;
        SERVED.fetch_add(1, Relaxed);
    }
}

/// Asks now and then, and checks that the configuration never goes back in time.
fn ask(mut server: UnixStream) -> io::Result<()> {
    let mut answers = BufReader::new(server.try_clone()?);
    let mut newest = 0;
    while !STOP.load(Relaxed) {
        thread::sleep(REQUEST_EVERY);
        server.write_all(b"?")?;
        let mut answer = String::new();
        answers.read_line(&mut answer)?;
        let version = answer.split(' ').next().and_then(|n| n.parse().ok());
        assert!(version >= Some(newest), "{answer} came after {newest}");
        newest = version.unwrap_or(newest);
    }
    Ok(())
}

fn config(version: u64) -> Config {
    Config {
        version,
        greeting: "hello".to_owned(),
    }
}

/// Replaces the configuration until `time` is over, and notes how long each old one was in use.
fn update(time: Duration, version: &mut u64) -> Latencies {
    let mut latencies = Latencies::default();
    let start = Instant::now();
    while start.elapsed() < time {
        *version += 1;
        let old = CONFIG.replace(config(*version)).expect("main has set it");
        let old = latencies.time(|| old.synchronize());
        assert_eq!(old.version + 1, *version);
        thread::sleep(Duration::from_micros(200));
    }
    latencies
}

fn main() -> io::Result<()> {
    let time = cli::seconds(ABOUT, 2);
    let mut version = 0;
    CONFIG.assign(config(version));
    let (client, server) = UnixStream::pair()?;
    let server = thread::spawn(move || serve(server));
    let client = thread::spawn(move || ask(client));

    println!("grace periods, a request every {REQUEST_EVERY:?}:");
    let announced = update(time / 2, &mut version);
    println!("  the loop announces each turn:  {announced}");
    OFFLINE.store(true, Relaxed);
    let offline = update(time / 2, &mut version);
    println!("  it is offline while it waits:  {offline}");
    let ratio = announced.percentile(50).as_secs_f64() / offline.percentile(50).as_secs_f64();
    println!("  median: {ratio:.0} times shorter");

    STOP.store(true, Relaxed);
    client.join().expect("the client checks the answers")?;
    server.join().expect("the loop does not panic")?;
    println!("{} requests served", SERVED.load(Relaxed));
    Ok(())
}
