//! The top of a report: how many instances are as required, what that says, and what could not be read.

use imds_core::text::{Thousands, counted};
use maud::{Markup, html};

use super::super::counts::{Class, Counts, share};
use super::bars;
use crate::audit::row::Ending;
use crate::output::printable;

/// The number of minutes and of seconds is of no interest to readers: `2026-11-29 14:02 UTC`.
pub fn day(created_at: &str) -> String {
    match (created_at.get(..10), created_at.get(11..16), created_at.ends_with('Z')) {
        (Some(day), Some(time), true) => format!("{day} {time} UTC"),
        _ => printable(created_at).into_owned(),
    }
}

/// The answer, with a number for each class. `scope` is how many accounts and Regions have instances.
pub fn answer(counts: &Counts, scope: [usize; 2], ending: &Ending) -> Markup {
    let (good, total) = (counts.of(Class::AsRequired), counts.total());
    html! {
        header {
            p.kicker { "EC2 instance metadata options" span { (day(&ending.created_at)) } }
            h1 {
                @if total == 0 { "No instances were read" } @else {
                    strong { (Thousands(good)) } " of " strong { (Thousands(total)) } " instances are as required"
                }
            }
            p.scope {
                (completeness(ending)) " "
                (counted(scope[0], "account", "accounts")) " and " (counted(scope[1], "Region", "Regions"))
                " with instances. " (usage(ending.usage_days))
            }
            @if total > 0 { (bars::bar(counts, "all instances")) }
            ul.tiles {
                @for class in Class::ALL { (tile(class, counts)) }
            }
        }
    }
}

fn completeness(ending: &Ending) -> Markup {
    html! {
        @if ending.complete { span.complete { "Complete." } }
        @else { a.incomplete href="#incomplete" { "Incomplete." } }
    }
}

fn usage(days: u16) -> String {
    match days {
        0 => "CloudWatch was not asked for the use of IMDSv1.".to_owned(),
        _ => format!("The use of IMDSv1 is that of {}.", counted(days, "day", "days")),
    }
}

fn tile(class: Class, counts: &Counts) -> Markup {
    let (number, total) = (counts.of(class), counts.total());
    html! {
        li {
            a.tile href="#instances" data-class=(class as usize) title=(class.meaning()) {
                span.(bars::color(class)).dot {}
                span.label { (class.label()) }
                span.number { (Thousands(number)) }
                span.share { (share(number, total)) }
            }
        }
    }
}

/// That the audit is incomplete, and what could not be read.
pub fn incomplete(ending: &Ending) -> Markup {
    html! {
        @if !ending.complete {
            section.incomplete #incomplete aria-labelledby="incomplete-title" {
                h2 #incomplete-title { "The audit is incomplete" }
                p { "What could not be read is not in the numbers above." }
                ul { @for error in &ending.errors { li { (printable(error)) } } }
            }
        }
    }
}

/// What the policy requires, and what is not known besides. Both are folded.
pub fn notes(ending: &Ending) -> Markup {
    let parts = [("What the policy requires", &ending.policy), ("What is not known", &ending.warnings)];
    html! {
        @if parts.iter().any(|(_, texts)| !texts.is_empty()) {
            section.notes {
                @for (title, texts) in parts {
                    @if !texts.is_empty() {
                        details {
                            summary { (title) " (" (Thousands(texts.len() as u64)) ")" }
                            ul { @for text in texts { li { (printable(text)) } } }
                        }
                    }
                }
            }
        }
    }
}
