//! The end of the agent, or of its collectors before a changed configuration: told once, seen by everyone who waits.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Instant,
};

/// Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Tells everyone.
    pub fn stop(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Whether it was told.
    pub fn is_stopped(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until then or for the stop; says whether it was the stop.
    pub fn wait_until(&self, then: Instant) -> bool {
        let mut stopped = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*stopped {
            let left = then.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            stopped = self.0.1.wait_timeout(stopped, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}
