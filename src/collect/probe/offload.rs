//! Calls that may hang in the kernel or in a resolver, on a thread that nobody waits for longer than the probe's deadline.
//!
//! A probe has at most one such thread at a time. As long as it hangs the probe fails with that reason and starts no other
//! one, so that a dead name server or file server costs one small thread a probe, and no more with every run.

use super::fault::Fault;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use tokio::sync::oneshot;

/// glibc's resolver and its modules need some of it.
const STACK: usize = 512 << 10;

/// The one thread of a probe. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Offload(Arc<AtomicBool>);

impl Offload {
    /// Runs `call` on a thread of its own and waits for it, as long as the caller is willing to.
    pub async fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        if self.0.swap(true, Ordering::AcqRel) {
            return Err(Fault::StillHangs(what));
        }
        let (sender, receiver) = oneshot::channel();
        let busy = Busy(self.0.clone());
        let started = thread::Builder::new().name("probe-blocking".into()).stack_size(STACK).spawn(move || {
            let result = call();
            // Before anyone can start the next one.
            drop(busy);
            // The run may have been given up.
            let _ = sender.send(result);
        });
        // What was not started gave the flag back with the closure.
        started.map_err(Fault::Thread)?;
        receiver.await.map_err(|_| Fault::StillHangs(what))
    }
}

/// Gives the place free, also when the call panics.
struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, time::Duration};

    #[tokio::test]
    async fn one_hangs_and_no_second_is_started() {
        let offload = Offload::default();
        assert_eq!(offload.run("x", || 7).await.unwrap(), 7);
        let (release, hang) = mpsc::channel::<()>();
        let hung = offload.run("x", move || hang.recv());
        assert!(tokio::time::timeout(Duration::from_millis(20), hung).await.is_err());
        assert!(matches!(offload.run("x", || 7).await, Err(Fault::StillHangs("x"))));
        drop(release);
        while offload.0.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        assert_eq!(offload.run("x", || 8).await.unwrap(), 8);
    }
}
