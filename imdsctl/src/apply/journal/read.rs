//! The lines of a journal → how far the plan is.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use imds_core::ids::{AccountRegion, InstanceId};
use imds_core::metadata::{Change, MetadataOptions, OptionValue};

use super::line::{Header, Line, Place, Run, Sent, SentWord, VERSION};

/// Outcomes after which a later run has nothing to do.
const DONE: [&str; 3] = ["enforced", "compliant", "gone"];

/// What a journal says.
#[derive(Debug, Default)]
pub struct Read {
    /// The first line; `None` if the journal was not begun.
    pub header: Option<Header>,
    /// The last run.
    pub run: Option<Run>,
    /// The instances for which a change was sent or an outcome is known.
    pub instances: HashMap<InstanceId, Progress>,
    /// The number of bytes up to the end of the last whole line.
    pub whole: u64,
}

impl Read {
    fn at(&mut self, place: &Place) -> &mut Progress {
        let progress = self.instances.entry(place.instance_id.clone());
        progress.or_insert_with(|| Progress::new(place.account_region()))
    }
}

/// How far an instance is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Where it is.
    pub account_region: AccountRegion,
    /// The options that EC2 accepted.
    pub accepted: MetadataOptions,
    /// The options that EC2 may have accepted.
    pub uncertain: MetadataOptions,
    /// What the options were before the first time that they were, or may have been, changed.
    pub before: MetadataOptions,
    /// The outcome of the last run that reached one.
    pub outcome: Option<String>,
    /// The change that was to be sent and whose result is not known.
    intention: Option<Change>,
}

impl Progress {
    fn new(account_region: AccountRegion) -> Self {
        let none = MetadataOptions::default;
        let (accepted, uncertain, before) = (none(), none(), none());
        Self { account_region, accepted, uncertain, before, outcome: None, intention: None }
    }

    /// Whether a later run has nothing to do.
    pub fn is_done(&self) -> bool {
        self.outcome.as_deref().is_some_and(|outcome| DONE.contains(&outcome))
    }

    fn intend(&mut self, before: &MetadataOptions, change: Change) {
        let first = |value: &OptionValue| {
            let name = value.name();
            self.accepted.get(name).is_none() && self.uncertain.get(name).is_none()
        };
        let new = before.iter().filter(first);
        self.before = self.before.iter().chain(new).collect();
        self.intention = Some(change);
    }

    fn take(&mut self, sent: &Sent) {
        self.intention = None;
        match sent.result {
            SentWord::Accepted => self.accepted = self.accepted.with(&sent.change),
            SentWord::Refused if sent.may_be_made => self.uncertain = self.uncertain.with(&sent.change),
            SentWord::Refused | SentWord::NotSent => {}
        }
    }

    /// Takes that nothing follows, so that a change without a result may be made.
    fn end(&mut self) {
        if let Some(change) = self.intention.take() {
            self.uncertain = self.uncertain.with(&change);
        }
    }
}

/// Reads a journal. A last line without an end was torn, and counts as not written.
///
/// # Errors
/// The first line that is not one of a journal.
pub fn read(bytes: &[u8]) -> Result<Read> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut read = Read { whole: whole as u64, ..Read::default() };
    for (number, line) in bytes[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
        take(&mut read, line).with_context(|| format!("line {} is damaged", number + 1))?;
    }
    read.instances.values_mut().for_each(Progress::end);
    Ok(read)
}

fn take(read: &mut Read, line: &[u8]) -> Result<()> {
    let line: Line = serde_json::from_slice(line)?;
    let is_first = read.header.is_none();
    ensure!(is_first == matches!(line, Line::Journal(_)), "the first line, and no other, names the plan");
    match line {
        Line::Journal(header) if header.version != VERSION => {
            bail!(
                "version {} of a journal is not known to this imdsctl, which reads version {VERSION}",
                header.version
            )
        }
        Line::Journal(header) => read.header = Some(header),
        Line::Run(run) => {
            // What an earlier run did not finish may be made.
            read.instances.values_mut().for_each(Progress::end);
            read.run = Some(run);
        }
        Line::Intention(intention) => read.at(&intention.place).intend(&intention.before, intention.change),
        Line::Result(sent) => read.at(&sent.place).take(&sent),
        Line::Outcome(ended) => read.at(&ended.place).outcome = Some(ended.outcome),
    }
    Ok(())
}
