//! Faults on purpose, for tests: places where the `failpoints` feature can make an actor panic or hang.
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
}
pub(crate) use fault_point;
