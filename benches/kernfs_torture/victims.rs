//! Clients that are killed in the middle of something, one after the other.

use std::thread;
use std::time::Duration;

use crate::client::Orders;
use crate::daemon::Daemon;
use crate::place::Place;
use crate::process;

/// How many clients have number `orders.number` one after the other, until it is over.
pub(crate) fn run(daemon: &Daemon, place: &Place, orders: Orders) -> u64 {
    let mut dice = daemon.dice(2);
    let mut killed = 0;
    while !daemon.is_over() {
        let seed = orders.seed.wrapping_add(killed + 1);
        let mut child = match process::start(place, Orders { seed, ..orders }) {
            Ok(child) => child,
            Err(error) => {
                daemon.faults.tell(format!("a victim: {error}"));
                break;
            }
        };
        thread::sleep(Duration::from_millis(5 + dice.below(120)));
        if let Err(error) = child.kill().and_then(|()| child.wait()) {
            daemon.faults.tell(format!("a victim: {error}"));
        }
        killed += 1;
    }
    killed
}
