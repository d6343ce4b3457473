//! What a source sets, and the steps that mend it.

mod facts;
mod group;
mod image;
mod kubernetes;
mod stack;
mod template;

use imds_core::ids::AccountRegion;
use imds_core::source::SourceKind;
use imds_core::text::counted;

use super::found::Found;
use super::names;
use crate::audit::row::SourceRow;
use facts::{Mend, joined};

pub use facts::Facts;

/// Returns the row of a source in a report.
pub fn row(facts: &Facts<'_>) -> SourceRow {
    let mend = mend(facts);
    let AccountRegion { account, region } = facts.account_region;
    let mut commands = mend.fixes.iter().filter_map(|fix| fix.command.as_deref());
    let is_of_aws = commands.any(|command| !command.contains("kubectl "));
    let credentials = is_of_aws.then(|| format!("The commands need credentials of account {account}."));
    let sentences = [Some(mend.sets), differing(facts.found), in_use(facts.found), unknown_use(facts.found)];
    let sentences: Vec<String> = sentences.into_iter().chain([credentials]).flatten().collect();
    SourceRow {
        account: account.clone(),
        region: region.clone(),
        source: facts.source.clone(),
        instances: facts.found.instances,
        finding: sentences.join(" "),
        fixes: mend.fixes,
    }
}

fn mend(facts: &Facts<'_>) -> Mend {
    let without = |sets: &str| Mend { sets: sets.to_owned(), fixes: Vec::new() };
    if !names::is_valid(facts.source) {
        return without(
            "This is not a name that such a source can have: whoever may tag the instances wrote it, so there are no \
             commands.",
        );
    }
    if facts.found.lacks.is_empty() {
        return without("It is not known which options its instances lack: see the instances.");
    }
    match facts.source.kind {
        SourceKind::KarpenterNodePool => kubernetes::node_pool(facts),
        SourceKind::EksNodeGroup => kubernetes::node_group(facts),
        SourceKind::AutoScalingGroup => group::mend(facts),
        SourceKind::LaunchTemplate => template::mend(facts),
        SourceKind::CloudformationStack => stack::mend(facts),
        SourceKind::Image => image::image(facts),
        SourceKind::AccountDefaults => image::account_defaults(facts),
    }
}

fn differing(found: &Found) -> Option<String> {
    let value = |name: &_| found.lacks.get(*name).map(|value| value.to_string());
    let values = joined(found.differing.iter().filter_map(value).collect(), "and");
    (!values.is_empty())
        .then(|| format!("Its instances need different values; the strictest is shown here: {values}."))
}

fn in_use(found: &Found) -> Option<String> {
    let use_ = if found.in_use == 1 { "uses" } else { "use" };
    (found.in_use > 0).then(|| {
        format!(
            "{} still {use_} IMDSv1: move what runs there to IMDSv2 first, as instances that replace them refuse \
             IMDSv1.",
            counted(found.in_use as u64, "instance", "instances")
        )
    })
}

fn unknown_use(found: &Found) -> Option<String> {
    (found.unknown_use > 0).then(|| {
        format!(
            "Whether {} of its instances {} IMDSv1 is not known: find that out first.",
            found.unknown_use,
            if found.unknown_use == 1 { "uses" } else { "use" }
        )
    })
}
