//! What the report hook was told in this process, for tests in a child.

use std::sync::Mutex;
use std::time::Duration;

use crate::flavors::wait_until;
use urcu::Report;

static REPORTS: Mutex<Vec<Report>> = Mutex::new(Vec::new());

/// Collects reports from now on, and makes stalls known soon.
pub(crate) fn collect() {
    urcu::set_stall_timeout(Duration::from_millis(5));
    urcu::set_report_hook(|report| REPORTS.lock().unwrap().push(report.clone()));
}

/// Yields until `enough` of the reports satisfy `wanted`.
pub(crate) fn wait_for(enough: usize, wanted: impl Fn(&Report) -> bool) {
    wait_until(|| count(&wanted) >= enough);
}

pub(crate) fn count(wanted: impl Fn(&Report) -> bool) -> usize {
    REPORTS.lock().unwrap().iter().filter(|r| wanted(r)).count()
}

pub(crate) fn is_stall(report: &Report) -> bool {
    matches!(report, Report::Stall { .. })
}

/// Runs `f` while no report is being noted: a fork must not copy the lock in a hook's hand.
pub(crate) fn while_silent<T>(f: impl FnOnce() -> T) -> T {
    let _held = REPORTS.lock().unwrap();
    f()
}
