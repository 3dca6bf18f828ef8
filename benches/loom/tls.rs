//! Thread-local words of the models: loom's threads are coroutines of one OS thread.

pub(crate) trait ThreadWord {
    type Value: Copy;
    fn get() -> Self::Value;
    fn replace(expected: Self::Value, new: Self::Value) -> bool;
}

macro_rules! thread_word {
    ($name:ident: u64 = $first:literal, $symbol:literal) => {
        enum $name {}

        loom::thread_local! {
            static WORD: std::cell::Cell<u64> = std::cell::Cell::new($first);
        }

        impl $crate::tls::ThreadWord for $name {
            type Value = u64;
            fn get() -> u64 {
                WORD.with(std::cell::Cell::get)
            }
            fn replace(expected: u64, new: u64) -> bool {
                WORD.with(|word| {
                    let same = word.get() == expected;
                    if same {
                        word.set(new);
                    }
                    same
                })
            }
        }
    };
}
pub(crate) use thread_word;
