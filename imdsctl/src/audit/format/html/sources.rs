//! The sources of instances with findings, and how to fix them.

use imds_core::text::{Thousands, counted, plural};
use maud::{Markup, html};

use crate::audit::row::{Fix, SourceRow};
use crate::output::printable;

/// How many sources are shown before the rest, which is folded.
const SHOWN: usize = 20;
/// How many sources have their steps unfolded.
const OPEN: usize = 3;

/// The sources. Whoever replaces an instance gets one as its source sets it, so they come before the instances.
pub fn section(sources: &[SourceRow]) -> Markup {
    let (first, rest) = sources.split_at(sources.len().min(SHOWN));
    html! {
        @if !sources.is_empty() {
            section.sources {
                h2 { "Sources to fix" }
                p.note {
                    "An instance that is replaced comes back as its source sets it. Fix the source, then the instances."
                }
                @for (number, source) in first.iter().enumerate() { (card(source, number < OPEN)) }
                @if !rest.is_empty() {
                    details {
                        summary { (Thousands(rest.len() as u64)) " more sources" }
                        @for source in rest { (brief(source)) }
                    }
                }
            }
        }
    }
}

fn card(source: &SourceRow, is_open: bool) -> Markup {
    html! {
        article.card {
            header {
                h3 { (printable(&source.source.to_string())) }
                p.where { (source.account) " · " (source.region) }
                (instances(source))
            }
            p { (prose(&source.finding)) }
            @if !source.fixes.is_empty() {
                details open[is_open] {
                    summary { (counted(source.fixes.len(), "step", "steps")) }
                    ol { @for fix in &source.fixes { (step(fix)) } }
                }
            }
        }
    }
}

/// A source in few elements: thousands of cards would take longer than all the rest of the report.
fn brief(source: &SourceRow) -> Markup {
    html! {
        article.card {
            h3 { (printable(&source.source.to_string())) }
            p { (source.account) " · " (source.region) " · " (instances(source)) " · " (printable(&source.finding)) }
            @if !source.fixes.is_empty() { pre { (script(&source.fixes)) } }
        }
    }
}

/// The link that shows the instances of a source in the list.
fn instances(source: &SourceRow) -> Markup {
    html! {
        a.count href="#instances" data-account=(source.account) data-region=(source.region)
            data-search=(printable(&source.source.to_string())) {
            (Thousands(source.instances as u64)) " " (plural(source.instances, "instance", "instances"))
            " with findings"
        }
    }
}

/// The steps as commands of a shell, with their texts as comments.
fn script(fixes: &[Fix]) -> String {
    let step = |(fix, number): (&Fix, usize)| {
        // A line break would end the comment.
        let text = printable(&fix.text).replace('\n', " ");
        let command = fix.command.iter().map(|command| format!("{}\n", printable(command)));
        format!("# {number}. {text}\n{}", command.collect::<String>())
    };
    fixes.iter().zip(1..).map(step).collect()
}

fn step(fix: &Fix) -> Markup {
    html! {
        li {
            (prose(&fix.text))
            @if let Some(command) = &fix.command {
                div.command {
                    pre { code { (printable(command)) } }
                    button.copy type="button" { "Copy" }
                }
            }
        }
    }
}

/// Text in which commands and names are between backticks.
fn prose(text: &str) -> Markup {
    let text = printable(text);
    html! {
        @for (number, part) in text.split('`').enumerate() {
            @if number % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}
