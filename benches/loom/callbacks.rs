//! Models of what frees behind the caller's back: workers, `barrier`, and the rings of `free`.
//!
//! Shard, queue and worker are the real ones; workers are threads of the model.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use loom::thread;

use crate::flavor::{Fault, Flavor, has};
use crate::head::Callback;
use crate::home::Process;
use crate::park::Event;
use crate::queue::{Haste, Pushed, Queue};
use crate::ring::retire;
use crate::shard::{Lane, Shard, Sleep, Stop};
use crate::sys;
use crate::task::Task;
use crate::worker;
use crate::world::{World, section, slot};

fn reader<F: Flavor>(world: &Arc<World>) -> thread::JoinHandle<()> {
    let (world, slot) = (Arc::clone(world), slot::<F>());
    thread::spawn(move || section::<F>(slot, &world))
}

fn home<F: Flavor>() -> Process<F::Barriers> {
    Process::HOME
}

/// Removes the object, and queues a callback that frees it.
fn remove_and_call<F: Flavor>(world: &Arc<World>) {
    world.remove();
    let world = Arc::clone(world);
    worker::post(&home::<F>(), Callback::new(move || world.free()));
}

fn barrier_for<F: Flavor>() {
    if !has(Fault::NoBarrier) {
        worker::wait_for_all(&home::<F>());
    }
}

/// A callback comes after the sections that it has to wait for, and before the return of a barrier.
pub(crate) fn barrier<F: Flavor>() {
    sys::allow_threads(true);
    let world = World::new();
    let reader = reader::<F>(&world);
    remove_and_call::<F>(&world);
    barrier_for::<F>();
    world.assert_freed();
    // The worker has to end, or the execution would not.
    worker::close(&home::<F>());
    reader.join().expect("the reader");
}

/// A barrier covers the callback of another thread, if that was queued before.
pub(crate) fn two_threads<F: Flavor>() {
    sys::allow_threads(true);
    let worlds = [World::new(), World::new()];
    remove_and_call::<F>(&worlds[0]);
    let other = Arc::clone(&worlds[1]);
    let caller = thread::spawn(move || remove_and_call::<F>(&other));
    barrier_for::<F>();
    worlds[0].assert_freed();
    caller.join().expect("the other caller");
    barrier_for::<F>();
    worlds[1].assert_freed();
    worker::close(&home::<F>());
}

/// A callback runs without anybody's barrier, also if it comes when the worker falls asleep.
pub(crate) fn call_alone<F: Flavor>() {
    sys::allow_threads(true);
    let home = home::<F>();
    let done: [Arc<Event>; 2] = [Arc::new(Event::new()), Arc::new(Event::new())];
    let _ = format!("{done:?}");
    for done in done {
        let signal = Arc::clone(&done);
        let callback = Callback::new(move || signal.signal());
        if has(Fault::PushWakesNobody) {
            let backlog = &crate::flavor::engine::<F>().backlog;
            let shard = backlog.shard(0);
            shard.lane(Lane::Main).push(callback, Haste::Prompt);
            if shard.worker() == crate::shard::Worker::None {
                worker::post(&home, Callback::new(|| {}));
            }
        } else {
            worker::post(&home, callback);
        }
        assert!(done.wait_while(0, None));
    }
    worker::close(&home);
}

/// One ends the workers while another queues: either the worker sees the callback before it leaves, or it has a
/// successor.
pub(crate) fn leaving<F: Flavor>() {
    sys::allow_threads(true);
    let world = World::new();
    worker::post(&home::<F>(), Callback::new(|| {}));
    let ender = thread::spawn(|| worker::shutdown(&home::<F>()));
    world.remove();
    let done = Arc::new(Event::new());
    let (freed, signal) = (Arc::clone(&world), Arc::clone(&done));
    let callback = Callback::new(move || {
        freed.free();
        signal.signal();
    });
    worker::post(&home::<F>(), callback);
    // No barrier: that would start a worker itself.
    assert!(done.wait_while(0, None));
    world.assert_freed();
    ender.join().expect("who ended the workers");
    worker::close(&home::<F>());
}

