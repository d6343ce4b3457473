//! The operations of AWS Organizations that list accounts.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod wire;

use std::io::ErrorKind;
use std::time::Duration;

use ec2_sim::{
    AccountState, Ec2Sim, Fault, FaultKind, Organization, OrganizationAccount, OrganizationalUnit, Settings,
};
use serde_json::{Value, json};

use wire::{ACCOUNT, REGION, authorization, call, control, http, organizations, start, texts};

const PROD: &str = "ou-exam-11111111";
const WEB: &str = "ou-exam-22222222";
const MEMBER: &str = "444455556666";

fn unit(id: &str, accounts: Vec<OrganizationAccount>, units: Vec<OrganizationalUnit>) -> OrganizationalUnit {
    OrganizationalUnit { id: id.to_owned(), accounts, organizational_units: units, ..Default::default() }
}

/// The id of the account with this number.
fn id(number: u32) -> String {
    format!("2222{number:08}")
}

/// The management account and a member in the root, 41 accounts in `PROD`, and a closed one in `WEB` below it.
fn organization() -> Organization {
    let many = (0..41).map(|number| OrganizationAccount::new(&id(number))).collect();
    let closed = OrganizationAccount { state: AccountState::Closed, ..OrganizationAccount::new(&id(99)) };
    let prod = unit(PROD, many, vec![unit(WEB, vec![closed], vec![])]);
    let accounts = [ACCOUNT, MEMBER].map(OrganizationAccount::new).to_vec();
    Organization {
        management_account: ACCOUNT.to_owned(),
        delegated_administrators: vec![id(0)],
        root: unit("r-exam", accounts, vec![prod]),
        ..Organization::default()
    }
}

async fn with_organization() -> Ec2Sim {
    let sim = start(Settings::default()).await;
    sim.set_organization(organization());
    sim
}

/// All pages of a list: the sizes of the pages, and the items.
async fn pages(sim: &Ec2Sim, operation: &str, member: &str, mut input: Value) -> (Vec<usize>, Vec<Value>) {
    let (mut sizes, mut items) = (Vec::new(), Vec::new());
    loop {
        let (status, answer) = organizations(sim, ACCOUNT, operation, &input).await;
        assert_eq!(status, 200, "{operation} {input}: {answer}");
        let page = answer[member].as_array().unwrap();
        sizes.push(page.len());
        items.extend(page.clone());
        match answer.get("NextToken") {
            Some(token) => input["NextToken"] = token.clone(),
            None => return (sizes, items),
        }
    }
}

fn ids(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["Id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn accounts_are_listed_in_pages() {
    let sim = with_organization().await;
    let (sizes, items) = pages(&sim, "ListAccounts", "Accounts", json!({})).await;
    assert_eq!(sizes, [20, 20, 4]);
    let mut found = ids(&items);
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 44, "each account once");
    let account = |id: &str| items.iter().find(|item| item["Id"] == *id).unwrap();
    let expected = json!({
        "Id": MEMBER, "Arn": format!("arn:aws:organizations::{ACCOUNT}:account/o-exampleorg/{MEMBER}"),
        "Email": format!("aws+{MEMBER}@example.com"), "Name": format!("account-{MEMBER}"), "Status": "ACTIVE",
        "State": "ACTIVE", "JoinedMethod": "CREATED", "JoinedTimestamp": 1_767_225_600,
    });
    assert_eq!(*account(MEMBER), expected);
    assert_eq!(
        (&account(&id(99))["State"], &account(&id(99))["Status"]),
        (&json!("CLOSED"), &json!("SUSPENDED"))
    );
    let (sizes, _) = pages(&sim, "ListAccounts", "Accounts", json!({"MaxResults": 15})).await;
    assert_eq!(sizes, [15, 15, 14]);
    let recorded = sim.calls().pop().unwrap();
    assert_eq!(
        (&*recorded.action, &*recorded.account, recorded.status),
        ("ListAccounts", ACCOUNT, Some(200))
    );
    assert_eq!((&*recorded.parameters["MaxResults"], &*recorded.parameters["NextToken"]), ("15", "sim-30"));
}

