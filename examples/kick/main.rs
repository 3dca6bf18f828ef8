//! An attribute that removes its own object: each session has a file `kick`, and whoever writes to it ends the
//! session from inside the session's own callback.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use examples::cli;
use examples::latencies::Latencies;
use kernfs::{Action, Errno, Object, OpenFlags, Result, Root, Uevents, ro, wo};

const ABOUT: &str = "kick: sessions in a tree, each ended by a write to its own file";
const SESSIONS: u64 = 8;

/// What the program knows of its sessions. Taking one out ends it.
#[derive(Default)]
struct Sessions(Mutex<HashMap<u64, Object>>);

impl Sessions {
    fn take(&self, id: u64) -> Option<Object> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&id)
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn start(self: &Arc<Self>, root: &Root, uevents: &Uevents, id: u64) -> Result<()> {
        let object = Object::new(root, format!("session{id}"))?.with_uevents(uevents, "session");
        object.attr("id", ro(move || id))?;
        let all = Arc::clone(self);
        object.attr(
            "kick",
            wo(move |_: String| match all.take(id) {
                // Inside its own callback: the directory goes when this has returned.
                Some(session) => {
                    drop(session);
                    Ok(())
                }
                None => Err(Errno::ENODEV), // somebody else was faster
            }),
        )?;
        // First into the table: who hears of it may kick at once.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(id).insert_entry(object).get().announce()
    }
}

/// Two users kick the same session; returns how many of them were told that they did it.
fn kick(root: &Root, id: u64) -> usize {
    let path = format!("session{id}/kick");
    let kick = || {
        let file = root
            .walk(&path)
            .and_then(|node| node.as_file())
            .ok_or(Errno::ENOENT)?;
        file.open(OpenFlags::WRITE)?.write_at(b"1\n", 0)
    };
    thread::scope(|s| {
        let users: Vec<_> = (0..2).map(|_| s.spawn(kick)).collect();
        users
            .into_iter()
            .map(|user| user.join())
            .filter(|r| matches!(r, Ok(Ok(_))))
            .count()
    })
}

fn main() -> Result<()> {
    let time = cli::seconds(ABOUT, 1);
    let (root, uevents) = (Root::new(), Uevents::new());
    let news = uevents.subscribe()?;
    let sessions = Arc::new(Sessions::default());
    let next = AtomicU64::new(0);
    let start = |n: u64| {
        (0..n).try_for_each(|_| sessions.start(&root, &uevents, next.fetch_add(1, Relaxed)))
    };
    start(SESSIONS)?;

    let mut latencies = Latencies::default();
    let begin = Instant::now();
    let (mut kicked, mut heard) = (0, HashMap::<String, u64>::new());
    while begin.elapsed() < time {
        latencies.time(|| {
            let winners = kick(&root, kicked);
            assert_eq!(winners, 1, "session {kicked}");
            // Gone when its name is.
            while root.find(format!("session{kicked}")).is_some() {
                thread::yield_now();
            }
        });
        kicked += 1;
        start(1)?;
        news.set_nonblocking(true)?;
        while let Ok(event) = news.recv() {
            let action = event.get("ACTION").unwrap_or("?").to_owned();
            *heard.entry(action).or_default() += 1;
        }
    }
    println!(
        "{kicked} sessions kicked, each by one of two threads that tried; from their start until it was gone: {latencies}"
    );
    println!(
        "events: {} add, {} remove",
        heard.get(&Action::Add.to_string()).unwrap_or(&0),
        heard.get(&Action::Remove.to_string()).unwrap_or(&0)
    );
    let left: Vec<_> = root
        .entries()
        .map(|entry| entry.name.escape_ascii().to_string())
        .collect();
    println!(
        "still there: {} sessions, {} of them in the program's table",
        left.len(),
        sessions.count()
    );
    let mut text = String::new();
    let last = root
        .walk(format!("session{kicked}/id"))
        .and_then(|node| node.as_file());
    if let Some(file) = last {
        file.open(OpenFlags::READ)?.read_to_string(&mut text)?;
        println!("session{kicked}/id says {}", text.trim_end());
    }
    Ok(())
}
