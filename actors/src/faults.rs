//! Faults on purpose, for tests: places where the `failpoints` feature can make an actor panic, hang, or leave
//! something undone.
//!
//! Without the feature, which only tests turn on, nothing of it is compiled.

/// Arms the faults that the environment variable `FAILPOINTS` names, for the life of the process.
pub fn arm() {
    #[cfg(feature = "failpoints")]
    std::mem::forget(fail::FailScenario::setup());
}

/// A place where a fault may happen.
macro_rules! fault_point {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        fail::fail_point!($name);
    };
    // The fault may also be that the rest of the function is left undone.
    ($name:literal, undone) => {
        #[cfg(feature = "failpoints")]
        fail::fail_point!($name, |_| ());
    };
}
pub(crate) use fault_point;
