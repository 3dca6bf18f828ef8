//! One run, from the mount to the verdict.

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use kernfs::Root;
use kernfs::fuse::{Mount, Options as MountOptions};
use urcu::Memb;

use benches::verdict::Verdict;

use crate::client::{NOBODY, Orders};
use crate::daemon::{Daemon, THREADS};
use crate::names;
use crate::options::Options;
use crate::owner::Owner;
use crate::place::Place;
use crate::process;
use crate::progress::Progress;
use crate::report;
use crate::samples::{self, Sample, Samples};
use crate::sys;
use crate::tally::Tally;
use crate::tree;
use crate::victims;
use crate::watchdog::{Over, Watched, watch};

/// How often the main thread looks round.
const TICK: Duration = Duration::from_millis(50);
/// So much longer a run goes on while nothing has been broken that should be: the machine may be busy.
const LONGER: Duration = Duration::from_secs(60);
/// How long threads and freed memory may take at the end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tortures a mount; the exit status.
pub(crate) fn run(options: &Options) -> Result<u8, String> {
    println!("{}", report::parameters(options));
    let place = Place::new().map_err(|error| format!("a directory to mount on: {error}"))?;
    if let Err(why) = once(&place) {
        return skip(&why);
    }
    let before = Sample::take(None);
    let daemon = Arc::new(Daemon::new(options));
    let verdict = torture(&daemon, &place)?;
    left_behind(&daemon, &before);
    let verdict = match daemon.faults.any() {
        true => Verdict::Failure,
        false => verdict,
    };
    print!("{}", daemon.faults);
    println!("kernfs_torture: {verdict}; --seed {}", options.seed);
    Ok(verdict.exit_status())
}

/// Mounts something: to see whether that is possible, and for what is only ever made once in a process.
fn once(place: &Place) -> Result<(), String> {
    let root = Root::new();
    let mount = Mount::new(&root, place.mount_point(), &MountOptions::new());
    mount
        .and_then(Mount::unmount)
        .map_err(|error| error.to_string())?;
    drop(root);
    Memb::barrier();
    Ok(())
}

fn skip(why: &str) -> Result<u8, String> {
    match std::env::var_os("KERNFS_FUSE_TESTS").is_some_and(|value| value == "require") {
        true => Err(why.to_owned()),
        false => {
            println!("SKIP kernfs_torture: {why}");
            Ok(0)
        }
    }
}

/// Whether there is a second user: a user namespace may have one only.
fn have_nobody() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let has = |line: &str| {
        let mut numbers = line.split_whitespace().flat_map(str::parse::<u64>);
        let (first, count) = (numbers.next(), numbers.nth(1));
        first
            .zip(count)
            .is_some_and(|(first, count)| (first..first + count).contains(&u64::from(NOBODY)))
    };
    sys::user() == 0 && map.lines().any(has)
}

fn torture(daemon: &Arc<Daemon>, place: &Place) -> Result<Verdict, String> {
    let options = &daemon.options;
    let told = |error: kernfs::Error| error.to_string();
    let progress = place.progress().map_err(|error| error.to_string())?;
    let root = tree::root(daemon);
    tree::fixed(daemon, &root).map_err(told)?;
    for number in (0..names::DIRS).rev() {
        tree::fill(daemon, &root, number, &mut daemon.dice(10 + number as u64)).map_err(told)?;
    }
    let mount_options = MountOptions::new()
        .threads(2)
        .most_threads(THREADS)
        .inotify(options.inotify);
    let mount = Mount::new(&root, place.mount_point(), &mount_options).map_err(told)?;
    let orders = |number: usize| Orders {
        number,
        seed: options.seed,
        key: daemon.key,
        stuck: options.stuck,
        nobody: have_nobody() && number > 1 && number as u64 + 1 == options.clients,
    };
    let clients: Result<Vec<Child>, _> = (0..options.clients as usize)
        .map(|number| process::start(place, orders(number)))
        .collect();
    let mut clients = clients.map_err(|error| format!("a client: {error}"))?;
    let ids: Vec<u32> = clients.iter().map(Child::id).collect();
    let watched = Watched {
        daemon,
        place,
        progress: &progress,
        clients: &ids,
        clients_ended: AtomicBool::new(false),
        over: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        let _over = Over(&watched.over);
        scope.spawn(|| watch(&watched));
        let victim = options.victims.then(|| orders(clients.len()));
        let meanwhile = attacked(daemon, &root, &mount, &watched, &mut clients, victim);
        taken_down(daemon, root, mount);
        meanwhile.tell(daemon);
        Ok(meanwhile
            .gap(daemon)
            .map_or(Verdict::Success, Verdict::NoCoverage))
    })
}

