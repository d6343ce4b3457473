//! An organization of AWS Organizations: its root, its organizational units and its accounts.

use std::collections::HashSet;

use serde::Deserialize;

use crate::session::is_account;

/// An organization. The default has no account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Organization {
    /// Its id; `o-exampleorg` by default.
    pub id: String,
    /// The account id of the management account, which must be one of the accounts. It may make every call.
    pub management_account: String,
    /// The account ids of delegated administrators, which may make every call.
    pub delegated_administrators: Vec<String>,
    /// The root, whose id is `r-exam` by default.
    pub root: OrganizationalUnit,
}

impl Default for Organization {
    fn default() -> Self {
        Self {
            id: "o-exampleorg".to_owned(),
            management_account: String::new(),
            delegated_administrators: Vec::new(),
            root: OrganizationalUnit::default(),
        }
    }
}

/// An organizational unit, or the root. The default is an empty root.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct OrganizationalUnit {
    /// Its id: `ou-`, 4 to 32 characters from a-z and 0-9, `-`, and 8 to 32 of them; for a root `r-` and 4 to 32 of
    /// them.
    pub id: String,
    /// Its name; if empty, `Root` for a root and its id for an organizational unit.
    pub name: String,
    /// The accounts directly in it.
    pub accounts: Vec<OrganizationAccount>,
    /// The organizational units directly in it.
    pub organizational_units: Vec<OrganizationalUnit>,
}

impl Default for OrganizationalUnit {
    fn default() -> Self {
        Self {
            id: "r-exam".to_owned(),
            name: String::new(),
            accounts: Vec::new(),
            organizational_units: Vec::new(),
        }
    }
}

/// An account of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrganizationAccount {
    /// Its id, 12 digits.
    pub id: String,
    /// Its name; `account-ID` if empty.
    #[serde(default)]
    pub name: String,
    /// Its state; active by default.
    #[serde(default)]
    pub state: AccountState,
}

impl OrganizationAccount {
    /// An active account.
    pub fn new(id: &str) -> Self {
        Self { id: id.to_owned(), name: String::new(), state: AccountState::Active }
    }
}

/// The state of an account: Organizations user guide, "Monitor the state of your AWS accounts".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AccountState {
    /// `PENDING_ACTIVATION`.
    PendingActivation,
    /// `ACTIVE`.
    #[default]
    Active,
    /// `SUSPENDED`.
    Suspended,
    /// `PENDING_CLOSURE`.
    PendingClosure,
    /// `CLOSED`.
    Closed,
}

impl AccountState {
    /// The member `State` of an account.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PendingActivation => "PENDING_ACTIVATION",
            Self::Active => "ACTIVE",
            Self::Suspended => "SUSPENDED",
            Self::PendingClosure => "PENDING_CLOSURE",
            Self::Closed => "CLOSED",
        }
    }

    /// The older member `Status`, which has fewer values. AWS does not document how the two correspond.
    pub(crate) fn status(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::PendingClosure => "PENDING_CLOSURE",
            Self::PendingActivation | Self::Suspended | Self::Closed => "SUSPENDED",
        }
    }
}

/// Why an organization is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrganization {
    /// An id has another format than those of AWS.
    #[error("{0:?} is not the id of an account, a root or an organizational unit")]
    Id(String),
    /// An id occurs more than once.
    #[error("{0} occurs more than once")]
    Twice(String),
    /// The management account is not one of the accounts.
    #[error("the management account {0:?} is not one of the accounts")]
    Management(String),
}

impl Organization {
    /// Checks that the ids are valid and unique, and that the management account is one of the accounts.
    pub(crate) fn check(&self) -> Result<(), InvalidOrganization> {
        let units = self.units();
        let mut seen = HashSet::new();
        for (at, unit) in units.iter().enumerate() {
            let is_valid = if at == 0 { is_root(&unit.id) } else { is_unit(&unit.id) };
            let accounts = unit.accounts.iter().map(|account| (&account.id, is_account(&account.id)));
            for (id, is_valid) in std::iter::once((&unit.id, is_valid)).chain(accounts) {
                if !is_valid {
                    return Err(InvalidOrganization::Id(id.clone()));
                }
                if !seen.insert(id) {
                    return Err(InvalidOrganization::Twice(id.clone()));
                }
            }
        }
        if self.has(&self.management_account) {
            Ok(())
        } else {
            Err(InvalidOrganization::Management(self.management_account.clone()))
        }
    }

