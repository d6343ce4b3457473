//! Bars that show how the instances of an account or a Region are divided into classes.

use std::collections::BTreeMap;
use std::fmt::Display;

use imds_core::text::{Thousands, plural};
use maud::{Markup, html};

use super::super::counts::{Class, Counts, share};

/// How many bars are shown before the rest, which is folded.
const SHOWN: usize = 20;
/// The width of a bar, and the least width of a class in it, so that few instances among many are visible.
const WIDTH: f64 = 1000.0;
const LEAST: f64 = 6.0;

/// The style that has the color of a class.
pub fn color(class: Class) -> &'static str {
    match class {
        Class::AsRequired => "as-required",
        Class::ToChange => "to-change",
        Class::InUse => "in-use",
        Class::Blocked => "blocked",
        Class::Unknown => "unknown",
        Class::Exempt => "exempt",
        Class::OutOfScope => "out-of-scope",
    }
}

/// A bar, as SVG: the Content-Security-Policy allows no style attributes.
pub fn bar(counts: &Counts, of: &str) -> Markup {
    html! {
        svg.bar viewBox=(format!("0 0 {WIDTH} 10")) preserveAspectRatio="none" role="img"
            aria-label=(format!("{of}: {}", counts.sentence())) {
            @for (class, start, width) in parts(counts) {
                rect.(color(class)) x=(format!("{start:.1}")) width=(format!("{width:.1}")) height="10" {}
            }
        }
    }
}

/// Returns the classes that have instances, each with where it starts and how wide it is.
fn parts(counts: &Counts) -> Vec<(Class, f64, f64)> {
    let width = |class| (counts.of(class) as f64 / counts.total() as f64 * WIDTH).max(LEAST);
    let classes = Class::ALL.into_iter().filter(|class| counts.of(*class) > 0);
    let widths: Vec<(Class, f64)> = classes.map(|class| (class, width(class))).collect();
    let scale = WIDTH / widths.iter().map(|(_, width)| width).sum::<f64>();
    let mut end = 0.0;
    let place = |(class, width): (Class, f64)| {
        let start = end;
        end += width * scale;
        (class, start, width * scale)
    };
    widths.into_iter().map(place).collect()
}

/// A table with a bar for each account or Region, those with most findings first. `field` is what a click filters by.
pub fn section<K: Display + Ord>(title: &str, field: &str, each: &BTreeMap<K, Counts>) -> Markup {
    let mut each: Vec<(&K, &Counts)> = each.iter().collect();
    // Stable: those with as many findings stay in the order of their names.
    each.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.findings()));
    let (first, rest) = each.split_at(each.len().min(SHOWN));
    html! {
        @if !each.is_empty() {
            section.bars {
                h2 { (title) }
                (table(field, first))
                @if !rest.is_empty() {
                    details {
                        summary { (Thousands(rest.len() as u64)) " more" }
                        (table(field, rest))
                    }
                }
            }
        }
    }
}

fn table<K: Display>(field: &str, each: &[(&K, &Counts)]) -> Markup {
    html! {
        table {
            thead { tr {
                th scope="col" { @if field == "account" { "Account" } @else { "Region" } }
                th scope="col" { "Instances" }
                th.numeric scope="col" { "Findings" }
                th.numeric scope="col" { "As required" }
            } }
            tbody { @for (key, counts) in each { (line(field, &key.to_string(), counts)) } }
        }
    }
}

fn line(field: &str, key: &str, counts: &Counts) -> Markup {
    let (good, total) = (counts.of(Class::AsRequired), counts.total());
    html! {
        tr {
            th scope="row" { a href="#instances" data-field=(field) data-value=(key) { (key) } }
            td {
                (bar(counts, key))
                span.of { (Thousands(total)) " " (plural(total, "instance", "instances")) }
            }
            td.numeric { (Thousands(counts.findings())) }
            td.numeric { (share(good, total)) }
        }
    }
}
