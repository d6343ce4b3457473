//! Node groups of EKS and node pools of Karpenter.

use imds_core::metadata::{MetadataOptions, OptionName};
use serde_json::{Map, Value, json};

use super::super::shell::{ShellCommand, quoted, variable};
use super::facts::{Facts, Mend, json as options_json, line, listed, note, step};
use super::template::{created, in_template};
use crate::audit::row::Fix;

/// Why a node must not have a hop limit of 1 everywhere.
const PODS: &str =
    "Pods that have no access to the host's network reach IMDS only with HttpPutResponseHopLimit=2.";

/// A managed node group. The launch template that its instances name is a copy that EKS makes: the node group's own one
/// has to change.
pub fn node_group(facts: &Facts<'_>) -> Mend {
    let before = facts.template.as_ref().and_then(|template| template.used);
    let before = before.map(|version| version.options);
    let sets = facts.template.as_ref().map(|template| in_template(facts, template));
    let needs_fix = sets.as_ref().is_none_or(|found| found.version.is_some() || !found.fixes.is_empty());
    let sets = sets.map_or("The launch template of its nodes is unknown.".to_owned(), |found| found.sets);
    if !needs_fix {
        return Mend { sets, fixes: Vec::new() };
    }
    let group = NodeGroup::of(facts);
    let cluster = group.list_clusters(facts);
    let steps = [
        group.read(facts, "Read which launch template the node group names.", "id", "template"),
        group.read(facts, "Read which version of it.", "version", "base"),
        group.create(facts, before.as_ref()),
        group.update(facts),
        without_template(facts),
    ];
    Mend { sets, fixes: cluster.into_iter().chain(steps).collect() }
}

struct NodeGroup<'f> {
    cluster: Option<&'f str>,
    name: &'f str,
}

impl<'f> NodeGroup<'f> {
    fn of(facts: &Facts<'f>) -> Self {
        match facts.source.id.split_once('/') {
            Some((cluster, name)) => Self { cluster: Some(cluster), name },
            None => Self { cluster: None, name: &facts.source.id },
        }
    }

    fn list_clusters(&self, facts: &Facts<'_>) -> Option<Fix> {
        let text =
            "Find the node group's cluster, which no tag tells, and assign its name to the variable cluster.";
        self.cluster.is_none().then(|| step(text, facts.aws("eks", "list-clusters")))
    }

    /// A command on the node group.
    fn command(&self, facts: &Facts<'_>, operation: &str) -> ShellCommand {
        let command = facts.aws("eks", operation);
        let command = match self.cluster {
            Some(cluster) => command.option("--cluster-name", cluster),
            None => command.expanded("--cluster-name", &variable("cluster")),
        };
        command.option("--nodegroup-name", self.name)
    }

    fn read(&self, facts: &Facts<'_>, text: &str, field: &str, into: &str) -> Fix {
        let command = self.command(facts, "describe-nodegroup");
        let command = command.option("--query", &format!("nodegroup.launchTemplate.{field}"));
        line(text, command.option("--output", "text").assigned_to(into))
    }

    fn create(&self, facts: &Facts<'_>, before: Option<&MetadataOptions>) -> Fix {
        let lacks = &facts.found.lacks;
        let command = facts
            .aws("ec2", "create-launch-template-version")
            .expanded("--launch-template-id", &variable("template"))
            .expanded("--source-version", &variable("base"));
        let unread =
            before.is_none().then_some("Add the other metadata options of that version, if it has any.");
        let before = before.copied().unwrap_or_default();
        let hops = [&before, lacks].iter().any(|set| set.get(OptionName::HttpPutResponseHopLimit).is_some());
        let text = format!("Create a version that is as that one, with {}.", listed(lacks));
        let text = [Some(text.as_str()), unread, (!hops).then_some(PODS)];
        let text: Vec<&str> = text.into_iter().flatten().collect();
        line(text.join(" "), created(command, &before, lacks))
    }

    fn update(&self, facts: &Facts<'_>) -> Fix {
        let value = format!("id={},version={}", variable("template"), variable("version"));
        let command = self.command(facts, "update-nodegroup-version").expanded("--launch-template", &value);
        step("Move the node group to it. EKS replaces the nodes and drains them before.", command)
    }
}

fn without_template(facts: &Facts<'_>) -> Fix {
    note(format!(
        "If the first command prints None, EKS made the launch template, and the node group cannot get one: create a \
         node group with a launch template that has \"MetadataOptions\": {}, move the pods to it and delete this one. \
         {PODS}",
        options_json(&facts.found.lacks)
    ))
}

/// A node pool of Karpenter, whose node class has the options.
pub fn node_pool(facts: &Facts<'_>) -> Mend {
    let lacks = &facts.found.lacks;
    let (known, options) = metadata_options(lacks);
    let class = ShellCommand::new(&["kubectl", "get", "nodepools.karpenter.sh", &facts.source.id])
        .option("--output", "jsonpath={.spec.template.spec.nodeClassRef.name}");
    let patch = json!({"spec": {"metadataOptions": options}}).to_string();
    let patched = format!(
        "kubectl patch ec2nodeclasses.karpenter.k8s.aws \"{}\" --type merge --patch {}",
        variable("class"),
        quoted(&patch)
    );
    let set = format!(
        "Set {} for all node pools of that class. Karpenter replaces their nodes as their disruption budgets allow.",
        listed(&known)
    );
    let read = "With the cluster as kubectl's context, read which node class the node pool names.";
    let steps = [line(read, class.assigned_to("class")), line(set, patched)];
    let steps = if known.is_empty() { Vec::new() } else { steps.to_vec() };
    let tags = lacks.get(OptionName::InstanceMetadataTags).map(|value| {
        note(format!(
            "Karpenter cannot set {value}: the function or `imdsctl apply` sets it on each instance."
        ))
    });
    Mend {
        sets: format!("Its node class does not set {}, or its nodes are older than that.", listed(lacks)),
        fixes: steps.into_iter().chain(tags).collect(),
    }
}

/// The options that Karpenter has, and their names and values in an EC2NodeClass.
fn metadata_options(lacks: &MetadataOptions) -> (MetadataOptions, Map<String, Value>) {
    let field = |name| match name {
        OptionName::HttpTokens => Some("httpTokens"),
        OptionName::HttpEndpoint => Some("httpEndpoint"),
        OptionName::HttpPutResponseHopLimit => Some("httpPutResponseHopLimit"),
        OptionName::HttpProtocolIpv6 => Some("httpProtocolIPv6"),
        OptionName::InstanceMetadataTags => None,
    };
    let fields = lacks.iter().filter_map(|value| Some((value, field(value.name())?, json!(value))));
    let fields: Vec<_> = fields.collect();
    let known = fields.iter().map(|(value, ..)| *value).collect();
    (known, fields.into_iter().map(|(_, field, value)| (field.to_owned(), value)).collect())
}
