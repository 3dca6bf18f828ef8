//! Time lost at random inside urcu: its feature `torture`.

/// Switches the hooks on for this process.
#[cfg(feature = "torture")]
pub(crate) fn switch_on(seed: u64) -> Result<(), String> {
    urcu::torture::seed(seed);
    urcu::torture::set_rates(urcu::torture::Rates::BRISK);
    Ok(())
}

/// There are none in this build.
#[cfg(not(feature = "torture"))]
pub(crate) fn switch_on(_seed: u64) -> Result<(), String> {
    Err("this build has no hooks; add --features torture before the --".to_owned())
}