/// The hand-shake alone: what is pushed is seen by the worker before it sleeps, or wakes it.
pub(crate) fn push_and_sleep() {
    let shard = Arc::new(Shard::new());
    let _ = format!("{shard:?}");
    let world = World::new();
    let pusher = {
        let (shard, world) = (Arc::clone(&shard), Arc::clone(&world));
        thread::spawn(move || {
            world.free();
            let callback = Callback::new(move || world.assert_freed());
            if has(Fault::PushWakesNobody) {
                shard.lane(Lane::Main).push(callback, Haste::Prompt);
            } else {
                shard.push(callback, Lane::Main, Haste::Prompt);
            }
        })
    };
    while !shard.has_work() {
        let stay = || shard.has_work() || shard.told() != Stop::No;
        shard.sleep(Sleep::Idle, None, stay);
    }
    shard.begin_pass();
    shard.pop(Lane::Main).expect("it was there").run();
    shard.ran(Lane::Main);
    pusher.join().expect("the pusher");
}

/// What a pusher did is seen by the callback, whoever runs it: three callbacks of two threads, each once.
pub(crate) fn push_and_take() {
    let queue = Arc::new(Queue::new());
    let _ = format!("{queue:?}");
    let worlds = [World::new(), World::new(), World::new()];
    let push = |queue: &Queue, world: &Arc<World>| {
        world.free();
        let world = Arc::clone(world);
        queue.push(Callback::new(move || world.assert_freed()), Haste::Prompt);
    };
    let pusher = {
        let (queue, worlds) = (Arc::clone(&queue), worlds.clone());
        thread::spawn(move || worlds[..2].iter().for_each(|world| push(&queue, world)))
    };
    push(&queue, &worlds[2]);
    let mut ran = 0;
    while ran < 3 {
        if queue.take() == Pushed::Nothing {
            thread::yield_now();
        }
        while let Some(callback) = queue.pop() {
            queue.gather(); // as a worker does in a long batch
            callback.run();
            ran += 1;
        }
    }
    pusher.join().expect("the pusher");
    assert_eq!(queue.pushed(), Pushed::Nothing);
}

/// Wakes by an event, which can be waited for.
struct Bell(Event);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.signal();
    }
}

/// A task is polled, each time with another waker, until its alarm has rung: the newest is woken, or the poll
/// finds that it is over.
pub(crate) fn awaited() {
    let world = World::new();
    let bells: [Arc<Bell>; 3] = std::array::from_fn(|_| Arc::new(Bell(Event::new())));
    bells.iter().for_each(|bell| drop(format!("{:?}", bell.0)));
    let (mut task, mut alarm, mut ringer) = (Task::default(), None, None);
    let mut over = false;
    for (n, bell) in bells.iter().enumerate() {
        let waker = Waker::from(Arc::clone(bell));
        let mut context = Context::from_waker(&waker);
        if task.poll(&mut context, |a| alarm = Some(a)).is_ready() {
            over = true;
            break;
        }
        if let Some(alarm) = alarm.take() {
            let _ = format!("{task:?}");
            let world = Arc::clone(&world);
            ringer = Some(thread::spawn(move || {
                world.free();
                alarm.ring();
            }));
        } else if n == 2 {
            bell.0.wait_while(0, None);
        }
    }
    if !over {
        let mut context = Context::from_waker(Waker::noop());
        assert!(task.poll(&mut context, |_| unreachable!("queued")).is_ready());
    }
    world.assert_freed();
    ringer.expect("queued once").join().expect("the ringer");
}

/// The owner of a ring frees an object when its half is ripe, and not before; a half whose place is needed
/// earlier goes to the worker, which does not come here. At the end of its thread it hands over the rest.
pub(crate) fn ring<F: Flavor>() {
    sys::allow_threads(false);
    let world = World::new();
    let reader = reader::<F>(&world);
    world.remove();
    let object = NonNull::from(Box::leak(Box::new(0_u64))).cast();
    let freed = Arc::clone(&world);
    sys::watch(object, move || freed.free());
    let give = |at: NonNull<u8>| {
        // SAFETY: clause 1: from a box of this layout, which is leaked; unpublished.
        let taken = unsafe { retire::<F::Barriers>(at, Layout::new::<u64>()) };
        assert!(taken, "no ring took it");
    };
    give(object);
    for _ in 0..3 {
        give(NonNull::from(Box::leak(Box::new(1_u64))).cast());
    }
    reader.join().expect("the reader");
    sys::end_thread();
}
