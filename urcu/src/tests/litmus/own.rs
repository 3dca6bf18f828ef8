//! The twelve litmus tests of our own, by the names of their herd7 models; two of them are of the store-
//! buffering shape and live in `store_buffering`.

use super::world::Verdict::{Never, Sometimes};
use super::world::{A, B, C, D, E, Test, W, World, X, Y, Z, empty, section};
use crate::tests::subject::{Dice, Reader};

fn nest_write<R: Reader>(name: &'static str, wait: fn(&mut R)) -> Test<R> {
    Test::<R>::new(name, Never)
        .process(|r, w, d| {
            section(r, |r| {
                w.write(X, 1);
                d.dawdle();
                empty(r);
                d.dawdle();
                w.write(Y, 1);
            });
        })
        .process(move |r, w, d| {
            d.dawdle();
            w.keep(1, 0, w.read_patiently(X, d));
            wait(r);
            w.keep(1, 1, w.read(Y));
        })
        .exists(|w| w.kept(1, 0) == 1 && w.kept(1, 1) == 0)
}

fn two_sections_each<R: Reader>(
    reader: &mut R,
    dice: &mut Dice,
    first: impl FnOnce(),
    second: impl FnOnce(),
) {
    section(reader, |_| first());
    dice.dawdle();
    section(reader, |_| second());
}

/// The models but the two of `store_buffering`.
pub(super) fn tests<R: Reader>() -> Vec<Test<R>> {
    vec![
        nest_write::<R>("U-nest-write", R::synchronize),
        // There is no expedited grace period; what there is besides `synchronize` is the callback.
        nest_write::<R>("U-nest-write-exp", R::synchronize_by_callback).slow(40),
        Test::<R>::new("U-nest-free", Never)
            .ones(&[X, Z])
            .process(|r, w, d| {
                section(r, |r| {
                    let at = w.pointee();
                    w.keep(0, 0, u32::from(at == X));
                    d.dawdle();
                    empty(r);
                    d.dawdle();
                    w.keep(0, 1, w.read(at));
                });
            })
            .process(|r, w, d| {
                d.dawdle();
                w.point_to(Z);
                r.synchronize();
                w.write(X, 0);
            })
            .exists(|w| w.kept(0, 0) == 1 && w.kept(0, 1) == 0),
        Test::<R>::new("U-upgrade", Never)
            .ones(&[X, Z, W])
            .process(|r, w, d| {
                section(r, |_| {
                    let at = w.pointee();
                    w.keep(0, 0, u32::from(at == X));
                    w.point_to(Z);
                    d.dawdle();
                    w.keep(0, 1, w.read(at));
                });
            })
            .process(|r, w, d| {
                d.dawdle();
                w.point_to(W);
                r.synchronize();
                w.write(X, 0);
            })
            .exists(|w| w.kept(0, 0) == 1 && w.kept(0, 1) == 0),
        Test::<R>::new("U-nest3-read", Never)
            .process(|r, w, d| {
                section(r, |r| {
                    let second = r.lock();
                    w.keep(0, 0, w.read(X));
                    d.dawdle();
                    empty(r);
                    drop(second);
                    d.dawdle();
                    w.keep(0, 1, w.read(Y));
                });
            })
            .process(|r, w, d| {
                d.dawdle();
                w.write(X, 1);
                r.synchronize();
                w.write(Y, 1);
            })
            .exists(|w| w.kept(0, 0) == 0 && w.kept(0, 1) == 1),
        Test::<R>::new("U-two-sections", Sometimes)
            .process(|r, w, d| two_sections_each(r, d, || w.write(X, 1), || w.write(Y, 1)))
            .process(|r, w, _| {
                w.keep(1, 0, w.read(X));
                r.synchronize();
                w.keep(1, 1, w.read(Y));
            })
            .exists(|w| w.kept(1, 0) == 1 && w.kept(1, 1) == 0),
        Test::<R>::new("U-readers-no-order", Sometimes)
            .process(|r, w, d| two_sections_each(r, d, || w.write(X, 1), || w.write(Y, 1)))
            .process(|r, w, d| {
                two_sections_each(r, d, || w.keep(1, 0, w.read(Y)), || w.keep(1, 1, w.read(X)));
            })
            .exists(|w| w.kept(1, 0) == 1 && w.kept(1, 1) == 0),
        gp_partition(),
        two_gp_partition(),
        reader_partition(),
    ]
}

fn gp_partition<R: Reader>() -> Test<R> {
    Test::<R>::new("U-gp-partition", Sometimes)
        .slow(40)
        .process(|r, w, d| writes_a_and_b(r, w, d))
        .process(|r, w, d| {
            w.keep(1, 0, w.read_patiently(A, d));
            r.synchronize();
            w.write(C, 1);
        })
        .process(|r, w, d| {
            section(r, |_| {
                w.keep(2, 0, w.read(B));
                d.dawdle();
                w.keep(2, 1, w.read_patiently(C, d));
            });
        })
        .exists(|w| w.kept(1, 0) == 1 && w.kept(2, 0) == 0 && w.kept(2, 1) == 1)
}

fn two_gp_partition<R: Reader>() -> Test<R> {
    Test::<R>::new("U-2gp-partition", Never)
        .slow(40)
        .process(|r, w, d| writes_a_and_b(r, w, d))
        .process(|r, w, d| {
            w.keep(1, 0, w.read_patiently(A, d));
            r.synchronize();
            w.write(C, 1);
        })
        .process(|r, w, d| {
            w.keep(2, 0, w.read_patiently(C, d));
            r.synchronize();
            w.write(D, 1);
        })
        .process(|r, w, d| {
            section(r, |_| {
                w.keep(3, 0, w.read(B));
                d.dawdle();
                w.keep(3, 1, w.read_patiently(D, d));
            });
        })
        .exists(|w| {
            w.kept(1, 0) == 1 && w.kept(2, 0) == 1 && w.kept(3, 0) == 0 && w.kept(3, 1) == 1
        })
}

fn reader_partition<R: Reader>() -> Test<R> {
    Test::<R>::new("U-reader-partition", Sometimes)
        .slow(40)
        .process(|r, w, d| writes_a_and_b(r, w, d))
        .process(|r, w, d| {
            w.keep(1, 0, w.read_patiently(A, d));
            r.synchronize();
            w.write(C, 1);
        })
        .process(|r, w, d| {
            section(r, |_| {
                w.write(D, 1);
                d.dawdle();
                w.keep(2, 0, w.read_patiently(C, d));
            });
        })
        .process(|r, w, d| {
            w.keep(3, 0, w.read_patiently(D, d));
            r.synchronize();
            w.write(E, 1);
        })
        .process(|r, w, d| {
            section(r, |_| {
                w.keep(4, 0, w.read(B));
                d.dawdle();
                w.keep(4, 1, w.read_patiently(E, d));
            });
        })
        .exists(|w| {
            w.kept(1, 0) == 1
                && w.kept(2, 0) == 1
                && w.kept(3, 0) == 1
                && w.kept(4, 0) == 0
                && w.kept(4, 1) == 1
        })
}

fn writes_a_and_b<R: Reader>(reader: &mut R, world: &World, dice: &mut Dice) {
    section(reader, |_| {
        world.write(A, 1);
        dice.linger();
        world.write(B, 1);
    });
}