/// What happened while the clients ran.
struct Meanwhile {
    tally: Tally,
    samples: Samples,
    killed: Option<u64>,
    took: Duration,
}

/// Owner and clients at the same time, until it is over and both have ended.
fn attacked(
    daemon: &Arc<Daemon>,
    root: &Root,
    mount: &Mount,
    watched: &Watched<'_>,
    clients: &mut Vec<Child>,
    victim: Option<Orders>,
) -> Meanwhile {
    thread::scope(|scope| {
        let owner = scope.spawn(|| Owner::new(daemon, root).run(mount));
        let stuck = daemon.options.stuck;
        let keeper = stuck.then(|| scope.spawn(|| daemon.gate.keep(THREADS, daemon.dice(3))));
        let victims =
            victim.map(|orders| scope.spawn(move || victims::run(daemon, watched.place, orders)));
        let began = Instant::now();
        let mut samples = Samples::default();
        oversee(daemon, root, clients, &mut samples, began);
        let took = began.elapsed();
        let tally = called_off(daemon, watched.progress, std::mem::take(clients));
        watched.clients_ended.store(true, Relaxed);
        daemon.end();
        let killed = victims.map(|victims| victims.join());
        let joined = owner.join().is_ok() & keeper.is_none_or(|keeper| keeper.join().is_ok());
        if !joined || killed.as_ref().is_some_and(Result::is_err) {
            daemon.faults.tell("a thread of the daemon panicked");
        }
        let killed = killed.and_then(Result::ok);
        Meanwhile {
            tally,
            samples,
            killed,
            took,
        }
    })
}

/// Looks round until the time is over, or a client has ended by itself: it has seen enough.
fn oversee(
    daemon: &Daemon,
    root: &Root,
    clients: &mut [Child],
    samples: &mut Samples,
    began: Instant,
) {
    let options = &daemon.options;
    let each = Duration::from_millis((1000 * options.seconds / 60).clamp(100, 1000));
    let stat = Duration::from_secs(options.stat);
    let (mut next_sample, mut next_stat) = (each, stat);
    let latest = options.duration() + LONGER;
    let goes_on = |now| now < options.duration() || now < latest && daemon.has_to_keep();
    while goes_on(began.elapsed()) && !daemon.faults.any() {
        if clients
            .iter_mut()
            .any(|client| !matches!(client.try_wait(), Ok(None)))
        {
            return;
        }
        thread::sleep(TICK);
        let now = began.elapsed();
        if now >= next_sample {
            samples.add(Sample::take(Some(root)));
            next_sample += each;
        }
        if now >= next_stat {
            println!("  {} s: {:?}", now.as_secs(), Sample::take(Some(root)));
            next_stat += stat;
        }
    }
}

/// Ends the clients, and adds up what they say.
fn called_off(daemon: &Daemon, progress: &Progress, clients: Vec<Child>) -> Tally {
    if let Err(error) = progress.end() {
        daemon.faults.tell(format!("progress: {error}"));
    }
    let mut tally = Tally::default();
    for (number, mut client) in clients.into_iter().enumerate() {
        let mut said = String::new();
        let read = client
            .stdout
            .take()
            .map(|mut out| out.read_to_string(&mut said));
        let status = client.wait();
        if !status.as_ref().is_ok_and(|status| status.success()) {
            let signal = status.as_ref().ok().and_then(|status| status.signal());
            let doing = progress.of(number);
            daemon.faults.tell(format!(
                "client {number} ended with {status:?}, signal {signal:?}, after {}",
                doing.call
            ));
        }
        match Tally::from_lines(&said) {
            Some(said) => tally.add(said),
            None => daemon
                .faults
                .tell(format!("client {number} said nothing whole: {read:?}")),
        }
    }
    for fault in &tally.faults {
        daemon.faults.tell(format!("client: {fault}"));
    }
    tally
}

