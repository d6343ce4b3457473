//! The progress line of a run, on a terminal.

use indicatif::ProgressBar;

use crate::progress::bar;

const TEMPLATE: &str = "{bar:24} {pos}/{len} instances, {msg}, {eta} left";

/// How many instances are done, in one line of standard error. Nothing is drawn unless that is a terminal.
pub struct Progress(ProgressBar);

impl Progress {
    /// Begins with no instance of so many.
    pub fn new(instances: usize) -> Self {
        Self(bar(Some(instances as u64), TEMPLATE))
    }

    /// One more instance is done, and so many changes were made.
    pub fn done(&self, changes: usize) {
        self.0.inc(1);
        let (instances, seconds) = (self.0.position(), self.0.elapsed().as_secs_f64());
        let rate =
            if seconds > 1.0 { format!(" ({:.1}/s)", instances as f64 / seconds) } else { String::new() };
        self.0.set_message(format!("{changes} changed{rate}"));
    }

    /// Writes to a terminal that may be the same one.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.0.suspend(write)
    }

    /// Removes the line.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}
