//! Launch templates.

use imds_core::metadata::{Change, MetadataOptions, OptionValue};
use imds_core::text::{Quoted, counted};
use imds_engine::aws::fleet::TemplateVersion;

use super::super::shell::{ShellCommand, variable};
use super::super::templates::{Template, Way};
use super::facts::{Facts, Mend, joined, json, line, listed, note, step};
use crate::audit::row::Fix;

/// The shell's variable with the number of the version that was created.
const VERSION: &str = "version";

/// How a launch template gets the options.
pub struct InTemplate {
    /// What it sets, in sentences.
    pub sets: String,
    /// The steps that create a version with the options, and make it the default one where that is enough.
    pub fixes: Vec<Fix>,
    /// The version that then has the options, as commands name it; `None` if the version in use has them, or if none
    /// could be read.
    pub version: Option<String>,
}

/// A launch template from which instances are launched directly.
pub fn mend(facts: &Facts<'_>) -> Mend {
    let Some(template) = &facts.template else { return Mend::default() };
    let InTemplate { sets, mut fixes, version } = in_template(facts, template);
    let used = facts.source.version.as_deref();
    if let (Some(version), Some(used)) = (version, used) {
        let new = if version.starts_with('$') {
            "the new version".to_owned()
        } else {
            format!("version {version}")
        };
        fixes.push(note(format!("Whatever names version {used} by its number must name {new}.")));
    }
    Mend { sets, fixes }
}

/// Returns what the launch template sets, and how it gets what the instances lack.
pub fn in_template(facts: &Facts<'_>, template: &Template<'_>) -> InTemplate {
    let lacks = &facts.found.lacks;
    let id = template.id;
    let Some(way) = template.way(lacks) else { return unknown(facts, id) };
    let sets =
        |version: &TemplateVersion| format!("{} {}.", title(version, id), sets(&version.options, lacks));
    let of_base = || template.base().map(sets).unwrap_or_default();
    let (sets, fixes, version) = match way {
        Way::Has(version) => {
            let already = "its instances were launched with other options, or changed afterwards";
            return InTemplate {
                sets: format!("{} sets {} already: {already}.", title(version, id), listed(lacks)),
                fixes: Vec::new(),
                version: None,
            };
        }
        Way::DefaultHas(version) => {
            let has = format!("The default version {} sets {}.", version.number, listed(lacks));
            let before = template.used.map(sets).unwrap_or_default();
            (format!("{before} {has}").trim_start().to_owned(), Vec::new(), version.number.to_string())
        }
        Way::LatestHas(version) => {
            let has = format!("The latest version {} sets {}.", version.number, listed(lacks));
            let number = version.number.to_string();
            let is_default = template.base().is_some_and(|base| base.is_default);
            let fixes = is_default.then(|| make_default(facts, id, &number)).into_iter().collect();
            (format!("{} {has}", of_base()), fixes, number)
        }
        Way::Create(from) => (of_base(), create(facts, template, from), variable(VERSION)),
    };
    InTemplate { sets, fixes, version: Some(version) }
}

fn create(facts: &Facts<'_>, template: &Template<'_>, from: &TemplateVersion) -> Vec<Fix> {
    let command = facts
        .aws("ec2", "create-launch-template-version")
        .option("--launch-template-id", template.id)
        .option("--source-version", &from.number.to_string());
    let text =
        format!("Create a version that is as version {}, with {}.", from.number, listed(&facts.found.lacks));
    let latest = template.latest.filter(|latest| latest.number != from.number);
    let caution = latest.map(|latest| {
        note(format!(
            "Before, compare version {} with version {}, the latest: whatever names $Latest uses the new version at \
             once.",
            from.number, latest.number
        ))
    });
    let created = line(text, created(command, &from.options, &facts.found.lacks));
    let default = from.is_default.then(|| make_default(facts, template.id, &variable(VERSION)));
    caution.into_iter().chain([created]).chain(default).collect()
}

/// Completes a command that creates a version, and assigns the version's number to a variable. The command has all
/// options that the version is to have, as EC2 may replace those of its source version together.
pub fn created(command: ShellCommand, before: &MetadataOptions, lacks: &MetadataOptions) -> String {
    let options = Change::new(*lacks).map_or(*before, |change| before.with(&change));
    command
        .option("--launch-template-data", &format!("{{\"MetadataOptions\":{}}}", json(&options)))
        .option("--query", "LaunchTemplateVersion.VersionNumber")
        .option("--output", "text")
        .assigned_to(VERSION)
}

fn make_default(facts: &Facts<'_>, id: &str, version: &str) -> Fix {
    let command = facts.aws("ec2", "modify-launch-template").option("--launch-template-id", id);
    let text =
        "Make it the default version. Launches that name $Default, or no version, use it from then on.";
    step(text, command.expanded("--default-version", version))
}

fn unknown(facts: &Facts<'_>, id: &str) -> InTemplate {
    let command = facts.aws("ec2", "describe-launch-template-versions").option("--launch-template-id", id);
    let lacks = listed(&facts.found.lacks);
    let text = format!("Read its versions. The one in use must set {lacks}.");
    InTemplate {
        sets: format!("What launch template {id} sets is unknown, as it could not be read."),
        fixes: vec![step(text, command)],
        version: None,
    }
}

fn title(version: &TemplateVersion, id: &str) -> String {
    let default = if version.is_default { ", the default one," } else { "" };
    let name = if version.name.is_empty() { String::new() } else { format!(" ({})", Quoted(&version.name)) };
    format!("Version {} of launch template {id}{name}{default}", version.number)
}

/// What a version sets of the options that instances lack, as a predicate.
fn sets(options: &MetadataOptions, lacks: &MetadataOptions) -> String {
    let missing = |value: &OptionValue| options.get(value.name()) != Some(*value);
    let (set, unset): (Vec<_>, Vec<_>) =
        lacks.iter().filter(missing).map(|value| value.name()).partition(|name| options.get(*name).is_some());
    let set: MetadataOptions = set.into_iter().filter_map(|name| options.get(name)).collect();
    let unset: Vec<String> = unset.iter().map(ToString::to_string).collect();
    let set = (!set.is_empty()).then(|| format!("sets {}", listed(&set)));
    let unset = (!unset.is_empty()).then(|| format!("does not set {}", joined(unset, "or")));
    set.into_iter().chain(unset).collect::<Vec<_>>().join(" and ")
}

/// A sentence if the instances came from several launch templates or versions.
pub fn others(facts: &Facts<'_>) -> Option<String> {
    let others = facts.found.templates.len().checked_sub(1).filter(|others| *others > 0)?;
    let others =
        counted(others as u64, "other launch template or version", "other launch templates or versions");
    Some(format!("Some of its instances came from {others}."))
}