#[tokio::test]
async fn parents_have_their_own_accounts_and_units() {
    let sim = with_organization().await;
    let (_, roots) = pages(&sim, "ListRoots", "Roots", json!({})).await;
    assert_eq!((ids(&roots), &roots[0]["Name"]), (vec!["r-exam"], &json!("Root")));
    for (parent, units, accounts) in
        [("r-exam", vec![PROD], vec![2]), (PROD, vec![WEB], vec![20, 20, 1]), (WEB, vec![], vec![1])]
    {
        let input = json!({"ParentId": parent});
        let (_, found) =
            pages(&sim, "ListOrganizationalUnitsForParent", "OrganizationalUnits", input.clone()).await;
        assert_eq!(ids(&found), units, "{parent}");
        let (sizes, _) = pages(&sim, "ListAccountsForParent", "Accounts", input).await;
        assert_eq!(sizes, accounts, "{parent}");
    }
    let (_, answer) = organizations(&sim, MEMBER, "DescribeOrganization", &json!({})).await;
    assert_eq!(
        (&answer["Organization"]["Id"], &answer["Organization"]["MasterAccountId"]),
        (&json!("o-exampleorg"), &json!(ACCOUNT))
    );
}

#[tokio::test]
async fn calls_are_refused_with_the_codes_of_organizations() {
    let sim = with_organization().await;
    let (list, of) = ("ListAccounts", "ListAccountsForParent");
    let outside = "999988887777";
    for (key, operation, input, expected) in [
        (outside, list, json!({}), "AWSOrganizationsNotInUseException"),
        (outside, "DescribeOrganization", json!({}), "AWSOrganizationsNotInUseException"),
        (MEMBER, list, json!({}), "AccessDeniedException"),
        (MEMBER, "ListRoots", json!({}), "AccessDeniedException"),
        (ACCOUNT, of, json!({"ParentId": "ou-exam-99999999"}), "ParentNotFoundException"),
        (ACCOUNT, of, json!({"ParentId": "r-none"}), "ParentNotFoundException"),
        (ACCOUNT, of, json!({"ParentId": "prod"}), "InvalidInputException"),
        (ACCOUNT, of, json!({}), "InvalidInputException"),
        (ACCOUNT, list, json!({"MaxResults": 0}), "InvalidInputException"),
        (ACCOUNT, list, json!({"MaxResults": 21}), "InvalidInputException"),
        (ACCOUNT, list, json!({"MaxResults": "many"}), "InvalidInputException"),
        (ACCOUNT, list, json!({"NextToken": "sim-44"}), "InvalidInputException"),
        (ACCOUNT, list, json!({"NextToken": "sim--1"}), "InvalidInputException"),
        (ACCOUNT, list, json!({"NextToken": ""}), "InvalidInputException"),
        (ACCOUNT, list, json!([]), "SerializationException"),
        (ACCOUNT, "CloseAccount", json!({}), "UnknownOperationException"),
        ("ASIAIOSFODNN7EXAMPLE", list, json!({}), "UnrecognizedClientException"),
    ] {
        let (status, answer) = organizations(&sim, key, operation, &input).await;
        assert_eq!((status, &answer["__type"]), (400, &json!(expected)), "{key} {operation} {input}");
        assert!(answer["Message"].is_string(), "{key} {operation} {input}: {answer}");
    }
    assert_eq!(organizations(&sim, &id(0), list, &json!({})).await.0, 200, "a delegated administrator");
    control(&sim, "reset", &json!({})).await;
    let (_, answer) = organizations(&sim, ACCOUNT, list, &json!({})).await;
    assert_eq!(answer["__type"], "AWSOrganizationsNotInUseException", "after a reset");
}

