//! What is known of a source, and the parts that the steps for all kinds of sources share.

use imds_core::ids::AccountRegion;
use imds_core::metadata::MetadataOptions;
use imds_core::source::Source;
use imds_engine::aws::fleet::{Defaults, Image};

use super::super::found::Found;
use super::super::shell::ShellCommand;
use super::super::templates::Template;
use crate::audit::row::Fix;

/// What is known of a source.
#[derive(Debug, Clone)]
pub struct Facts<'f> {
    /// Where it is.
    pub account_region: &'f AccountRegion,
    /// The source.
    pub source: &'f Source,
    /// Its instances with findings, and what they lack.
    pub found: &'f Found,
    /// The launch template of its instances, if their tags tell one.
    pub template: Option<Template<'f>>,
    /// The image, if it is one and could be read.
    pub image: Option<&'f Image>,
    /// The account's defaults, if they could be read.
    pub defaults: Option<&'f Defaults>,
}

/// What a source sets, in sentences, and the steps that mend it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mend {
    /// What it sets.
    pub sets: String,
    /// The steps, in order.
    pub fixes: Vec<Fix>,
}

/// The options with their values, in words: `HttpTokens=required and HttpPutResponseHopLimit=2`.
pub fn listed(options: &MetadataOptions) -> String {
    joined(options.iter().map(|value| value.to_string()).collect(), "and")
}

/// Joins the parts by commas, the last one by `word`.
pub fn joined(mut parts: Vec<String>, word: &str) -> String {
    let last = parts.pop().unwrap_or_default();
    if parts.is_empty() { last } else { format!("{} {word} {last}", parts.join(", ")) }
}

/// The options as JSON, in which nothing needs quotes but JSON itself.
pub fn json(options: &MetadataOptions) -> String {
    // Strings and numbers without a map key that is not a string: this cannot fail.
    serde_json::to_string(options).unwrap_or_default()
}

pub fn step(text: impl Into<String>, command: ShellCommand) -> Fix {
    line(text, command.line())
}

pub fn line(text: impl Into<String>, line: String) -> Fix {
    Fix { text: text.into(), command: Some(line) }
}

pub fn note(text: impl Into<String>) -> Fix {
    Fix { text: text.into(), command: None }
}

impl Facts<'_> {
    /// A command of the AWS CLI in the source's Region.
    pub fn aws(&self, service: &str, operation: &str) -> ShellCommand {
        ShellCommand::new(&["aws", service, operation])
            .option("--region", self.account_region.region.as_str())
    }
}
