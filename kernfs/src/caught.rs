//! Running code of the user that may panic, on a thread that has to go on.

use core::panic::AssertUnwindSafe;
use std::any::Any;
use std::panic::catch_unwind;

use crate::sys::say;

/// Runs it. A panic ends here, with its payload, and becomes what it said.
pub(crate) fn caught<R>(run: impl FnOnce() -> R) -> Result<R, String> {
    // What the user's code left half done is the user's; our own state is not touched in it.
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        let said = text(&*payload);
        // A payload may panic when dropped, with another payload.
        if let Err(next) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            core::mem::forget(next);
        }
        said
    })
}

/// The same; a panic becomes a line on stderr. `who` panicked.
pub(crate) fn caught_and_told<R>(who: &str, run: impl FnOnce() -> R) -> Option<R> {
    caught(run)
        .map_err(|said| say(&format!("kernfs: {who} panicked: {said}\n")))
        .ok()
}

fn text(payload: &(dyn Any + Send)) -> String {
    let said = payload.downcast_ref::<&str>().copied();
    said.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::resume_unwind;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new(Self));
        }
    }

    #[test]
    fn a_panic_ends_here_whatever_its_payload_does() {
        assert_eq!(caught(|| 7), Ok(7));
        let thrown = |payload| caught(move || resume_unwind(payload));
        assert_eq!(thrown(Box::new("one")), Err("one".to_owned()));
        assert_eq!(thrown(Box::new("two".to_owned())), Err("two".to_owned()));
        assert_eq!(thrown(Box::new(Bomb)), Err("no text".to_owned()));
        assert_eq!(caught_and_told("a test", || 7), Some(7));
        assert_eq!(caught_and_told("a test", || drop(Bomb)), None);
    }
}
