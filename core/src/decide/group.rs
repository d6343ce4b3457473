//! The group that launched an instance.

use std::fmt;

use crate::instance::Instance;
use crate::source::{AUTO_SCALING_GROUP_TAG, LAUNCH_TEMPLATE_TAG};
use crate::text::Quoted;

/// What launches instances that are alike. It is known from tags that AWS alone can set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// The kind of group.
    pub kind: GroupKind,
    /// Its name or ID, the value of the tag.
    pub id: String,
}

/// The kinds of group. The first that an instance has a tag of is its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupKind {
    /// An Auto Scaling group.
    AutoScalingGroup,
    /// A launch template.
    LaunchTemplate,
}

impl GroupKind {
    /// The key of the tag that names the group.
    pub fn tag_key(self) -> &'static str {
        match self {
            Self::AutoScalingGroup => AUTO_SCALING_GROUP_TAG,
            Self::LaunchTemplate => LAUNCH_TEMPLATE_TAG,
        }
    }
}

impl Group {
    /// The group of the instance, if it has one.
    pub fn of(instance: &Instance) -> Option<Self> {
        let of_kind = |kind: GroupKind| Some(Self { kind, id: instance.tags.get(kind.tag_key())?.clone() });
        [GroupKind::AutoScalingGroup, GroupKind::LaunchTemplate].into_iter().find_map(of_kind)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            GroupKind::AutoScalingGroup => "Auto Scaling group",
            GroupKind::LaunchTemplate => "launch template",
        };
        write!(f, "{kind} {}", Quoted(&self.id))
    }
}
