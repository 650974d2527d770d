//! Counts the steps that a reading takes, so that a test can hold them against the length of what was read.
//!
//! A step is one comparison, or one item looked at. Time depends on the machine; steps do not. Release builds count nothing.

#[cfg(debug_assertions)]
std::thread_local! {
    static STEPS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Counts `steps` more on this thread.
#[inline]
pub fn add(steps: usize) {
    #[cfg(debug_assertions)]
    STEPS.with(|sum| sum.set(sum.get() + steps as u64));
    #[cfg(not(debug_assertions))]
    let _ = steps;
}

/// The steps that `reading` takes, with what it returns. Only debug builds count.
#[cfg(debug_assertions)]
pub fn steps<T>(reading: impl FnOnce() -> T) -> (u64, T) {
    let before = STEPS.with(std::cell::Cell::get);
    let result = reading();
    (STEPS.with(std::cell::Cell::get) - before, result)
}
