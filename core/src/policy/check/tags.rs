//! What an instance's own tags may set.

use std::collections::BTreeSet;

use super::Check;
use crate::metadata::OptionName;
use crate::policy::document::{Exemptions, InstanceTags, Part};
use crate::policy::json::index;
use crate::policy::model::{Authority, ExemptionLimits, TagRules};

/// The place of the options that tags may name.
const OPTIONS: &str = "instanceTags.options";

impl Check {
    pub(super) fn tags(&mut self, tags: InstanceTags) -> TagRules {
        self.unknown("instanceTags", &tags.unknown, InstanceTags::KEYS);
        let defaults = TagRules::default();
        let prefix = self.part("instanceTags.prefix", tags.prefix).unwrap_or(defaults.prefix);
        if prefix.is_empty() || prefix.chars().count() > 64 {
            self.fail("instanceTags.prefix", "must have 1 to 64 characters");
        }
        if prefix.to_ascii_lowercase().starts_with("aws:") {
            self.fail("instanceTags.prefix", "must not begin with aws:, which is reserved for AWS");
        }
        let is_authority_wrong = matches!(tags.authority, Part::Wrong(_));
        let authority = self.part("instanceTags.authority", tags.authority).unwrap_or(defaults.authority);
        let reads_none = "cannot be used with \"authority\": \"none\", which reads no tags";
        if authority == Authority::None && !matches!(tags.options, Part::Absent) {
            self.fail(OPTIONS, reads_none);
        }
        let may_set_endpoint = is_authority_wrong || authority != Authority::Tighten;
        let options = self.part(OPTIONS, tags.options);
        let options = options.map(|options| self.listed(options, may_set_endpoint));
        if authority == Authority::None && !matches!(tags.exemptions, Part::Absent) {
            self.fail("instanceTags.exemptions", reads_none);
        }
        let exemptions = self.part("instanceTags.exemptions", tags.exemptions);
        let exemptions = exemptions.and_then(|e| self.exemptions(e));
        TagRules { prefix, authority, options: options.unwrap_or(defaults.options), exemptions }
    }

    fn listed(&mut self, options: Vec<Part<OptionName>>, may_set_endpoint: bool) -> BTreeSet<OptionName> {
        let mut listed = BTreeSet::new();
        for (number, option) in options.into_iter().enumerate() {
            let place = index(OPTIONS, number);
            let Some(name) = self.needed(&place, option) else { continue };
            if !listed.insert(name) {
                self.fail(&place, format!("{name} is already listed: remove one of them"));
            }
            if name == OptionName::HttpEndpoint && !may_set_endpoint {
                self.fail(
                    &place,
                    "HttpEndpoint needs \"authority\": \"loosen\", as switching IMDS off is an outage: use a rule",
                );
            }
        }
        listed
    }

    fn exemptions(&mut self, exemptions: Exemptions) -> Option<ExemptionLimits> {
        self.unknown("instanceTags.exemptions", &exemptions.unknown, Exemptions::KEYS);
        let max_days = self.needed("instanceTags.exemptions.maxDays", exemptions.max_days);
        let max_age_days = self.part("instanceTags.exemptions.maxAgeDays", exemptions.max_age_days);
        Some(ExemptionLimits { max_days: max_days?.0, max_age_days: max_age_days.map(|days| days.0) })
    }
}
