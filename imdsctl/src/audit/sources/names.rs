//! Whether AWS or Kubernetes could have given a name. Whoever may tag an instance writes some of the tags that name its
//! source, and must not be able to put anything else into a command.

use imds_core::source::{Source, SourceKind};

/// Returns whether the source's name, and its version, have the form of such a name.
pub fn is_valid(source: &Source) -> bool {
    let version = source.version.as_deref();
    let id = source.id.as_str();
    version.is_none_or(is_version)
        && match source.kind {
            SourceKind::KarpenterNodePool => is_subdomain(id),
            SourceKind::EksNodeGroup => match id.split_once('/') {
                Some((cluster, group)) => is_eks_name(cluster) && is_eks_name(group),
                None => is_eks_name(id),
            },
            SourceKind::AutoScalingGroup => is_group_name(id),
            SourceKind::LaunchTemplate => is_id(id, "lt-"),
            SourceKind::CloudformationStack => is_stack_name(id),
            SourceKind::Image => is_id(id, "ami-"),
            SourceKind::AccountDefaults => true,
        }
}

/// The number of a launch template's version.
fn is_version(text: &str) -> bool {
    (1..=18).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_id(text: &str, prefix: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.strip_prefix(prefix).is_some_and(|rest| (1..=32).contains(&rest.len()) && rest.bytes().all(is_plain))
}

/// CreateAutoScalingGroup, `AutoScalingGroupName`: ASCII without a colon. Older groups have spaces. Without a colon,
/// the AWS CLI cannot take the name for the URL of a file to read.
fn is_group_name(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b':')
}

/// CreateNodegroup, `clusterName`: letters, digits, hyphens and underscores.
fn is_eks_name(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    (1..=100).contains(&text.len()) && !text.starts_with(['-', '_']) && text.bytes().all(is_plain)
}

/// CreateStack, `StackName`: letters, digits and hyphens, a letter first.
fn is_stack_name(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The name of a Kubernetes object, RFC 1123: lowercase letters, digits, hyphens and dots.
fn is_subdomain(text: &str) -> bool {
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 253
        && text.starts_with(is_end)
        && text.ends_with(is_end)
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_exist_are_put_into_commands() {
        use SourceKind::*;
        let long = "a".repeat(256);
        let rows = [
            (KarpenterNodePool, "default", None, true),
            (KarpenterNodePool, "gpu-pool.v2", None, true),
            (KarpenterNodePool, "Default", None, false),
            (KarpenterNodePool, "-o", None, false),
            (KarpenterNodePool, "a b", None, false),
            (KarpenterNodePool, "a/b", None, false),
            (KarpenterNodePool, "", None, false),
            (EksNodeGroup, "prod/blue_1", None, true),
            (EksNodeGroup, "blue", None, true),
            (EksNodeGroup, "prod/a/b", None, false),
            (EksNodeGroup, "/blue", None, false),
            (EksNodeGroup, "prod/$(id)", None, false),
            (EksNodeGroup, "prod/--help", None, false),
            (AutoScalingGroup, "web (1) it's $HOME; \"x\"", None, true),
            (AutoScalingGroup, "--endpoint-url=x", None, true),
            (AutoScalingGroup, "file:///etc/passwd", None, false),
            (AutoScalingGroup, "a\nb", None, false),
            (AutoScalingGroup, "\u{1b}[31m", None, false),
            (AutoScalingGroup, "é", None, false),
            (AutoScalingGroup, &long, None, false),
            (LaunchTemplate, "lt-0123456789abcdef0", Some("7"), true),
            (LaunchTemplate, "lt-0123456789abcdef0", None, true),
            (LaunchTemplate, "lt-0123456789abcdef0", Some("$Latest"), false),
            (LaunchTemplate, "lt-0123456789abcdef0", Some("7;id"), false),
            (LaunchTemplate, "lt-0123456789abcdef0", Some("7777777777777777777"), false),
            (LaunchTemplate, "lt-1,Version=3", Some("7"), false),
            (LaunchTemplate, "web", Some("7"), false),
            (CloudformationStack, "shop-1", None, true),
            (CloudformationStack, "1-shop", None, false),
            (CloudformationStack, "shop/1", None, false),
            (Image, "ami-0123456789abcdef0", None, true),
            (Image, "ami-", None, false),
            (AccountDefaults, "", None, true),
        ];
        for (kind, id, version, expected) in rows {
            let source = Source { kind, id: id.to_owned(), version: version.map(str::to_owned) };
            assert_eq!(is_valid(&source), expected, "{source:?}");
        }
    }
}
