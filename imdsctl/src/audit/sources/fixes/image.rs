//! Images, and the account's defaults.

use imds_core::metadata::{MetadataOptions, OptionName, OptionValue};
use imds_core::text::Quoted;
use imds_engine::aws::fleet::Defaults;

use super::super::shell::{ShellCommand, variable};
use super::facts::{Facts, Mend, joined, line, listed, note, step};
use crate::audit::row::Fix;

/// An image without `ImdsSupport=v2.0`.
pub fn image(facts: &Facts<'_>) -> Mend {
    let id = facts.source.id.as_str();
    let owner = facts.image.and_then(|image| image.owner.as_deref());
    let is_own = owner == Some(facts.account_region.account.as_str());
    let fixes = if is_own { vec![modify(facts, Some(id))] } else { copied(facts, id, owner) };
    let others = other_options(&facts.found.lacks);
    Mend {
        sets: format!(
            "Image {id} has no ImdsSupport=v2.0, so that its instances accept IMDSv1 unless their launch or the \
             account's \
             defaults say otherwise."
        ),
        fixes: fixes.into_iter().chain(others).collect(),
    }
}

/// Sets `ImdsSupport` on the image, or on that in the variable.
fn modify(facts: &Facts<'_>, id: Option<&str>) -> Fix {
    let command = facts.aws("ec2", "modify-image-attribute");
    let command = match id {
        Some(id) => command.option("--image-id", id),
        None => command.expanded("--image-id", &variable("image")),
    };
    let text = "Set ImdsSupport=v2.0: new instances of the image require tokens and have a hop limit of 2. This cannot \
                be undone. The software of the image must support IMDSv2.";
    step(text, command.option("--imds-support", "v2.0"))
}

/// Only its owner can change an image.
fn copied(facts: &Facts<'_>, id: &str, owner: Option<&str>) -> Vec<Fix> {
    let owner = owner.map_or("another account".to_owned(), |owner| format!("account {owner}"));
    let region = facts.account_region.region.as_str();
    let copy = facts
        .aws("ec2", "copy-image")
        .option("--source-region", region)
        .option("--source-image-id", id)
        .option("--name", &format!("{id}-imdsv2"))
        .option("--query", "ImageId")
        .option("--output", "text");
    let wait = ShellCommand::new(&["aws", "ec2", "wait", "image-available"]).option("--region", region);
    vec![
        note(format!(
            "The image belongs to {owner}, which alone can change it: use a newer one that has it, or a copy."
        )),
        line("Copy the image.", copy.assigned_to("image")),
        step("Wait for the copy.", wait.expanded("--image-ids", &variable("image"))),
        modify(facts, None),
    ]
}

/// What `ImdsSupport` does not set.
fn other_options(lacks: &MetadataOptions) -> Option<Fix> {
    let is_set = |value: &OptionValue| match value {
        OptionValue::HttpTokens(_) => true,
        OptionValue::HttpPutResponseHopLimit(hops) => hops.get() == 2,
        _ => false,
    };
    let others: MetadataOptions = lacks.iter().filter(|value| !is_set(value)).collect();
    let text =
        format!("An image cannot set {}: set it at launch, or as the account's default.", listed(&others));
    (!others.is_empty()).then(|| note(text))
}

/// The account's defaults in a Region.
pub fn account_defaults(facts: &Facts<'_>) -> Mend {
    let Some(defaults) = facts.defaults else { return Mend::default() };
    let region = &facts.account_region.region;
    let has_default = |value: &OptionValue| value.name() != OptionName::HttpProtocolIpv6;
    let lacks: MetadataOptions = facts.found.lacks.iter().filter(has_default).collect();
    let ipv6 = facts.found.lacks.get(OptionName::HttpProtocolIpv6);
    let ipv6 = ipv6.map(|value| note(format!("There is no account default for {value}: set it at launch.")));
    let is_policy = defaults.managed_by.as_deref() == Some("declarative-policy");
    let fixes = if is_policy { vec![in_policy(defaults, &lacks)] } else { set(facts, &lacks) };
    Mend {
        sets: format!("The account's defaults in {region} {}.", sets(defaults, &lacks)),
        fixes: fixes.into_iter().chain(ipv6).collect(),
    }
}

fn sets(defaults: &Defaults, lacks: &MetadataOptions) -> String {
    let of = |value: OptionValue| match defaults.options.get(value.name()) {
        Some(set) => set.to_string(),
        None => format!("no preference for {}", value.name()),
    };
    format!("have {}", joined(lacks.iter().map(of).collect(), "and"))
}

fn in_policy(defaults: &Defaults, lacks: &MetadataOptions) -> Fix {
    let message = defaults.managed_exception_message.as_deref();
    let message = message.map(|message| format!(" It tells: {}.", Quoted(message))).unwrap_or_default();
    note(format!(
        "A declarative policy of the organization manages the defaults, so that the account cannot change them: set {} \
         in the policy's instance_metadata_defaults.{message}",
        listed(lacks)
    ))
}

fn set(facts: &Facts<'_>, lacks: &MetadataOptions) -> Vec<Fix> {
    let flags = |command: ShellCommand| {
        lacks.iter().fold(command, |command, value| command.option(flag(value.name()), &value.text()))
    };
    let ours = ShellCommand::new(&["imdsctl", "defaults", "set"])
        .option("--region", facts.account_region.region.as_str())
        .option("--account", facts.account_region.account.as_str());
    let text = "Set the account's defaults, which apply to launches that name no other value. From another account, \
                add \
                --role NAME.";
    vec![
        step(text, flags(ours)),
        step("Or with the AWS CLI.", flags(facts.aws("ec2", "modify-instance-metadata-defaults"))),
    ]
}

/// The flag of both command lines.
fn flag(name: OptionName) -> &'static str {
    match name {
        OptionName::HttpTokens => "--http-tokens",
        OptionName::HttpEndpoint => "--http-endpoint",
        OptionName::HttpPutResponseHopLimit => "--http-put-response-hop-limit",
        OptionName::InstanceMetadataTags => "--instance-metadata-tags",
        // There is no such default: it is never passed.
        OptionName::HttpProtocolIpv6 => "--http-protocol-ipv6",
    }
}
