//! The ten lines that hand urcu's events to `tracing`, as the documentation of `set_trace_hook` has them.

#![forbid(unsafe_code)]

use std::sync::Mutex;
use tracing::field::{Field, Visit};
use tracing::span;
use urcu::{Level, Memb, Trace, set_trace_hook};

fn forward(event: &Trace) {
    match event.level() {
        Level::Trace => tracing::trace!(target: Trace::TARGET, flavor = event.flavor(), "{event}"),
        Level::Debug => tracing::debug!(target: Trace::TARGET, flavor = event.flavor(), "{event}"),
        Level::Info => tracing::info!(target: Trace::TARGET, flavor = event.flavor(), "{event}"),
        Level::Warn => tracing::warn!(target: Trace::TARGET, flavor = event.flavor(), "{event}"),
    }
}

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes events in one line each.
struct Notes;

impl tracing::Subscriber for Notes {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let metadata = event.metadata();
        let mut line = Line(format!("{} {}", metadata.target(), metadata.level()));
        event.record(&mut line);
        SEEN.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!(" {}={value:?}", field.name());
    }
}

#[test]
fn events_reach_a_subscriber_of_tracing() {
    tracing::subscriber::set_global_default(Notes).unwrap();
    set_trace_hook(Some(forward));
    Memb::synchronize();
    set_trace_hook(None);
    let seen = SEEN.lock().unwrap();
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen[0].starts_with("urcu TRACE") && seen[0].contains("grace_period_begin"));
    assert!(seen[1].starts_with("urcu DEBUG") && seen[1].contains("flavor=\"memb\""));
}

#[test]
fn the_documentation_has_the_same_lines() {
    let (_, forward) = include_str!("tracing.rs").split_once("fn forward").unwrap();
    let (forward, _) = forward.split_once("\n}\n").unwrap();
    let documented = include_str!("../../urcu/src/trace.rs").replace("/// ", "");
    assert!(documented.contains(forward), "{forward}");
}