/// Unmounts, and removes the tree: then nothing is left of it.
fn taken_down(daemon: &Daemon, root: Root, mount: Mount) {
    daemon.begins("unmount");
    let path = mount.path().to_owned();
    if let Err(error) = mount.unmount() {
        daemon.faults.tell(format!("unmount: {error}"));
    }
    match path.read_dir().map(Iterator::count) {
        Ok(0) => {}
        other => daemon
            .faults
            .tell(format!("after the unmount there is {other:?}")),
    }
    let open = root.stats().open_files;
    if open != 0 {
        daemon
            .faults
            .tell(format!("{open} files are open after the unmount"));
    }
    daemon.begins("remove the tree");
    let rest = root.clone();
    if let Err(error) = root.destroy() {
        daemon.faults.tell(format!("removal of the tree: {error}"));
    }
    daemon.begins("wait for memory");
    let all_freed = || rest.stats().nodes == 1 && daemon.objects.load(Relaxed) == 0;
    // A grace period for what has gone, and one more for each thing that that kept.
    wait_for(|| {
        Memb::barrier();
        all_freed()
    });
    // The root directory, which `rest` keeps.
    let (nodes, objects) = (rest.stats().nodes, daemon.objects.load(Relaxed));
    if !all_freed() {
        daemon.faults.tell(format!(
            "{nodes} nodes and {objects} objects of files are left, not 1 and 0"
        ));
    }
    drop(rest);
    Memb::barrier();
    let unreleased = daemon.unreleased.load(Relaxed);
    if unreleased != 0 {
        daemon
            .faults
            .tell(format!("{unreleased} open files were not released"));
    }
}

fn wait_for(mut what: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    loop {
        if what() {
            return true;
        }
        if began.elapsed() > PATIENCE {
            return false;
        }
        thread::sleep(TICK);
    }
}

/// After all threads of the run have ended: what the process has that it had not before.
fn left_behind(daemon: &Daemon, before: &Sample) {
    let mut after = Sample::default();
    let gone = wait_for(|| {
        after = Sample::take(None);
        after.threads <= before.threads && after.descriptors <= before.descriptors
    });
    if !gone {
        daemon.faults.tell(format!(
            "left behind: {} threads of {} before, {} descriptors of {}; {:?}",
            after.threads,
            before.threads,
            after.descriptors,
            before.descriptors,
            samples::threads()
        ));
    }
}

impl Meanwhile {
    fn tell(&self, daemon: &Daemon) {
        print!("{}", report::calls(&self.tally, self.took));
        let (lines, grown) = self.samples.judge(self.took);
        print!("{lines}");
        for grown in grown {
            daemon.faults.tell(format!("grows: {grown}"));
        }
        let (full, passed, most) = daemon.gate.counts();
        println!(
            "  texts read whole {}, deeds of the owner {}, clients killed {}, callbacks stuck {passed}, at most {most} \
             at once, all {THREADS} threads {full} times; {:.1} s",
            self.tally.texts,
            daemon.deeds.load(Relaxed),
            self.killed.unwrap_or(0),
            self.took.as_secs_f64()
        );
    }

    /// What did too little to show anything.
    fn gap(&self, daemon: &Daemon) -> Option<&'static str> {
        let calls: u64 = self.tally.answers.values().sum();
        let seconds = self.took.as_secs().max(1);
        let never_full = daemon.options.stuck && daemon.gate.counts().0 == 0;
        let gaps = [
            // However much happened before the clients heard of the end.
            (daemon.options.seconds == 0, "there was no time"),
            (calls < 100 * seconds, "too few calls"),
            (self.tally.texts < seconds, "no text was read"),
            (
                daemon.deeds.load(Relaxed) < 20 * seconds,
                "the owner did too little",
            ),
            (self.killed == Some(0), "nobody was killed"),
            (never_full, "the threads were never all stuck"),
        ];
        let gap = gaps.iter().find(|(is_there, _)| *is_there);
        gap.map(|(_, what)| *what)
    }
}
