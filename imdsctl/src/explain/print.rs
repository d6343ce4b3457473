//! The decisions as text and as JSON, printed one at a time.

use std::collections::BTreeMap;
use std::io::{self, Write};

use imds_core::decide::Decision;
use imds_core::ids::{AccountId, InstanceId, Region};
use imds_core::instance::Instance;
use imds_core::metadata::MetadataOptions;
use imds_core::mode::Mode;
use imds_core::text::Quoted;
use serde::Serialize;

use crate::decision::{self, is_finding, word};
use crate::exit::Exit;
use crate::output;
use crate::paragraph::{Paragraph, summary};

/// An instance and the decision on it.
pub struct Explained {
    pub account: Option<AccountId>,
    pub region: Option<Region>,
    pub instance: Instance,
    pub decision: Decision,
}

/// One entry of `--json`. What is unknown is null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    account: Option<&'a AccountId>,
    region: Option<&'a Region>,
    instance_id: &'a InstanceId,
    name: Option<&'a str>,
    mode: Mode,
    decision: &'static str,
    before: &'a MetadataOptions,
    change: MetadataOptions,
    reasons: Vec<String>,
    warnings: Vec<String>,
}

/// Prints decisions and counts them.
pub struct Printer<'o, W> {
    json: bool,
    out: &'o mut W,
    counts: BTreeMap<&'static str, usize>,
    exit: Exit,
}

impl<'o, W: Write> Printer<'o, W> {
    pub fn new(json: bool, out: &'o mut W) -> Self {
        Self { json, out, counts: BTreeMap::new(), exit: Exit::Compliant }
    }

    /// Prints an entry of the list, or a paragraph.
    pub fn print(&mut self, explained: &Explained) -> io::Result<()> {
        let verdict = &explained.decision.verdict;
        let word = word(verdict);
        if self.json {
            let separator = if self.counts.is_empty() { "[" } else { "," };
            writeln!(self.out, "{separator}")?;
            self.out.write_all(output::json(&explained.entry())?.as_bytes())?;
        } else {
            explained.paragraph(self.out)?;
        }
        *self.counts.entry(word).or_default() += 1;
        if is_finding(verdict) {
            self.exit = Exit::Findings;
        }
        Ok(())
    }

    /// Ends the list, or prints the counts.
    pub fn finish(self) -> io::Result<Exit> {
        match (self.json, self.counts.is_empty()) {
            (true, true) => writeln!(self.out, "[]")?,
            (true, false) => writeln!(self.out, "\n]")?,
            (false, _) => writeln!(self.out, "{}", summary(&self.counts))?,
        }
        Ok(self.exit)
    }
}

impl Explained {
    /// The `Name` tag, which whoever may tag the instance sets.
    fn name(&self) -> Option<&str> {
        self.instance.tags.get("Name").map(String::as_str)
    }

    fn warnings(&self) -> Vec<String> {
        self.decision.warnings.iter().map(ToString::to_string).collect()
    }

    /// That only dry runs are sent, where something could change.
    fn details(&self) -> Vec<String> {
        let is_dry_run = self.decision.mode == Mode::DryRun && is_finding(&self.decision.verdict);
        is_dry_run
            .then(|| "dry run: EC2 is only asked whether it would make the change".to_owned())
            .into_iter()
            .collect()
    }

    fn entry(&self) -> Entry<'_> {
        Entry {
            account: self.account.as_ref(),
            region: self.region.as_ref(),
            instance_id: &self.instance.id,
            name: self.name(),
            mode: self.decision.mode,
            decision: word(&self.decision.verdict),
            before: &self.instance.options,
            change: decision::change(&self.decision.verdict)
                .map(|change| *change.options())
                .unwrap_or_default(),
            reasons: decision::reasons(&self.decision.verdict),
            warnings: self.warnings(),
        }
    }

    fn paragraph(&self, out: &mut impl Write) -> io::Result<()> {
        let name = self.name().map(|name| format!(" {}", Quoted(name))).unwrap_or_default();
        let paragraph = Paragraph {
            title: format!("{}{name}", self.instance.id),
            word: word(&self.decision.verdict),
            details: self.details(),
            before: Some(&self.instance.options),
            change: decision::change(&self.decision.verdict),
            reasons: &decision::reasons(&self.decision.verdict),
            warnings: &self.warnings(),
        };
        // A terminal wraps long lines. Programs read them whole.
        paragraph.print(usize::MAX, out)
    }
}
