//! What ends a run early: Ctrl-C, and what the hooks find.

use std::io::Write;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the run was interrupted.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on, Ctrl-C ends the run after the calls in flight, and a second one ends the process.
    pub fn listen() -> Self {
        let interrupt = Self::default();
        let is_interrupted = interrupt.clone();
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                if is_interrupted.0.swap(true, Ordering::Relaxed) {
                    process::exit(EXIT_OF_SIGINT);
                }
                // The run ends whether or not this can be written.
                let _ = writeln!(
                    anstream::stderr(),
                    "\nimdsctl: no more changes are sent; waiting for the calls in flight. Ctrl-C again ends at once."
                );
            }
        });
        interrupt
    }

    /// Whether Ctrl-C was pressed.
    pub fn is_noted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a shell reports of a process that SIGINT ended.
const EXIT_OF_SIGINT: i32 = 130;
