//! The operations of AWS Organizations that list accounts: Organizations API reference, version 2016-11-28.

use serde_json::{Value, json};

use crate::error::ApiError;
use crate::organization::{Organization, OrganizationAccount, OrganizationalUnit, is_parent};
use crate::request::Request;

/// The maximum number of items on a page, which is also the default.
const PAGE: usize = 20;

/// When every account joined, in seconds since 1970: 2026-01-01T00:00:00Z.
const JOINED: u64 = 1_767_225_600;

/// Runs the operation of a call.
pub fn answer(organization: Option<&Organization>, request: &Request) -> Result<Value, ApiError> {
    let organization = organization.filter(|organization| organization.has(&request.account));
    let organization = organization.ok_or_else(not_in_use)?;
    let action = &*request.action;
    if action == "DescribeOrganization" {
        // Every account of an organization may call it.
        return Ok(json!({"Organization": described(organization)}));
    }
    if !organization.is_administrator(&request.account) {
        return Err(ApiError::denied_by_organizations());
    }
    match action {
        "ListRoots" => page(request, "Roots", &[&organization.root], |unit| root(organization, unit)),
        "ListAccounts" => {
            let accounts: Vec<_> = organization.accounts().collect();
            page(request, "Accounts", &accounts, |found| account(organization, found))
        }
        "ListAccountsForParent" => {
            let accounts: Vec<_> = parent(organization, request)?.accounts.iter().collect();
            page(request, "Accounts", &accounts, |found| account(organization, found))
        }
        "ListOrganizationalUnitsForParent" => {
            let units: Vec<_> = parent(organization, request)?.organizational_units.iter().collect();
            page(request, "OrganizationalUnits", &units, |found| unit(organization, found))
        }
        action => {
            let message = format!("The operation {action} is not supported by ec2-sim.");
            Err(ApiError::new(400, "UnknownOperationException", message))
        }
    }
}

/// The root or organizational unit that the call names.
fn parent<'o>(organization: &'o Organization, request: &Request) -> Result<&'o OrganizationalUnit, ApiError> {
    let id = request.get("ParentId").unwrap_or_default();
    if !is_parent(id) {
        return Err(invalid("ParentId is not the id of a root or an organizational unit."));
    }
    organization.unit(id).ok_or_else(|| {
        let message = format!("There is no root or organizational unit with the ParentId {id}.");
        ApiError::new(400, "ParentNotFoundException", message)
    })
}

/// A page of the items, and the token of the next one.
fn page<T>(
    request: &Request,
    member: &str,
    items: &[&T],
    write: impl Fn(&T) -> Value,
) -> Result<Value, ApiError> {
    let most = match request.get("MaxResults").map(str::parse) {
        None => PAGE,
        Some(Ok(most @ 1..=PAGE)) => most,
        Some(_) => return Err(invalid("MaxResults must be 1 to 20.")),
    };
    let start = match request.get("NextToken") {
        None => 0,
        Some(token) => token
            .strip_prefix(TOKEN)
            .and_then(|start| start.parse().ok())
            .filter(|start| *start < items.len())
            .ok_or_else(|| invalid("NextToken is not that of a previous response."))?,
    };
    let end = (start + most).min(items.len());
    let mut answer = json!({});
    answer[member] = items[start..end].iter().map(|item| write(item)).collect();
    if end < items.len() {
        answer["NextToken"] = format!("{TOKEN}{end}").into();
    }
    Ok(answer)
}

/// The prefix of a pagination token. The rest is a position.
const TOKEN: &str = "sim-";

fn arn(organization: &Organization, resource: &str) -> String {
    format!("arn:aws:organizations::{}:{resource}", organization.management_account)
}

fn described(organization: &Organization) -> Value {
    let (id, management) = (&organization.id, &organization.management_account);
    json!({
        "Id": id, "Arn": arn(organization, &format!("organization/{id}")), "FeatureSet": "ALL",
        "MasterAccountId": management, "MasterAccountEmail": email(management),
        "MasterAccountArn": arn(organization, &format!("account/{id}/{management}")),
    })
}

fn root(organization: &Organization, OrganizationalUnit { id, name, .. }: &OrganizationalUnit) -> Value {
    let arn = arn(organization, &format!("root/{}/{id}", organization.id));
    json!({"Id": id, "Arn": arn, "Name": or(name, "Root"), "PolicyTypes": []})
}

fn unit(organization: &Organization, OrganizationalUnit { id, name, .. }: &OrganizationalUnit) -> Value {
    let arn = arn(organization, &format!("ou/{}/{id}", organization.id));
    json!({"Id": id, "Arn": arn, "Name": or(name, id)})
}

/// The name, or another one if it is empty.
fn or<'n>(name: &'n str, other: &'n str) -> &'n str {
    if name.is_empty() { other } else { name }
}

fn account(
    organization: &Organization,
    OrganizationAccount { id, name, state }: &OrganizationAccount,
) -> Value {
    json!({
        "Id": id, "Arn": arn(organization, &format!("account/{}/{id}", organization.id)), "Email": email(id),
        "Name": or(name, &format!("account-{id}")), "Status": state.status(), "State": state.name(),
        "JoinedMethod": "CREATED", "JoinedTimestamp": JOINED,
    })
}

fn email(account: &str) -> String {
    format!("aws+{account}@example.com")
}

fn not_in_use() -> ApiError {
    let message = "Your account is not a member of an organization.";
    ApiError::new(400, "AWSOrganizationsNotInUseException", message)
}

fn invalid(message: &str) -> ApiError {
    ApiError::new(400, "InvalidInputException", message)
}
