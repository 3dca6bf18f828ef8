//! The table of models with their controls, and how they are run.

use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize as StdUsize;
use std::sync::atomic::Ordering::Relaxed as StdRelaxed;
use std::time::Instant;

use crate::arena::thread_id;
use crate::atomic::{Strength, begin_execution};
use crate::callbacks;
use crate::flavor::{Fault, Mb, Memb, new_engine, set_fault};
use crate::hash;
use crate::lists;
use crate::ordered;
use crate::periods;
use crate::stall::Watch;
use crate::sys;
use crate::trees;

struct Model {
    name: &'static str,
    strength: Strength,
    cpus: usize,
    /// How many preemptions a run that is not quick allows.
    preemptions: usize,
    body: fn(),
    /// Each of these has to be found.
    faults: &'static [Fault],
}

const MODELS: &[Model] = &[
    Model {
        name: "memb: one reader, a grace period",
        strength: Strength::Asymmetric,
        cpus: 1,
        preemptions: 4,
        body: || periods::grace_period::<Memb>(1, 1),
        faults: &[Fault::NoHeavyBarrier, Fault::NoLightBarrier],
    },
    Model {
        name: "memb: one reader twice, a grace period",
        strength: Strength::Asymmetric,
        cpus: 1,
        preemptions: 3,
        body: || periods::grace_period::<Memb>(1, 2),
        faults: &[Fault::NoHeavyBarrier],
    },
    Model {
        name: "memb: two readers, a grace period",
        strength: Strength::Asymmetric,
        cpus: 1,
        preemptions: 3,
        body: || periods::grace_period::<Memb>(2, 1),
        faults: &[],
    },
    Model {
        name: "memb: one reader, two grace periods",
        strength: Strength::Asymmetric,
        cpus: 1,
        preemptions: 3,
        body: periods::two_grace_periods::<Memb>,
        faults: &[Fault::NoHeavyBarrier],
    },
    Model {
        name: "memb: who leaves wakes the sleeper",
        strength: Strength::Asymmetric,
        cpus: 1,
        preemptions: 4,
        body: periods::hand_shake::<Memb>,
        faults: &[Fault::NoHeavyBarrier, Fault::NoLightBarrier],
    },
    Model {
        name: "event: no signal is lost",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 4,
        body: periods::event,
        faults: &[],
    },
    Model {
        name: "mb: one reader, a grace period",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 4,
        body: || periods::grace_period::<Mb>(1, 1),
        faults: &[Fault::NoPublishFence],
    },
    Model {
        name: "mb: two callers share or overlap",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 2,
        body: periods::shared::<Mb>,
        faults: &[],
    },
    Model {
        name: "memb: registration against the short cut",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 3,
        body: periods::registration,
        faults: &[],
    },
    Model {
        name: "memb: a slot changes hands",
        strength: Strength::Asymmetric,
        cpus: 1,
        preemptions: 1,
        body: periods::slot_changes_hands,
        faults: &[Fault::NoHeavyBarrier],
    },
    Model {
        name: "qsbr: a handle announces and ends",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 3,
        body: periods::quiescent_handle,
        faults: &[],
    },
    Model {
        name: "memb: a reader answers",
        strength: Strength::Asymmetric,
        cpus: 2,
        preemptions: 2,
        body: || periods::cooperation(false),
        faults: &[],
    },
    Model {
        name: "memb: a parked reader is passed by",
        strength: Strength::Real,
        cpus: 2,
        preemptions: 2,
        body: || periods::cooperation(true),
        faults: &[],
    },
    Model {
        name: "qsbr: announcements wake the sleeper",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 4,
        body: periods::quiescent,
        faults: &[Fault::StoreInsteadOfExchange],
    },
    Model {
        name: "mb: polled",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 3,
        body: periods::polled::<Mb>,
        faults: &[Fault::CookieOfARoundInFlight, Fault::NoPublishFence],
    },
    Model {
        name: "memb: a ring frees what is ripe",
        strength: Strength::Asymmetric,
        cpus: 1,
        preemptions: 3,
        body: callbacks::ring::<Memb>,
        faults: &[Fault::NoHeavyBarrier, Fault::NoLightBarrier],
    },
    Model {
        name: "mb: a callback, and a barrier for it",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 2,
        body: callbacks::barrier::<Mb>,
        faults: &[Fault::NoPublishFence, Fault::NoBarrier],
    },
    Model {
        name: "mb: callbacks of two threads, and a barrier for both",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 2,
        body: callbacks::two_threads::<Mb>,
        faults: &[Fault::NoBarrier],
    },
    Model {
        name: "mb: a call wakes the worker",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 3,
        body: callbacks::call_alone::<Mb>,
        faults: &[Fault::PushWakesNobody],
    },
    Model {
        name: "mb: a call while the worker leaves",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 2,
        body: callbacks::leaving::<Mb>,
        faults: &[],
    },
    Model {
        name: "shard: a push and the worker that falls asleep",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 4,
        body: callbacks::push_and_sleep,
        faults: &[Fault::PushWakesNobody],
    },
    Model {
        name: "queue: who takes a callback sees it",
        strength: Strength::Asymmetric,
        cpus: 1,
        preemptions: 4,
        body: callbacks::push_and_take,
        faults: &[Fault::RelaxedExchanges],
    },
    Model {
        name: "task: no waker is lost",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 4,
        body: callbacks::awaited,
        faults: &[Fault::RelaxedExchanges],
    },
    Model {
        name: "memb: a ring's half",
        strength: Strength::Asymmetric,
        cpus: 1,
        preemptions: 4,
        body: periods::ring::<Memb>,
        faults: &[Fault::NoHeavyBarrier, Fault::NoLightBarrier],
    },
    Model {
        name: "wfcq: two producers, one consumer",
        strength: Strength::Asymmetric,
        cpus: 1,
        preemptions: 3,
        body: lists::queue,
        faults: &[Fault::RelaxedStores, Fault::RelaxedLoads, Fault::RelaxedExchanges],
    },
    Model {
        name: "wfcq: two producers of values",
        strength: Strength::Asymmetric,
        cpus: 1,
        preemptions: 2,
        body: lists::slots,
        faults: &[Fault::RelaxedExchanges],
    },
    Model {
        name: "wfcq: blocks go round",
        strength: Strength::Asymmetric,
        cpus: 1,
        preemptions: 3,
        body: lists::spare,
        faults: &[Fault::RelaxedExchanges],
    },
    Model {
        name: "wfcq: who says that it sleeps at nothing is woken",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 3,
        body: || lists::sleeper(false),
        faults: &[],
    },
    Model {
        name: "wfcq: who says that it sleeps at a block is woken",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 3,
        body: || lists::sleeper(true),
        faults: &[],
    },
    Model {
        name: "wfcq: who finds nothing wakes",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 2,
        body: lists::first_wakes,
        faults: &[],
    },
    Model {
        name: "wfcq: a splice beside a producer",
        strength: Strength::Asymmetric,
        cpus: 1,
        preemptions: 3,
        body: lists::splice,
        // What the links order, the exchange orders here, and the other way round.
        faults: &[],
    },
    Model {
        name: "lfs: a node comes again after a grace period",
        strength: Strength::Asymmetric,
        cpus: 1,
        preemptions: 3,
        body: lists::stack,
        faults: &[Fault::NoGracePeriod, Fault::NoHeavyBarrier],
    },
    Model {
        name: "lfs: two push, one takes all",
        strength: Strength::Asymmetric,
        cpus: 1,
        preemptions: 3,
        body: lists::stack_values,
        faults: &[Fault::RelaxedExchanges],
    },
    Model {
        name: "idr: an id finds its object, while the slot is used again",
        strength: Strength::Asymmetric,
        cpus: 1,
        preemptions: 4,
        body: lists::ids,
        faults: &[Fault::RelaxedStores, Fault::RelaxedLoads],
    },
    Model {
        name: "idr: an id is released by another as soon as its object is hidden",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 4,
        body: lists::early_release,
        faults: &[],
    },
    Model {
        name: "list: a walk beside an insertion and a removal",
        strength: Strength::Asymmetric,
        cpus: 1,
        preemptions: 3,
        body: lists::list,
        faults: &[Fault::RelaxedStores, Fault::RelaxedLoads],
    },
    Model {
        name: "kernfs: an operation and the drain",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 4,
        body: || trees::drained(1),
        faults: &[],
    },
    Model {
        name: "kernfs: two operations and the drain",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 3,
        body: || trees::drained(2),
        faults: &[],
    },
    Model {
        name: "kernfs: one of two operations ends",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 4,
        body: trees::one_of_two_ends,
        faults: &[],
    },
    Model {
        name: "kernfs: a reference is given up beside a removal",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 4,
        body: || trees::given_up(false),
        faults: &[],
    },
    Model {
        name: "kernfs: a reference is given up beside hide and show",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 3,
        body: || trees::given_up(true),
        faults: &[],
    },
    Model {
        name: "kernfs: two callbacks remove their own node",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 3,
        body: trees::removes_itself,
        faults: &[],
    },
    Model {
        name: "kernfs: a close and two drains end a file",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 3,
        body: trees::ended_once,
        faults: &[],
    },
    Model {
        name: "kernfs: the bell, the first sleeper",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 4,
        body: || trees::rung(false),
        faults: &[],
    },
    Model {
        name: "kernfs: the bell, a later sleeper",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 4,
        body: || trees::rung(true),
        faults: &[],
    },
    Model {
        name: "kernfs: the last change is delivered",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 3,
        body: trees::last_change,
        faults: &[],
    },
    Model {
        name: "kernfs: two files are notified",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 3,
        body: trees::two_files,
        faults: &[],
    },
    Model {
        name: "kernfs: a listener comes",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 4,
        body: trees::a_listener_comes,
        faults: &[],
    },
    Model {
        name: "ordered map: a reader beside two writers",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 3,
        body: || ordered::writers(2, true),
        faults: &[Fault::RelaxedLoads, Fault::RelaxedExchanges],
    },
    Model {
        name: "ordered map: writers sleep, and each is woken",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 1,
        body: || ordered::writers(3, false),
        faults: &[Fault::RelaxedExchanges],
    },
    Model {
        name: "hash map: lookups beside a resize",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 3,
        body: hash::moved,
        faults: &[],
    },
    Model {
        name: "hash map: a replacement beside a resize",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 3,
        body: hash::replaced,
        faults: &[Fault::RelaxedStores, Fault::RelaxedLoads],
    },
    Model {
        name: "hash map: two put one key in",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 3,
        body: hash::one_winner,
        faults: &[],
    },
    Model {
        name: "hash map: an insertion beside an iteration and a lookup",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 4,
        body: || hash::seen_again(false),
        faults: &[],
    },
    Model {
        name: "hash map: a removal beside a lookup and an iteration",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 4,
        body: || hash::seen_again(true),
        faults: &[],
    },
    Model {
        name: "hash map: growth is not lost at the end of a resize",
        strength: Strength::Real,
        cpus: 1,
        preemptions: 2,
        body: hash::growth_is_not_lost,
        faults: &[],
    },
];

