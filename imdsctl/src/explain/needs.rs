//! What the decisions of a policy need of the input.

use imds_core::decide::{Decision, Needed, TagRejection, Verdict, Warning};
use imds_core::policy::Policy;

use super::raw::RawInstance;
use super::read::Place;

/// What the decisions of a policy need, beside an instance's state and options.
pub struct Needs {
    pub account: bool,
    pub region: bool,
    tags: bool,
    first_ran: bool,
    image: bool,
}

impl Needs {
    /// What decisions of `policy` need if the account or the Region is already known.
    pub fn of(policy: &Policy, knows_account: bool, knows_region: bool) -> Self {
        Self {
            account: policy.reads_accounts() && !knows_account,
            region: policy.reads_regions() && !knows_region,
            tags: policy.reads_tags(),
            first_ran: policy.reads_first_ran(),
            image: policy.reads_image(),
        }
    }

    /// Returns the fields without which the decision is none.
    pub fn missing(&self, place: &Place, raw: &RawInstance<'_>, decision: &Decision) -> Vec<String> {
        // What has ended, or has another operator, is out of scope whatever else is known of it.
        if matches!(decision.verdict, Verdict::OutOfScope { .. }) {
            return Vec::new();
        }
        let mut fields = match &decision.verdict {
            Verdict::Incomplete { missing } => missing.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        };
        // A whole response omits what an instance does not have. What a query omits may exist.
        if !place.is_whole && raw.operator.is_none() {
            fields.push("Operator".to_owned());
        }
        if !place.is_whole && self.tags && raw.tags.is_none() {
            fields.push("Tags".to_owned());
        }
        if !place.is_whole && depends_on_age(decision) {
            fields.extend(raw.lacks_for_first_ran().map(str::to_owned));
        }
        fields
    }

    /// Returns the option of the AWS CLI that keeps what decisions need, and nothing else.
    pub fn query(&self) -> String {
        let mut fields = vec!["InstanceId", "State", "Operator", "MetadataOptions"];
        fields.extend(self.tags.then_some("Tags"));
        fields.extend(self.image.then_some("ImageId"));
        fields.extend(self.region.then_some("Placement"));
        // The interfaces have the account, and when the instance first ran.
        fields.extend((self.account || self.first_ran).then_some("NetworkInterfaces"));
        let fields: Vec<String> = fields.iter().map(|field| format!("{field}:{field}")).collect();
        format!("--query 'Reservations[].Instances[].{{{}}}'", fields.join(","))
    }
}

/// Returns whether the decision was made without the time at which the instance first ran, and depends on it. The usage
/// gate does not ask for the use of a new instance.
fn depends_on_age(decision: &Decision) -> bool {
    let age_is_unknown = |warning: &Warning| {
        matches!(warning, Warning::IgnoredTag { why: TagRejection::AgeUnknown { .. }, .. })
    };
    matches!(decision.verdict, Verdict::NeedsUsage(Needed::Usage { .. }))
        || decision.warnings.iter().any(age_is_unknown)
}
