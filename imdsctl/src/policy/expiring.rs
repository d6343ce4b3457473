//! `imdsctl policy check --expiring`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use imds_core::policy::{Ending, Policy};
use imds_core::text::counted;
use serde::Serialize;
use time::OffsetDateTime;

use super::file::{self, Finding};
use crate::exit::Exit;
use crate::input;
use crate::output::printable;

/// The result for one file.
#[derive(Serialize)]
struct Checked {
    file: String,
    ok: bool,
    errors: Vec<Finding>,
    expiring: Vec<Expiring>,
}

/// What ends soon or has ended.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Expiring {
    /// The location of the day in the document.
    place: String,
    kind: &'static str,
    /// The name of the rule; `None` for the usage gate of the policy.
    rule: Option<String>,
    owner: Option<String>,
    ticket: Option<String>,
    until: String,
    /// 0 on the last day, and less than 0 after it.
    days_left: i64,
    /// The same in one sentence.
    #[serde(skip)]
    summary: String,
}

/// Prints what ends within `days` days of the policies in `files`.
pub fn run(
    days: u16,
    files: &[PathBuf],
    is_json: bool,
    now: OffsetDateTime,
    out: &mut impl Write,
) -> Result<Exit> {
    let checked: Vec<Checked> = files.iter().map(|file| check(file, days, now)).collect();
    if is_json {
        file::print_json(&checked, out)?;
    } else {
        for one in &checked {
            print_text(one, days, checked.len() > 1, out)?;
        }
    }
    Ok(match checked.iter().all(|checked| checked.ok) {
        false => Exit::Error,
        true if checked.iter().any(|checked| !checked.expiring.is_empty()) => Exit::Findings,
        true => Exit::Compliant,
    })
}

fn check(file: &Path, days: u16, now: OffsetDateTime) -> Checked {
    let (errors, expiring) = match file::read(file) {
        Ok(policy) => (Vec::new(), expiring(&policy, days, now)),
        Err(errors) => (errors, Vec::new()),
    };
    Checked { file: input::name(file), ok: errors.is_empty(), errors, expiring }
}

/// Returns what ends within `days` days or has ended, the earliest day first.
fn expiring(policy: &Policy, days: u16, now: OffsetDateTime) -> Vec<Expiring> {
    let mut endings: Vec<Ending<'_>> =
        policy.endings().filter(|ending| ending.is_within(days, now)).collect();
    endings.sort_by_key(|ending| ending.until);
    endings.into_iter().map(|ending| entry(ending, now)).collect()
}

fn entry(ending: Ending<'_>, now: OffsetDateTime) -> Expiring {
    Expiring {
        kind: ending.kind.as_str(),
        rule: ending.rule.map(|rule| rule.name.clone()),
        owner: ending.rule.and_then(|rule| rule.owner.clone()),
        ticket: ending.rule.and_then(|rule| rule.ticket.clone()),
        until: ending.until.to_string(),
        days_left: ending.days_left(now),
        summary: ending.summary(now),
        place: ending.place,
    }
}

/// Prints what ends in a valid policy; what is wrong with another goes to standard error.
fn print_text(checked: &Checked, days: u16, is_one_of_several: bool, out: &mut impl Write) -> io::Result<()> {
    file::print_errors(&checked.file, &checked.errors);
    if !checked.ok {
        return Ok(());
    }
    let file = if is_one_of_several { format!("{}: ", printable(&checked.file)) } else { String::new() };
    if checked.expiring.is_empty() {
        writeln!(out, "{file}nothing has ended or ends within {}", counted(days, "day", "days"))?;
    }
    for Expiring { place, summary, .. } in &checked.expiring {
        writeln!(out, "{file}{}: {}", printable(place), printable(summary))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-24 23:59 UTC);

    const POLICY: &str = r#"{
        "usageGate": {"until": "2026-11-25"}, "limits": {"changesPerSweep": 200},
        "rules": [
            {"name": "late", "when": {"regions": "eu-*"}, "exempt": {"until": "2026-12-08"}, "owner": "payments"},
            {"name": "pilot", "mode": "dry-run", "until": "2026-11-23", "owner": "edge", "ticket": "SEC-7"},
            {"name": "gated", "usageGate": {"until": "2026-11-24"}, "ticket": "SEC-8"},
            {"name": "next year", "when": {"regions": "us-*"}, "exempt": {"until": "2027-11-24"}},
            {"name": "without end", "require": {"HttpTokens": "required"}, "owner": "security"}
        ]
    }"#;

    fn found(days: u16, now: OffsetDateTime) -> Vec<Expiring> {
        expiring(&Policy::parse(POLICY).unwrap(), days, now)
    }

    #[test]
    fn what_ends_within_the_days_or_has_ended_is_listed_the_earliest_first() {
        let rows: [(u16, &[&str]); 5] = [
            (0, &["pilot", "gated"]),
            (1, &["pilot", "gated", ""]),
            (13, &["pilot", "gated", ""]),
            (14, &["pilot", "gated", "", "late"]),
            (3650, &["pilot", "gated", "", "late", "next year"]),
        ];
        for (days, expected) in rows {
            let rules: Vec<String> =
                found(days, NOW).into_iter().map(|one| one.rule.unwrap_or_default()).collect();
            assert_eq!(rules, expected, "{days} days");
        }
        let after_midnight = found(13, datetime!(2026-11-25 00:00 UTC));
        assert_eq!(after_midnight.len(), 4, "a minute later, one more is near");
    }

    #[test]
    fn an_entry_says_what_ends_where_and_when_and_who_answers_for_it() {
        let entries: Vec<String> = found(14, NOW)
            .iter()
            .map(|one| {
                let Expiring { place, kind, owner, ticket, until, days_left, .. } = one;
                let [owner, ticket] =
                    [owner, ticket].map(|text| text.as_deref().unwrap_or("none").to_owned());
                format!("{place} {kind} {owner} {ticket} {until} {days_left}")
            })
            .collect();
        let expected = [
            "rules[1].until dry-run edge SEC-7 2026-11-23 -1",
            "rules[2].usageGate.until usage-gate none SEC-8 2026-11-24 0",
            "usageGate.until usage-gate none none 2026-11-25 1",
            "rules[0].exempt.until exemption payments none 2026-12-08 14",
        ];
        assert_eq!(entries, expected);
    }
}