    /// The root and every organizational unit. The root is the first.
    pub(crate) fn units(&self) -> Vec<&OrganizationalUnit> {
        let mut units = vec![&self.root];
        let mut at = 0;
        while let Some(unit) = units.get(at).copied() {
            units.extend(&unit.organizational_units);
            at += 1;
        }
        units
    }

    /// The root or organizational unit with this id.
    pub(crate) fn unit(&self, id: &str) -> Option<&OrganizationalUnit> {
        self.units().into_iter().find(|unit| unit.id == id)
    }

    /// Every account.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = &OrganizationAccount> {
        self.units().into_iter().flat_map(|unit| &unit.accounts)
    }

    /// Whether the account is one of the organization.
    pub(crate) fn has(&self, account: &str) -> bool {
        self.accounts().any(|found| found.id == account)
    }

    /// Whether the account may list what the organization has.
    pub(crate) fn is_administrator(&self, account: &str) -> bool {
        self.management_account == account || self.delegated_administrators.iter().any(|id| id == account)
    }
}

/// Whether the text is the id of a root or an organizational unit: API reference, "ListAccountsForParent".
pub(crate) fn is_parent(id: &str) -> bool {
    is_root(id) || is_unit(id)
}

fn is_root(id: &str) -> bool {
    id.strip_prefix("r-").is_some_and(|rest| is_word(rest, 4))
}

fn is_unit(id: &str) -> bool {
    let parts = id.strip_prefix("ou-").and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(root, unit)| is_word(root, 4) && is_word(unit, 8))
}

fn is_word(text: &str, least: usize) -> bool {
    (least..=32).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'z'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_formats_of_organizations() {
        for (id, expected) in [
            ("r-ab12", true),
            ("r-ab1", false),
            ("r-AB12", false),
            ("ou-ab12-12345678", true),
            ("ou-ab12-1234567", false),
            ("ou-ab1-12345678", false),
            ("ou-ab12", false),
            ("", false),
            ("111122223333", false),
        ] {
            assert_eq!(is_parent(id), expected, "{id:?}");
        }
    }

    #[test]
    fn an_organization_is_checked() {
        let accounts = |ids: &[&str]| ids.iter().map(|id| OrganizationAccount::new(id)).collect::<Vec<_>>();
        let unit = |id: &str, ids: &[&str]| OrganizationalUnit {
            id: id.to_owned(),
            accounts: accounts(ids),
            ..OrganizationalUnit::default()
        };
        let organization = |units: Vec<OrganizationalUnit>| Organization {
            management_account: "111122223333".to_owned(),
            root: OrganizationalUnit {
                accounts: accounts(&["111122223333"]),
                organizational_units: units,
                ..OrganizationalUnit::default()
            },
            ..Organization::default()
        };
        let (member, ou) = ("444455556666", "ou-exam-11111111");
        let twice = |id: &str| Err(InvalidOrganization::Twice(id.to_owned()));
        let invalid = |id: &str| Err(InvalidOrganization::Id(id.to_owned()));
        for (units, expected) in [
            (vec![], Ok(())),
            (vec![unit(ou, &[member])], Ok(())),
            (vec![unit(ou, &[member, member])], twice(member)),
            (vec![unit(ou, &[]), unit(ou, &[])], twice(ou)),
            (vec![unit("r-exam", &[])], invalid("r-exam")),
            (vec![unit(ou, &["4444"])], invalid("4444")),
        ] {
            assert_eq!(organization(units.clone()).check(), expected, "{units:?}");
        }
        let none = InvalidOrganization::Management(String::new());
        assert_eq!(Organization::default().check(), Err(none));
    }
}
