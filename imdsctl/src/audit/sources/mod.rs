//! The sources of instances with findings in an account and Region, what they set, and how to mend them.

mod fixes;
mod found;
mod names;
mod shell;
mod templates;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use imds_core::ids::AccountRegion;
use imds_core::metadata::{MetadataOptions, OptionName, OptionValue};
use imds_core::source::{Source, SourceKind};
use imds_engine::aws::client::RegionClient;
use imds_engine::aws::fleet::{Defaults, Image};
use imds_engine::reconcile::Assessed;

use super::row::SourceRow;
use crate::decision::is_finding;
use fixes::Facts;
use found::{Found, lacks};
use templates::{Versions, unknown};

/// What is known of something that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known<T> {
    Is(T),
    /// It does not exist anymore.
    Gone,
    /// It could not be read.
    Unknown,
}

/// The sources of an account and Region. It asks EC2 once for each image and for the account's defaults, and only where
/// they are needed.
#[derive(Debug)]
pub struct Sources {
    account_region: AccountRegion,
    client: RegionClient,
    images: BTreeMap<String, Known<Image>>,
    defaults: Option<Known<Defaults>>,
    found: BTreeMap<Source, Found>,
    warnings: Vec<String>,
}

impl Sources {
    /// Creates the sources of an account and Region, without any.
    pub fn new(account_region: AccountRegion, client: RegionClient) -> Self {
        let (images, found) = (BTreeMap::new(), BTreeMap::new());
        Self { account_region, client, images, defaults: None, found, warnings: Vec::new() }
    }

    /// Returns the source of each instance of a page, and counts those with findings.
    ///
    /// A tag tells it. For an instance with a finding and without such a tag, it is the image, or else the account's
    /// defaults, if they leave out what the instance lacks.
    pub async fn of_page(&mut self, page: &[Assessed]) -> Vec<Option<Source>> {
        let is_asked = |assessed: &&Assessed| {
            is_finding(&assessed.decision.verdict) && Source::of(&assessed.instance).is_none()
        };
        let asked: Vec<&Assessed> = page.iter().filter(is_asked).collect();
        let images = asked.iter().filter(|assessed| lacks_tokens(assessed));
        self.read_images(images.filter_map(|assessed| assessed.instance.image.clone()).collect()).await;
        if asked.iter().any(|assessed| !lacks(&assessed.decision.verdict).is_empty()) {
            self.read_defaults().await;
        }
        page.iter().map(|assessed| self.source(assessed)).collect()
    }

    /// Returns the sources of findings, those with most instances first, and warnings about what could not be read.
    pub async fn finish(mut self) -> (Vec<SourceRow>, Vec<String>) {
        let templates: BTreeSet<Source> = self
            .found
            .iter()
            .filter(|(source, _)| names::is_valid(source))
            .filter_map(|(source, found)| template_of(source, found))
            .collect();
        let (versions, warnings) = Versions::read(&templates, &self.account_region, &self.client).await;
        self.warnings.extend(warnings);
        let row = |(source, found): (&Source, &Found)| {
            let template = template_of(source, found);
            let facts = Facts {
                account_region: &self.account_region,
                source,
                found,
                template: template.as_ref().map(|template| versions.template(template)),
                image: self.images.get(&source.id).and_then(known),
                defaults: self.defaults.as_ref().and_then(known),
            };
            fixes::row(&facts)
        };
        let mut rows: Vec<SourceRow> = self.found.iter().map(row).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.instances));
        (rows, self.warnings)
    }

    fn source(&mut self, assessed: &Assessed) -> Option<Source> {
        let is_finding = is_finding(&assessed.decision.verdict);
        let tagged = Source::of(&assessed.instance);
        let source = if is_finding { tagged.or_else(|| self.untagged(assessed)) } else { tagged }?;
        if is_finding {
            self.found.entry(source.clone()).or_default().add(assessed);
        }
        Some(source)
    }

    /// The image or the account's defaults, if they leave out what the instance lacks.
    fn untagged(&self, assessed: &Assessed) -> Option<Source> {
        let source = |kind, id: &str| Source { kind, id: id.to_owned(), version: None };
        if lacks_tokens(assessed) {
            let id = assessed.instance.image.as_ref()?;
            match self.images.get(id)? {
                Known::Is(image) if !image.requires_tokens => return Some(source(SourceKind::Image, id)),
                // Nothing can be launched from a deleted image: what applies to it, applies no more.
                Known::Is(_) | Known::Gone => {}
                Known::Unknown => return None,
            }
        }
        let defaults = self.defaults.as_ref().and_then(known)?;
        leave_out(defaults, &lacks(&assessed.decision.verdict))
            .then(|| source(SourceKind::AccountDefaults, self.account_region.account.as_str()))
    }

    async fn read_images(&mut self, mut images: BTreeSet<String>) {
        images.retain(|image| !self.images.contains_key(image));
        let images: Vec<String> = images.into_iter().collect();
        if images.is_empty() {
            return;
        }
        let answer = self.client.images(&images).await;
        if let Err(error) = &answer {
            self.warn(&format!("images cannot be read: {error}"));
        }
        for id in images {
            let image = match &answer {
                Ok(found) => found.get(&id).cloned().map_or(Known::Gone, Known::Is),
                Err(_) => Known::Unknown,
            };
            self.images.insert(id, image);
        }
    }

    async fn read_defaults(&mut self) {
        if self.defaults.is_some() {
            return;
        }
        let answer = self.client.defaults().await;
        if let Err(error) = &answer {
            self.warn(&format!("the account's defaults cannot be read: {error}"));
        }
        self.defaults = Some(answer.map_or(Known::Unknown, Known::Is));
    }

    fn warn(&mut self, why: &str) {
        let warning = unknown(&self.account_region, why);
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

fn known<T>(known: &Known<T>) -> Option<&T> {
    match known {
        Known::Is(value) => Some(value),
        Known::Gone | Known::Unknown => None,
    }
}

/// Whether the instance must require tokens, and does not.
fn lacks_tokens(assessed: &Assessed) -> bool {
    lacks(&assessed.decision.verdict).get(OptionName::HttpTokens) == Some(OptionValue::TOKENS_REQUIRED)
}

/// The launch template that new instances of the source get their options from.
fn template_of(source: &Source, found: &Found) -> Option<Source> {
    let template = match source.kind {
        SourceKind::LaunchTemplate => Some(source),
        SourceKind::AutoScalingGroup | SourceKind::EksNodeGroup => found.template(),
        _ => None,
    };
    template.filter(|template| names::is_valid(template)).cloned()
}

/// Whether the account's defaults leave out an option that an instance lacks. EC2 has no default for
/// `HttpProtocolIpv6`.
fn leave_out(defaults: &Defaults, lacks: &MetadataOptions) -> bool {
    let has_default = |value: &OptionValue| value.name() != OptionName::HttpProtocolIpv6;
    lacks.iter().filter(has_default).any(|value| defaults.options.get(value.name()) != Some(value))
}
