//! On how many CPUs a model runs.

pub(crate) use crate::sys::cpus;
