//! An audit as a report for browsers: one file that asks for nothing outside of it.
//!
//! The numbers, the sources and what could not be read are HTML. The instances are JSON in the file, from which the
//! script builds the part of the list that is on the screen: tens of thousands of rows as HTML would take seconds.

mod answer;
mod bars;
mod embedded;
mod instances;
mod security;
mod sources;

use std::collections::BTreeMap;
use std::io::{self, Write};

use imds_core::ids::{AccountId, Region};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::counts::{Class, Counts};
use crate::audit::row::{Ending, Row};
use embedded::Embedded;

/// Without `<` in either: an element ends at its first end tag.
const SCRIPT: &str = concat!(include_str!("list.js"), include_str!("report.js"));
const STYLE: &str = include_str!("report.css");

/// Collects an audit, and writes the report at its end.
///
/// An instance is kept as JSON of some 100 bytes beside its texts. Texts that several instances have are kept once.
pub struct Html<W> {
    out: W,
    instances: Embedded,
    counts: Counts,
    accounts: BTreeMap<AccountId, Counts>,
    regions: BTreeMap<Region, Counts>,
}

impl<W: Write> Html<W> {
    /// Nothing is written before the end.
    pub fn new(out: W) -> Self {
        Self {
            out,
            instances: Embedded::default(),
            counts: Counts::default(),
            accounts: BTreeMap::new(),
            regions: BTreeMap::new(),
        }
    }

    pub fn row(&mut self, row: &Row) -> io::Result<()> {
        let class = Class::of(row.decision);
        self.counts.add(class);
        self.accounts.entry(row.account.clone()).or_default().add(class);
        self.regions.entry(row.region.clone()).or_default().add(class);
        self.instances.add(row, class)
    }

    pub fn finish(mut self, ending: &Ending) -> io::Result<()> {
        let top = html! {
            (DOCTYPE)
            // Not as elements: the instances are written before their end.
            (PreEscaped("<html lang=\"en\">"))
            (head(ending))
            (PreEscaped("<body>"))
            a.skip href="#instances" { "Skip to the instances" }
            (self.main(ending))
        };
        self.out.write_all(top.into_string().as_bytes())?;
        self.out.write_all(b"<script type=\"application/json\" id=\"data\">")?;
        self.instances.write(&mut self.out)?;
        let script = html! { script { (PreEscaped(SCRIPT)) } };
        writeln!(self.out, "</script>{}</body></html>", script.into_string())?;
        self.out.flush()
    }

    fn main(&self, ending: &Ending) -> Markup {
        html! {
            main {
                (answer::answer(&self.counts, [self.accounts.len(), self.regions.len()], ending))
                (answer::incomplete(ending))
                (answer::notes(ending))
                div.columns {
                    (bars::section("By account", "account", &self.accounts))
                    (bars::section("By Region", "region", &self.regions))
                }
                (sources::section(&ending.sources))
                (instances::section(&self.counts))
            }
        }
    }
}

fn head(ending: &Ending) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(security::policy(SCRIPT, STYLE));
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="referrer" content="no-referrer";
            meta name="generator" content=(concat!("imdsctl ", env!("CARGO_PKG_VERSION")));
            title { "Instance metadata options, " (answer::day(&ending.created_at)) }
            style { (PreEscaped(STYLE)) }
        }
    }
}
