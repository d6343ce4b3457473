//! What the script fills with instances: search, filters, and the list.

use imds_core::text::Thousands;
use maud::{Markup, html};

use super::super::counts::{Class, Counts};
use super::bars::color;

/// The columns: what the script sorts by, and the title.
const COLUMNS: [(&str, &str); 7] = [
    ("id", "Instance"),
    ("name", "Name"),
    ("account", "Account"),
    ("region", "Region"),
    ("class", "Finding"),
    ("source", "Source"),
    ("calls", "IMDSv1 calls"),
];

/// The section. Without the script, only a note is visible.
pub fn section(counts: &Counts) -> Markup {
    html! {
        section.instances #instances tabindex="-1" aria-labelledby="instances-title" {
            h2 #instances-title { "Instances" }
            noscript {
                p.note {
                    "The list of instances needs JavaScript. " code { "imdsctl audit --format csv" }
                    " writes the same for a spreadsheet."
                }
            }
            div #explorer hidden {
                (filters(counts))
                div.box #box tabindex="-1" {
                    div #list role="table" aria-labelledby="instances-title" {
                        div role="rowgroup" {
                            div #header role="row" aria-rowindex="1" {
                                @for (field, title) in COLUMNS { (header(field, title)) }
                            }
                        }
                        div #body role="rowgroup" {}
                    }
                }
            }
        }
    }
}

fn header(field: &str, title: &str) -> Markup {
    html! {
        div.(field) role="columnheader" data-field=(field) {
            button type="button" { (title) span.arrow aria-hidden="true" {} }
        }
    }
}

fn filters(counts: &Counts) -> Markup {
    html! {
        div.filters role="search" aria-label="Instances" {
            label { "Search" input #search type="search" placeholder="Instance, name, source, reason" autocomplete="off"
                spellcheck="false"; }
            @for (field, title, all) in [
                ("account", "Account", "All accounts"),
                ("region", "Region", "All Regions"),
                ("kind", "Source", "All sources"),
            ] {
                label { (title) select #(field) { option value="" { (all) } } }
            }
            button #reset type="button" { "Reset" }
        }
        div.chips role="group" aria-label="Findings" {
            @for class in Class::ALL {
                button.chip type="button" aria-pressed="false" data-class=(class as usize) {
                    span.(color(class)).dot {}
                    (class.label()) " " span.count { (Thousands(counts.of(class))) }
                }
            }
        }
        p.note { output #count for="search account region kind" {} " " span #printed {} }
    }
}
