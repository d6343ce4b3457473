//! The versions of launch templates that matter to sources.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::stream::{self, StreamExt};
use imds_core::call_error::CallErrorKind;
use imds_core::ids::AccountRegion;
use imds_core::metadata::{Change, MetadataOptions};
use imds_core::source::Source;
use imds_core::text::Escaped;
use imds_engine::aws::client::RegionClient;
use imds_engine::aws::fleet::TemplateVersion;

const DEFAULT: &str = "$Default";
const LATEST: &str = "$Latest";

/// How many versions are asked for at once.
const AT_ONCE: usize = 8;

/// A launch template, and the version that instances came from.
#[derive(Debug, Clone, Copy)]
pub struct Template<'t> {
    /// Its ID.
    pub id: &'t str,
    /// The version in use; `None` if it could not be read.
    pub used: Option<&'t TemplateVersion>,
    /// The default version, which may be that in use; `None` if it could not be read.
    pub default: Option<&'t TemplateVersion>,
    /// The version with the highest number, which may be that in use; `None` if it could not be read.
    pub latest: Option<&'t TemplateVersion>,
}

/// How options get into a launch template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way<'t> {
    /// The version in use has them.
    Has(&'t TemplateVersion),
    /// This version, which is the default one, has them.
    DefaultHas(&'t TemplateVersion),
    /// This version, which is the latest one, has them. The default version does not.
    LatestHas(&'t TemplateVersion),
    /// No version is known that has them; a new one is to be created from this one.
    Create(&'t TemplateVersion),
}

impl<'t> Template<'t> {
    /// Returns the version in use, or else the default one.
    pub fn base(&self) -> Option<&'t TemplateVersion> {
        self.used.or(self.default)
    }

    /// Returns how these options get into the template; `None` if no version could be read.
    pub fn way(&self, lacks: &MetadataOptions) -> Option<Way<'t>> {
        let has = |version: &&TemplateVersion| {
            Change::new(*lacks).is_none_or(|lacks| version.options.contains(&lacks))
        };
        let used = self.used.filter(has).map(Way::Has);
        let default = || self.default.filter(has).map(Way::DefaultHas);
        let latest = || self.latest.filter(has).map(Way::LatestHas);
        used.or_else(default).or_else(latest).or_else(|| self.base().map(Way::Create))
    }
}

/// The versions that were read, by template and version, which is a number, `$Default` or `$Latest`.
#[derive(Debug, Default)]
pub struct Versions(BTreeMap<(String, String), TemplateVersion>);

impl Versions {
    /// Reads the versions in use, the default and the latest ones of these launch templates. Returns warnings about
    /// those that cannot be read. After a refusal nothing more is asked.
    pub async fn read(
        templates: &BTreeSet<Source>,
        account_region: &AccountRegion,
        client: &RegionClient,
    ) -> (Self, Vec<String>) {
        let is_denied = AtomicBool::new(false);
        let is_denied = &is_denied;
        let asked = keys(templates).into_iter().map(|(id, version)| async move {
            if is_denied.load(Ordering::Relaxed) {
                return None;
            }
            let answer = client.template_version(&id, &version).await;
            let answer = answer.map_err(|error| {
                let is_denial = error.kind() == CallErrorKind::Denied;
                let is_told = is_denial && is_denied.swap(true, Ordering::Relaxed);
                let template = format!("launch template {} version {}", Escaped(&id), Escaped(&version));
                (!is_told).then(|| format!("{template} cannot be read: {error}"))
            });
            Some(((id, version), answer))
        });
        let answers: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
        let (mut versions, mut warnings) = (BTreeMap::new(), Vec::new());
        for (key, answer) in answers.into_iter().flatten() {
            match answer {
                Ok(version) => _ = versions.insert(key, version),
                Err(Some(warning)) => warnings.push(unknown(account_region, &warning)),
                Err(None) => {}
            }
        }
        (Self(versions), warnings)
    }

    /// Returns what was read of the launch template.
    pub fn template<'t>(&'t self, template: &'t Source) -> Template<'t> {
        let id = template.id.as_str();
        let version = |version: &str| self.0.get(&(id.to_owned(), version.to_owned()));
        let used = version(template.version.as_deref().unwrap_or(DEFAULT));
        Template { id, used, default: version(DEFAULT), latest: version(LATEST) }
    }
}

fn keys(templates: &BTreeSet<Source>) -> BTreeSet<(String, String)> {
    let versions = |template: &Source| {
        let used = template.version.clone();
        let versions = used.into_iter().chain([DEFAULT.to_owned(), LATEST.to_owned()]);
        versions.map(|version| (template.id.clone(), version)).collect::<Vec<_>>()
    };
    templates.iter().flat_map(versions).collect()
}

/// A warning: what is not known of sources, and why.
pub fn unknown(account_region: &AccountRegion, why: &str) -> String {
    let AccountRegion { account, region } = account_region;
    format!("account {account}, {region}: what sources set is unknown: {why}")
}
