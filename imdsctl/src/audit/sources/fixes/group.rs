//! Auto Scaling groups.

use super::super::shell::{ShellCommand, variable};
use super::super::templates::Template;
use super::facts::{Facts, Mend, json, line, note, step};
use super::template::{InTemplate, in_template, others};
use crate::audit::row::Fix;

const RUNNING: &str = "Or leave running instances to the function or to `imdsctl apply`.";

pub fn mend(facts: &Facts<'_>) -> Mend {
    let Some(template) = &facts.template else { return with_launch_configuration(facts) };
    let InTemplate { sets, fixes, version } = in_template(facts, template);
    let sets = [Some(sets), others(facts)].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let moved = version.map(|version| moved(facts, template, &version)).unwrap_or_default();
    let first = (!fixes.is_empty() || !moved.is_empty()).then(|| look(facts));
    Mend { sets, fixes: first.into_iter().chain(fixes).chain(moved).collect() }
}

/// A command on the group.
fn on_group(facts: &Facts<'_>, operation: &str, option: &str) -> ShellCommand {
    facts.aws("autoscaling", operation).option(option, &facts.source.id)
}

fn look(facts: &Facts<'_>) -> Fix {
    let command = on_group(facts, "describe-auto-scaling-groups", "--auto-scaling-group-names");
    let query =
        "AutoScalingGroups[].[LaunchTemplate,MixedInstancesPolicy.LaunchTemplate,LaunchConfigurationName]";
    step("Read what the group names.", command.option("--query", query))
}

/// The steps that move the group to the version.
fn moved(facts: &Facts<'_>, template: &Template<'_>, version: &str) -> Vec<Fix> {
    let command = on_group(facts, "update-auto-scaling-group", "--auto-scaling-group-name");
    let value = format!("LaunchTemplateId={},Version={version}", template.id);
    let update = "Name the version in the group, unless it names $Latest, or names $Default and the version is the \
                  default one. \
                  If the group has a mixed instances policy, name the version in that: this command would replace the \
                  policy.";
    vec![step(update, command.expanded("--launch-template", &value)), refresh(facts)]
}

fn refresh(facts: &Facts<'_>) -> Fix {
    let command = on_group(facts, "start-instance-refresh", "--auto-scaling-group-name");
    let text = format!("Replace the instances that have another version, some at a time. {RUNNING}");
    step(text, command.option("--preferences", r#"{"SkipMatching":true}"#))
}

/// Without the tags of a launch template, the group has a launch configuration.
fn with_launch_configuration(facts: &Facts<'_>) -> Mend {
    let names = on_group(facts, "describe-auto-scaling-groups", "--auto-scaling-group-names")
        .option("--query", "AutoScalingGroups[].LaunchConfigurationName")
        .option("--output", "text")
        .assigned_to("configuration");
    let configuration = facts
        .aws("autoscaling", "describe-launch-configurations")
        .expanded("--launch-configuration-names", &variable("configuration"));
    let move_on = format!(
        "A launch configuration cannot be changed. Create a launch template from it, with \"MetadataOptions\": {}, \
         name \
         it in the group with `aws autoscaling update-auto-scaling-group --launch-template`, and then replace the \
         instances. {RUNNING}",
        json(&facts.found.lacks)
    );
    Mend {
        sets: "Its instances have no tag of a launch template, so the group had a launch configuration."
            .to_owned(),
        fixes: vec![
            line("Read which launch configuration the group names.", names),
            step("Read the launch configuration.", configuration),
            note(move_on),
        ],
    }
}
