//! What a run tells: a paragraph for each instance that did not end well, and how many had each outcome.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use imds_core::ids::InstanceId;
use imds_core::outcome::{InstanceOutcome, Outcome};
use imds_core::text::Quoted;

use super::progress::Progress;
use crate::output::{LEAST_WIDTH, printable, width};
use crate::paragraph::{Paragraph, summary};

/// The words for outcomes, and which of them need no paragraph.
pub struct Words {
    /// The word.
    pub word: fn(&InstanceOutcome) -> &'static str,
    /// The word of an instance that is as it should be.
    pub good: &'static str,
}

/// What was told so far.
pub struct Report<'r, W> {
    words: Words,
    names: HashMap<&'r InstanceId, &'r str>,
    progress: Progress,
    width: usize,
    told: RefCell<Told<'r, W>>,
}

struct Told<'r, W> {
    out: &'r mut W,
    counts: BTreeMap<&'static str, usize>,
    done: usize,
    error: Option<io::Error>,
}

impl<'r, W: Write> Report<'r, W> {
    /// Begins with no outcome of so many instances. `names` are their `Name` tags.
    pub fn new(
        words: Words,
        names: HashMap<&'r InstanceId, &'r str>,
        instances: usize,
        out: &'r mut W,
    ) -> Self {
        let told = RefCell::new(Told { out, counts: BTreeMap::new(), done: 0, error: None });
        Self { words, names, progress: Progress::new(instances), width: width(LEAST_WIDTH), told }
    }

    /// Takes an outcome. So many changes were made in all.
    pub fn take(&self, outcome: &InstanceOutcome, changes: usize) {
        let word = (self.words.word)(outcome);
        self.progress.done(changes);
        let mut told = self.told.borrow_mut();
        *told.counts.entry(word).or_default() += 1;
        told.done += usize::from(is_done(outcome, &self.words));
        // Why instances are deferred is the same for all, and told at the end.
        let is_silent = word == self.words.good || outcome.outcome == Outcome::Deferred;
        if !is_silent && told.error.is_none() {
            told.error = self.progress.suspend(|| self.print(outcome, word, told.out)).err();
        }
    }

    fn print(&self, outcome: &InstanceOutcome, word: &str, out: &mut W) -> io::Result<()> {
        let name = self.names.get(&outcome.instance_id);
        let name = name.map(|name| format!(" {}", Quoted(name))).unwrap_or_default();
        let safe = |texts: &[String]| -> Vec<String> {
            texts.iter().map(|text| printable(text).into_owned()).collect()
        };
        let mut text = Vec::new();
        Paragraph {
            title: format!("{}{name}, {} {}", outcome.instance_id, outcome.account, outcome.region),
            word,
            details: Vec::new(),
            before: outcome.before.as_ref(),
            change: outcome.change.as_ref(),
            reasons: &safe(&outcome.reasons),
            warnings: &safe(&outcome.warnings),
        }
        .print(self.width, &mut text)?;
        out.write_all(&text)?;
        out.flush()
    }

    /// Prints how many instances have each outcome. Returns of how many of them nothing is left to do.
    ///
    /// # Errors
    /// Something could not be printed.
    pub fn finish(self) -> io::Result<usize> {
        self.progress.finish();
        let Told { out, counts, done, error } = self.told.into_inner();
        if let Some(error) = error {
            return Err(error);
        }
        writeln!(out, "{}", printable(&summary(&counts)))?;
        Ok(done)
    }
}

/// Whether nothing is left to do.
fn is_done(outcome: &InstanceOutcome, words: &Words) -> bool {
    match outcome.outcome {
        // An option was left out.
        Outcome::Enforced => (words.word)(outcome) == words.good,
        outcome => matches!(outcome, Outcome::Compliant | Outcome::Gone),
    }
}