#[tokio::test]
async fn faults_apply() {
    let sim = with_organization().await;
    let error = FaultKind::Error {
        code: "ConcurrentModificationException".into(),
        status: 409,
        message: "no".into(),
    };
    for (kind, expected) in [
        (FaultKind::Deny, (400, "AccessDeniedException")),
        (FaultKind::Throttle, (400, "TooManyRequestsException")),
        (FaultKind::ServerError, (500, "ServiceException")),
        (error, (409, "ConcurrentModificationException")),
    ] {
        let fault = Fault::new(kind).on("ListAccountsForParent").with_parameter("ParentId", PROD);
        sim.inject(fault.at(ACCOUNT, REGION).times(1));
        assert_eq!(organizations(&sim, ACCOUNT, "ListRoots", &json!({})).await.0, 200, "another action");
        let call = async |parent: &str| {
            let (status, answer) =
                organizations(&sim, ACCOUNT, "ListAccountsForParent", &json!({"ParentId": parent})).await;
            (status, answer["__type"].as_str().unwrap_or_default().to_owned())
        };
        assert_eq!(call(WEB).await.0, 200, "another parameter");
        assert_eq!(call(PROD).await, (expected.0, expected.1.to_owned()));
        assert_eq!(sim.calls().pop().unwrap().code.as_deref(), Some(expected.1));
        assert_eq!(call(PROD).await.0, 200);
    }
    sim.inject(Fault::new(FaultKind::NotVisible));
    assert_eq!(organizations(&sim, ACCOUNT, "ListRoots", &json!({})).await.0, 200);
    assert_eq!(sim.calls().pop().unwrap().fault, None, "it is about instances");
    sim.inject(Fault::new(FaultKind::Hang(Some(Duration::from_millis(1)))).on("ListRoots"));
    let headers = authorization(ACCOUNT, REGION) + "X-Amz-Target: AWSOrganizationsV20161128.ListRoots\r\n";
    assert_eq!(http(&sim, "POST", "/", &headers, "{}").await, Err(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_session_expires_and_acts_in_its_account() {
    let sim = start(Settings { session_duration: Some(Duration::ZERO), ..Settings::default() }).await;
    sim.set_organization(organization());
    let assume =
        format!("Action=AssumeRole&RoleArn=arn:aws:iam::{ACCOUNT}:role/Audit&RoleSessionName=imdsctl");
    let (_, answer) = call(&sim, &assume).await.unwrap();
    let (status, answer) =
        organizations(&sim, texts(&answer, "AccessKeyId")[0], "ListAccounts", &json!({})).await;
    assert_eq!((status, &answer["__type"]), (400, &json!("ExpiredTokenException")));
}

#[tokio::test]
async fn a_control_sets_up_an_organization() {
    let sim = start(Settings::default()).await;
    let body = json!({
        "managementAccount": ACCOUNT, "delegatedAdministrators": [id(0)],
        "root": {"accounts": [{"id": ACCOUNT}, {"id": MEMBER}], "organizationalUnits": [{
            "id": PROD, "accounts": (0..41).map(|number| json!({"id": id(number)})).collect::<Vec<_>>(),
            "organizationalUnits": [{"id": WEB, "accounts": [{"id": id(99), "state": "CLOSED"}]}],
        }]},
    });
    assert_eq!(control(&sim, "organization", &body).await.0, 200);
    let set_up = pages(&sim, "ListAccounts", "Accounts", json!({})).await;
    sim.set_organization(organization());
    assert_eq!(pages(&sim, "ListAccounts", "Accounts", json!({})).await, set_up, "as the library does");
    for body in [
        json!({}),
        json!({"managementAccount": ACCOUNT}),
        json!({"managementAccount": ACCOUNT, "root": {"accounts": [{"id": ACCOUNT}, {"id": ACCOUNT}]}}),
        json!({"managementAccount": ACCOUNT, "root": {"accounts": [{"id": ACCOUNT, "state": "GONE"}]}}),
        json!({"managementAccount": ACCOUNT, "root": {"id": "r", "accounts": [{"id": ACCOUNT}]}}),
    ] {
        assert_eq!(control(&sim, "organization", &body).await.0, 400, "{body}");
    }
    assert_eq!(
        pages(&sim, "ListAccounts", "Accounts", json!({})).await,
        set_up,
        "refused ones change nothing"
    );
}
