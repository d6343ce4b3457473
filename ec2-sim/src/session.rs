//! Roles and their sessions.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

/// The maximum length of a role's ARN: STS API reference, AssumeRole.
const LONGEST_ARN: usize = 2048;

/// A role, parsed from its ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub arn: String,
    pub partition: String,
    pub account: String,
    /// The name without the path.
    pub name: String,
}

impl Role {
    /// Parses `arn:PARTITION:iam::ACCOUNT:role/[PATH/]NAME`; `None` for anything else.
    pub fn from_arn(arn: &str) -> Option<Self> {
        let ["arn", partition, "iam", "", account, resource] = arn.splitn(6, ':').collect::<Vec<_>>()[..]
        else {
            return None;
        };
        let named = resource.strip_prefix("role/")?;
        let (has_path, name) = match named.rsplit_once('/') {
            Some((path, name)) => (!path.is_empty() && path.bytes().all(|b| b.is_ascii_graphic()), name),
            None => (true, named),
        };
        let has_partition = partition == "aws" || partition.starts_with("aws-");
        let is_role = has_partition && is_account(account) && has_path && is_name(name, 1..=64);
        (is_role && arn.len() <= LONGEST_ARN).then(|| Self {
            arn: arn.to_owned(),
            partition: partition.to_owned(),
            account: account.to_owned(),
            name: name.to_owned(),
        })
    }

    /// IAM's id of the role, which depends only on the ARN.
    pub fn id(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.arn.hash(&mut hasher);
        format!("AROA{}", characters(&mut fastrand::Rng::with_seed(hasher.finish()), 17))
    }
}

/// Whether the text is an account id, which is 12 digits.
pub fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether the text has a length in this range and only characters that IAM allows in names.
pub fn is_name(text: &str, length: RangeInclusive<usize>) -> bool {
    length.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b))
}

/// Sessions by their access keys.
pub type Sessions = HashMap<String, Arc<Session>>;

/// A session of an assumed role.
#[derive(Debug, Clone)]
pub struct Session {
    pub role: Role,
    /// The `RoleSessionName`.
    pub name: String,
    pub access_key: String,
    pub created: OffsetDateTime,
    /// When calls begin to be refused. In whole milliseconds, which is the precision of the response.
    pub expires: OffsetDateTime,
}

impl Session {
    /// Begins a session. Its access key does not depend on the seed, so that keys from before a reset stay unknown.
    pub fn begin(role: Role, name: String, lives: Duration, now: OffsetDateTime) -> Self {
        let lives = time::Duration::try_from(lives).unwrap_or(time::Duration::MAX);
        Self {
            role,
            name,
            access_key: format!("ASIA{}", random(16)),
            created: now,
            expires: now.saturating_add(lives).truncate_to_millisecond(),
        }
    }

    /// The session's ARN, which does not contain the role's path.
    pub fn arn(&self) -> String {
        let Role { partition, account, name, .. } = &self.role;
        format!("arn:{partition}:sts::{account}:assumed-role/{name}/{}", self.name)
    }

    /// `ROLE-ID:NAME`: STS's `AssumedRoleId`, and CloudTrail's `principalId`.
    pub fn id(&self) -> String {
        format!("{}:{}", self.role.id(), self.name)
    }

    pub fn is_expired(&self, now: OffsetDateTime) -> bool {
        self.expires <= now
    }
}

/// Random characters from A-Z and 0-9.
pub fn random(count: usize) -> String {
    characters(&mut fastrand::Rng::new(), count)
}

fn characters(chance: &mut fastrand::Rng, count: usize) -> String {
    (0..count).map(|_| chance.digit(36).to_ascii_uppercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_read_from_its_arn() {
        for (arn, expected) in [
            ("arn:aws:iam::111122223333:role/Guard", Some(("aws", "111122223333", "Guard"))),
            ("arn:aws-cn:iam::111122223333:role/a/b/x+=,.@-_", Some(("aws-cn", "111122223333", "x+=,.@-_"))),
            ("arn:aws:iam::111122223333:role/a:b/Guard", Some(("aws", "111122223333", "Guard"))),
            ("arn:azure:iam::111122223333:role/Guard", None),
            ("arn:aws:sts::111122223333:role/Guard", None),
            ("arn:aws:iam:us-east-1:111122223333:role/Guard", None),
            ("arn:aws:iam::11112222333:role/Guard", None),
            ("arn:aws:iam::11112222333x:role/Guard", None),
            ("arn:aws:iam::111122223333:user/Guard", None),
            ("arn:aws:iam::111122223333:role/", None),
            ("arn:aws:iam::111122223333:role/a/", None),
            ("arn:aws:iam::111122223333:role//Guard", None),
            ("arn:aws:iam::111122223333:role/a b/Guard", None),
            ("arn:aws:iam::111122223333:role/Gu rd", None),
            ("arn:aws:iam::111122223333", None),
            ("Guard", None),
            ("", None),
        ] {
            let role = Role::from_arn(arn);
            let read = role.as_ref().map(|role| (&*role.partition, &*role.account, &*role.name));
            assert_eq!(read, expected, "{arn:?}");
        }
        let long = format!("arn:aws:iam::111122223333:role/{}/Guard", "a".repeat(LONGEST_ARN));
        assert_eq!(Role::from_arn(&long), None);
        let long = format!("arn:aws:iam::111122223333:role/{}", "a".repeat(65));
        assert_eq!(Role::from_arn(&long), None);
    }
}