/// Runs one model with one fault; tells how many executions that took. Panics, or ends the process, where a
/// fault is found: a deadlock is found inside a destructor, which nothing unwinds from.
fn run(model: &Model, fault: Fault, preemptions: usize) -> usize {
    let executions = Arc::new(StdUsize::new(0));
    let counted = Arc::clone(&executions);
    let (strength, body) = (model.strength, model.body);
    set_fault(fault);
    sys::set_cpus(model.cpus);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(move || {
        counted.fetch_add(1, StdRelaxed);
        begin_execution(strength);
        new_engine();
        // What is made later is made by one thread, and concurrent for the others.
        sys::begin_execution();
        let _ = (thread_id(), Watch::new());
        body();
    });
    executions.load(StdRelaxed)
}

/// One run in a process of its own: what it printed, and whether no fault was found.
fn run_in_child(model: usize, fault: Option<usize>, quick: bool) -> (String, bool) {
    let output = std::env::current_exe().and_then(|program| {
        let mut command = Command::new(program);
        command.arg("--one").arg(model.to_string());
        command.args(fault.map(|fault| fault.to_string()));
        command.args(quick.then_some("--quick"));
        command.env("RUST_BACKTRACE", "0").output()
    });
    match output {
        Ok(output) => {
            let streams = [output.stdout, output.stderr].concat();
            (String::from_utf8_lossy(&streams).into_owned(), output.status.success())
        }
        Err(error) => (format!("cannot be started: {error}"), false),
    }
}

