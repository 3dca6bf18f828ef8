//! Places between the steps of an operation, where a unit test of this crate can look, or do something that another
//! thread might do there. Nothing in a build for users.

#[cfg(not(test))]
#[inline(always)]
pub(crate) fn step(_: &'static str) {}

#[cfg(test)]
pub(crate) use testing::{at_steps, step};

#[cfg(test)]
mod testing {
    use std::cell::RefCell;

    type Visitor = Box<dyn FnMut(&'static str)>;

    thread_local! {
        static VISITOR: RefCell<Option<Visitor>> = const { RefCell::new(None) };
    }

    pub(crate) fn step(name: &'static str) {
        // What the visitor does has steps as well, at which nobody looks.
        let visitor = VISITOR.with(|v| v.borrow_mut().take());
        if let Some(mut visitor) = visitor {
            visitor(name);
            VISITOR.with(|v| *v.borrow_mut() = Some(visitor));
        }
    }

    /// Runs `f`, with `visitor` at the steps that this thread comes by.
    pub(crate) fn at_steps<R>(
        visitor: impl FnMut(&'static str) + 'static,
        f: impl FnOnce() -> R,
    ) -> R {
        VISITOR.with(|v| *v.borrow_mut() = Some(Box::new(visitor)));
        let result = f();
        VISITOR.with(|v| v.borrow_mut().take());
        result
    }
}
