//! Places where a test can make the process die as by `kill -9`. Release builds have them only with
//! the feature `failpoints`.
//!
//! `PAYRUN_FAILPOINT=NAME:N` aborts the process when the place `NAME` is reached for the `N`th
//! time.

/// The places: in the order an item passes them, after the plan of a run that a schedule fires, and
/// before and after each commit of a plan that is made in several, and before each commit of a bulk
/// action.
pub const NAMES: [&str; 8] = [
    "before_commit",
    "after_commit",
    "before_send",
    "after_send",
    "after_plan",
    "plan_step",
    "withdrawal_step",
    "bulk_step",
];

/// This place is reached.
#[cfg(any(debug_assertions, feature = "failpoints"))]
pub fn hit(name: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static CHOSEN: LazyLock<Option<(String, AtomicU64)>> = LazyLock::new(|| {
        let wanted = std::env::var("PAYRUN_FAILPOINT").ok()?;
        let (name, times) = wanted.split_once(':')?;
        Some((name.to_owned(), AtomicU64::new(times.parse().ok()?)))
    });
    if let Some((chosen, left)) = &*CHOSEN
        && chosen == name
        && left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        std::process::abort();
    }
}

/// This place is reached; release builds know nothing of it.
#[cfg(not(any(debug_assertions, feature = "failpoints")))]
pub const fn hit(_name: &str) {}