/// What the arguments ask for: everything, some of it, or one model by its number and its control's.
pub(crate) fn run_as_asked() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let quick = given("--quick");
    if !given("--one") {
        let words: Vec<_> = arguments.iter().filter(|a| !a.starts_with("--")).collect();
        return run_some(&words, quick, !given("--no-controls"));
    }
    let numbers: Vec<usize> = arguments.iter().filter_map(|a| a.parse().ok()).collect();
    let Some(model) = numbers.first().and_then(|&model| MODELS.get(model)) else {
        eprintln!("loom: no such model");
        return ExitCode::FAILURE;
    };
    let fault = numbers.get(1).and_then(|&fault| model.faults.get(fault));
    let preemptions = model.preemptions.min(if quick { 2 } else { usize::MAX });
    let executions = run(model, fault.copied().unwrap_or(Fault::None), preemptions);
    println!("{executions} executions, up to {preemptions} preemptions");
    ExitCode::SUCCESS
}

/// The models whose names contain one of the words, or all; and their controls. Fails if a model fails or a
/// control does not.
fn run_some(words: &[&String], quick: bool, controls: bool) -> ExitCode {
    let (mut passed, mut failed) = (0, 0);
    for (number, model) in MODELS.iter().enumerate() {
        if !words.is_empty() && !words.iter().any(|word| model.name.contains(*word)) {
            continue;
        }
        let controls = (0..model.faults.len()).filter(|_| controls).map(Some);
        for control in std::iter::once(None).chain(controls) {
            let start = Instant::now();
            let (text, sound) = run_in_child(number, control, quick);
            let seconds = start.elapsed().as_secs_f64();
            let line = match control {
                None => format!("{}: {}", model.name, text.trim()),
                Some(fault) if sound => format!("  control {:?} SURVIVED", model.faults[fault]),
                Some(fault) => format!("  control {:?} caught", model.faults[fault]),
            };
            let good = sound == control.is_none();
            println!("{} {line}, {seconds:.1} s", if good { "ok    " } else { "FAILED" });
            if good {
                passed += 1;
            } else {
                failed += 1;
            }
        }
    }
    println!("loom: {passed} passed, {failed} failed");
    if failed == 0 && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
