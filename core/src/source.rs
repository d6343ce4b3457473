//! What an instance came from: where options must change so that the next instance has them.

use std::fmt;

use serde::Serialize;

use crate::instance::Instance;
use crate::text::Quoted;

/// What an instance came from. An instance that is replaced comes back with the options that its source sets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// The kind of source.
    pub kind: SourceKind,
    /// Its name or ID, as AWS writes it; `CLUSTER/GROUP` for an EKS node group whose cluster is known.
    pub id: String,
    /// The version of a launch template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The kinds of source, in the order of their precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// A node pool of Karpenter.
    KarpenterNodePool,
    /// A managed node group of EKS.
    EksNodeGroup,
    /// An Auto Scaling group.
    AutoScalingGroup,
    /// A launch template.
    LaunchTemplate,
    /// A CloudFormation stack.
    CloudformationStack,
    /// An image without `ImdsSupport=v2.0`. No tag tells it.
    Image,
    /// The account's defaults in the Region. No tag tells it.
    AccountDefaults,
}

/// The key of the tag with the name of the Auto Scaling group. AWS alone can set it.
pub(crate) const AUTO_SCALING_GROUP_TAG: &str = "aws:autoscaling:groupName";

/// The key of the tag with the ID of the launch template. AWS alone can set it.
pub(crate) const LAUNCH_TEMPLATE_TAG: &str = "aws:ec2launchtemplate:id";

/// The key of the tag with the number of the launch template's version.
const LAUNCH_TEMPLATE_VERSION: &str = "aws:ec2launchtemplate:version";

impl SourceKind {
    /// Every kind that a tag tells.
    const TAGGED: [Self; 5] = [
        Self::KarpenterNodePool,
        Self::EksNodeGroup,
        Self::AutoScalingGroup,
        Self::LaunchTemplate,
        Self::CloudformationStack,
    ];

    /// The name in reports and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KarpenterNodePool => "karpenter-node-pool",
            Self::EksNodeGroup => "eks-node-group",
            Self::AutoScalingGroup => "auto-scaling-group",
            Self::LaunchTemplate => "launch-template",
            Self::CloudformationStack => "cloudformation-stack",
            Self::Image => "image",
            Self::AccountDefaults => "account-defaults",
        }
    }

    /// The key of the tag whose value is the source's name or ID.
    fn tag_key(self) -> Option<&'static str> {
        match self {
            Self::KarpenterNodePool => Some("karpenter.sh/nodepool"),
            Self::EksNodeGroup => Some("eks:nodegroup-name"),
            Self::AutoScalingGroup => Some(AUTO_SCALING_GROUP_TAG),
            Self::LaunchTemplate => Some(LAUNCH_TEMPLATE_TAG),
            Self::CloudformationStack => Some("aws:cloudformation:stack-name"),
            Self::Image | Self::AccountDefaults => None,
        }
    }
}

impl Source {
    /// The source that the instance's tags tell, if they tell one.
    pub fn of(instance: &Instance) -> Option<Self> {
        SourceKind::TAGGED.into_iter().find_map(|kind| Self::of_kind(kind, instance))
    }

    /// The launch template that the instance's tags tell, also if another source has precedence.
    pub fn launch_template(instance: &Instance) -> Option<Self> {
        Self::of_kind(SourceKind::LaunchTemplate, instance)
    }

    fn of_kind(kind: SourceKind, instance: &Instance) -> Option<Self> {
        let tag = |key: &str| instance.tags.get(key).filter(|value| !value.is_empty()).cloned();
        let name = tag(kind.tag_key()?)?;
        let (id, version) = match kind {
            SourceKind::EksNodeGroup => {
                (tag("eks:cluster-name").map_or(name.clone(), |c| format!("{c}/{name}")), None)
            }
            SourceKind::LaunchTemplate => (name, tag(LAUNCH_TEMPLATE_VERSION)),
            _ => (name, None),
        };
        Some(Self { kind, id, version })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            SourceKind::KarpenterNodePool => "Karpenter node pool",
            SourceKind::EksNodeGroup => "EKS node group",
            SourceKind::AutoScalingGroup => "Auto Scaling group",
            SourceKind::LaunchTemplate => "launch template",
            SourceKind::CloudformationStack => "CloudFormation stack",
            SourceKind::Image => "image",
            SourceKind::AccountDefaults => return f.write_str("account defaults"),
        };
        write!(f, "{kind} {}", Quoted(&self.id))?;
        match &self.version {
            Some(version) => write!(f, " version {}", Quoted(version)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::Words;

    #[test]
    fn the_first_source_that_a_tag_tells_is_the_source() {
        const ASG: (&str, &str) = ("aws:autoscaling:groupName", "web");
        const TEMPLATE: (&str, &str) = ("aws:ec2launchtemplate:id", "lt-1");
        const VERSION: (&str, &str) = ("aws:ec2launchtemplate:version", "7");
        const STACK: (&str, &str) = ("aws:cloudformation:stack-name", "shop");
        const GROUP: (&str, &str) = ("eks:nodegroup-name", "blue");
        const CLUSTER: (&str, &str) = ("eks:cluster-name", "prod");
        const POOL: (&str, &str) = ("karpenter.sh/nodepool", "default");
        type Expected = Option<(&'static str, &'static str, Option<&'static str>)>;
        let rows: [(&[(&str, &str)], Expected); 10] = [
            (&[], None),
            (&[("Name", "web"), ("aws:autoscaling:groupName", "")], None),
            (&[STACK], Some(("cloudformation-stack", "shop", None))),
            (&[STACK, TEMPLATE, VERSION], Some(("launch-template", "lt-1", Some("7")))),
            (&[TEMPLATE], Some(("launch-template", "lt-1", None))),
            (&[VERSION], None),
            (&[STACK, TEMPLATE, VERSION, ASG], Some(("auto-scaling-group", "web", None))),
            (&[ASG, GROUP, CLUSTER], Some(("eks-node-group", "prod/blue", None))),
            (&[ASG, GROUP], Some(("eks-node-group", "blue", None))),
            (&[ASG, GROUP, CLUSTER, POOL], Some(("karpenter-node-pool", "default", None))),
        ];
        for (tags, expected) in rows {
            let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let instance = Instance::try_from(Words { id: "i-01234567", tags, ..Words::default() }).unwrap();
            let source = Source::of(&instance);
            let found = source.as_ref().map(|s| (s.kind.as_str(), s.id.as_str(), s.version.as_deref()));
            assert_eq!(found, expected, "{:?}", instance.tags);
            if let Some(source) = source {
                let json = serde_json::to_value(&source).unwrap();
                assert_eq!(json["kind"], source.kind.as_str(), "one name in text and JSON");
            }
        }
    }

    #[test]
    fn hidden_characters_of_a_tag_are_escaped_in_text() {
        let source = Source { kind: SourceKind::Image, id: "\u{1b}[31m\u{202e}".to_owned(), version: None };
        assert_eq!(source.to_string(), r#"image "\u{1b}[31m\u{202e}""#);
    }
}
