//! The progress line on a terminal.

use std::cell::Cell;
use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const BEFORE_THE_FIRST: &str = "{bar:24} {pos}/{len} accounts x Regions, {msg}";

/// With the time that is left, which is not known before.
const AFTER_THE_FIRST: &str = "{bar:24} {pos}/{len} accounts x Regions, {msg}, {eta} left";

/// How often the line is drawn again.
const EVERY: Duration = Duration::from_millis(100);

/// What is done of a survey, in one line of standard error. Nothing is drawn unless that is a terminal.
pub struct Progress {
    bar: ProgressBar,
    instances: Cell<usize>,
}

impl Progress {
    /// Nothing is known yet.
    pub fn new() -> Self {
        let bar = bar(None, "{spinner} {msg}");
        bar.set_message("finding accounts and Regions");
        Self { bar, instances: Cell::new(0) }
    }

    /// So many accounts × Regions are to be read.
    pub fn start(&self, account_regions: usize) {
        self.bar.set_length(account_regions as u64);
        self.bar.set_style(style(BEFORE_THE_FIRST));
        self.instances(0);
    }

    /// So many more instances were read.
    pub fn instances(&self, more: usize) {
        self.instances.set(self.instances.get() + more);
        let (instances, seconds) = (self.instances.get(), self.bar.elapsed().as_secs_f64());
        let rate =
            if seconds > 1.0 { format!(" ({:.0}/s)", instances as f64 / seconds) } else { String::new() };
        self.bar.set_message(format!("{instances} instances{rate}"));
    }

    /// One more account and Region was read.
    pub fn account_region_done(&self) {
        if self.bar.position() == 0 {
            self.bar.set_style(style(AFTER_THE_FIRST));
        }
        self.bar.inc(1);
    }

    /// Writes to a terminal that may be the same one.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Removes the line.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A line of standard error. Nothing is drawn unless that is a terminal. `length` is what there is to do, if it is known.
pub fn bar(length: Option<u64>, template: &str) -> ProgressBar {
    let is_terminal = io::stderr().is_terminal();
    let target = if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(length, target);
    bar.set_style(style(template));
    if is_terminal {
        bar.enable_steady_tick(EVERY);
    }
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
