//! STS's AssumeRole, and calls made with its sessions.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod wire;

use std::time::Duration;

use ec2_sim::{Ec2Sim, Fault, FaultKind, Launch, Settings};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use wire::{ACCOUNT, MODIFY, REGION, call, call_at, code, http, ids, start};

const MEMBER: &str = "444455556666";
const OTHER: &str = "777788889999";
const DESCRIBE: &str = "Action=DescribeInstances";

fn role(account: &str) -> String {
    format!("arn:aws:iam::{account}:role/security/Guard")
}

fn assuming(account: &str) -> String {
    format!("Action=AssumeRole&Version=2011-06-15&RoleArn={}&RoleSessionName=sweep", role(account))
}

/// The text of the first element with this name.
fn element<'a>(answer: &'a str, name: &str) -> &'a str {
    let found = answer.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once("</"));
    found.unwrap_or_else(|| panic!("no {name} in {answer}")).0
}

/// The access key of a new session in the account.
async fn session(sim: &Ec2Sim, account: &str) -> String {
    let (status, answer) = call(sim, &assuming(account)).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    element(&answer, "AccessKeyId").to_owned()
}

/// The status and error code of a call that is signed with the key.
async fn code_with(sim: &Ec2Sim, key: &str, body: &str) -> (u16, String) {
    let (status, answer) = call_at(sim, key, REGION, body).await.unwrap();
    (status, if status == 200 { String::new() } else { element(&answer, "Code").to_owned() })
}

/// The session's expiration according to the response.
fn expiration(answer: &str) -> OffsetDateTime {
    OffsetDateTime::parse(element(answer, "Expiration"), &Rfc3339).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "compared with times of the simulator's clock")]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

#[tokio::test]
async fn responses_have_the_format_of_sts() {
    let sim = start(Settings::default()).await;
    for (asked, seconds) in [("", 3600), ("&DurationSeconds=900", 900), ("&DurationSeconds=43200", 43_200)] {
        let before = now();
        let (status, answer) = call(&sim, &format!("{}{asked}", assuming(MEMBER))).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        let [key, secret, token, expires, id, request] =
            ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration", "AssumedRoleId", "RequestId"]
                .map(|name| element(&answer, name));
        let expected = format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
             <AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>\
             <SessionToken>{token}</SessionToken><Expiration>{expires}</Expiration></Credentials>\
             <AssumedRoleUser><AssumedRoleId>{id}</AssumedRoleId>\
             <Arn>arn:aws:sts::{MEMBER}:assumed-role/Guard/sweep</Arn></AssumedRoleUser></AssumeRoleResult>\
             <ResponseMetadata><RequestId>{request}</RequestId></ResponseMetadata></AssumeRoleResponse>"
        );
        assert_eq!(answer, expected);
        let of_key = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
        assert!(key.starts_with("ASIA") && key.len() == 20 && key.bytes().all(of_key), "{key}");
        assert!(id.starts_with("AROA") && id.len() == 27 && id.ends_with(":sweep"), "{id}");
        assert_eq!(secret.len(), 40);
        let lasts = (expiration(&answer) - before).as_seconds_f64() - f64::from(seconds);
        assert!((-0.1..5.0).contains(&lasts), "{asked:?}: {lasts} s away");
    }
    assert_ne!(session(&sim, MEMBER).await, session(&sim, MEMBER).await, "each session has its own key");
}

#[tokio::test]
async fn a_session_acts_in_its_roles_account_and_is_recorded() {
    let sim = start(Settings::default()).await;
    let launched =
        [MEMBER, OTHER].map(|account| sim.account_region(account, REGION).launch(Launch::default()));
    let keys = [session(&sim, MEMBER).await, session(&sim, OTHER).await];
    let assumed = sim.calls();
    assert_eq!((&*assumed[0].action, &*assumed[0].account), ("AssumeRole", ACCOUNT), "the caller's account");
    assert_eq!((&assumed[0].role, &assumed[0].parameters["RoleArn"]), (&None, &role(MEMBER)));
    for (at, account) in [MEMBER, OTHER].into_iter().enumerate() {
        let (_, answer) = call_at(&sim, &keys[at], REGION, DESCRIBE).await.unwrap();
        assert_eq!(ids(&answer), launched[at], "{account}");
        assert_eq!(element(&answer, "ownerId"), account);
        let modify = format!("Action={MODIFY}&InstanceId={}&HttpTokens=required", launched[1 - at][0]);
        let refused = (400, "InvalidInstanceID.NotFound".to_owned());
        assert_eq!(code_with(&sim, &keys[at], &modify).await, refused, "{account}: the other's instance");
        let recorded = sim.calls().pop().unwrap();
        assert_eq!((&*recorded.account, recorded.role), (account, Some(role(account))));
        assert_eq!(recorded.session_name.as_deref(), Some("sweep"), "{account}");
    }
    call(&sim, DESCRIBE).await.unwrap();
    assert_eq!(sim.calls().pop().unwrap().role, None, "a call without a session");
}

#[tokio::test]
async fn the_record_over_http_names_role_and_session() {
    let sim = start(Settings::default()).await;
    let key = session(&sim, MEMBER).await;
    call_at(&sim, &key, REGION, &assuming(OTHER)).await.unwrap();
    let (_, calls) = http(&sim, "GET", "/_sim/calls", "", "").await.unwrap();
    let calls: Value = serde_json::from_str(&calls).unwrap();
    assert_eq!(
        (calls[0].get("role"), calls[0].get("sessionName")),
        (None, None),
        "omitted without a session"
    );
    let chained = ["account", "role", "sessionName"].map(|name| &calls[1][name]);
    assert_eq!(chained, [&json!(MEMBER), &json!(role(MEMBER)), &json!("sweep")], "one role assumes another");
}

#[tokio::test]
async fn a_session_ends_at_its_expiration_and_can_be_renewed() {
    let lives = Duration::from_secs(1);
    let sim = start(Settings { session_duration: Some(lives), ..Settings::default() }).await;
    let before = now();
    let (_, answer) = call(&sim, &assuming(MEMBER)).await.unwrap();
    let (key, expires) = (element(&answer, "AccessKeyId"), expiration(&answer));
    let lasts = expires - before;
    assert!(lasts > lives / 2 && lasts < 10 * lives, "the expiration is the actual one: {lasts}");
    assert_eq!(code_with(&sim, key, DESCRIBE).await.0, 200);
    tokio::time::sleep((expires - now()).try_into().unwrap_or_default()).await;
    sim.inject(Fault::new(FaultKind::Throttle).times(1));
    let modify = format!("Action={MODIFY}&InstanceId=i-0123456789abcdef0&HttpTokens=required");
    for body in [&modify, DESCRIBE] {
        assert_eq!(code_with(&sim, key, body).await, (400, "RequestExpired".to_owned()), "{body}");
    }
    assert!(sim.take_events().is_empty(), "CloudTrail does not record calls of unknown callers");
    let expired = sim.calls().pop().unwrap();
    assert_eq!((expired.code.as_deref(), expired.role), (Some("RequestExpired"), Some(role(MEMBER))));
    assert_eq!(expired.fault, None, "faults do not apply to refused sessions");
    let (_, answer) = call_at(&sim, key, REGION, &assuming(OTHER)).await.unwrap();
    assert!(answer.contains("<Type>Sender</Type><Code>RequestExpired</Code>"), "{answer}");
    sim.clear_faults();
    let renewed = session(&sim, MEMBER).await;
    assert_eq!(code_with(&sim, &renewed, DESCRIBE).await.0, 200);
}

#[tokio::test]
async fn unknown_sessions_are_refused() {
    let sim = start(Settings::default()).await;
    let key = session(&sim, MEMBER).await;
    http(&sim, "POST", "/_sim/reset", "", "").await.unwrap();
    for key in [&*key, "ASIAIOSFODNN7EXAMPLE"] {
        let refused = (401, "AuthFailure".to_owned());
        assert_eq!(code_with(&sim, key, DESCRIBE).await, refused, "{key}");
        assert_eq!(code_with(&sim, key, &assuming(MEMBER)).await, refused, "{key}");
    }
    assert!(sim.calls().is_empty(), "calls of unknown callers are not recorded");
}

#[tokio::test]
async fn invalid_parameters_are_refused_as_by_sts() {
    let sim = start(Settings::default()).await;
    let arn = role(MEMBER);
    let named = |name: &str| format!("Action=AssumeRole&RoleArn={arn}&RoleSessionName={name}");
    let of = |arn: &str| format!("Action=AssumeRole&RoleArn={arn}&RoleSessionName=sweep");
    let lasting = |seconds: &str| format!("{}&DurationSeconds={seconds}", named("sweep"));
    for (body, is_valid) in [
        (of("arn:aws:iam::444455556666:user/Guard"), false),
        (of("arn:aws:iam::4444:role/Guard"), false),
        (of("Guard%00%3Cx%3E"), false),
        ("Action=AssumeRole&RoleSessionName=sweep".to_owned(), false),
        (format!("Action=AssumeRole&RoleArn={arn}"), false),
        (named("a"), false),
        (named("ab"), true),
        (named(&"a".repeat(64)), true),
        (named(&"a".repeat(65)), false),
        (named("a+b"), false), // Decodes to a space.
        (named("a_%2B=,.@-"), true),
        (named("%C3%A9%C3%A9"), false),
        (lasting("899"), false),
        (lasting("43201"), false),
        (lasting("-900"), false),
        (lasting("1h"), false),
        (lasting(""), false),
    ] {
        let (status, answer) = call(&sim, &body).await.unwrap();
        let form = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>\
                    <Type>Sender</Type><Code>ValidationError</Code><Message>";
        let is_refused = status == 400 && answer.starts_with(form) && answer.contains("</Error><RequestId>");
        assert_eq!((status == 200, is_refused), (is_valid, !is_valid), "{body}: {answer}");
    }
}

#[tokio::test]
async fn a_fault_of_assume_role_matches_the_account_of_the_role() {
    let sim = start(Settings::default()).await;
    let error =
        FaultKind::Error { code: "RegionDisabledException".into(), status: 403, message: "no".into() };
    for (kind, status, expected) in [
        (FaultKind::Deny, 403, "<Type>Sender</Type><Code>AccessDenied</Code>"),
        (FaultKind::Throttle, 400, "<Type>Sender</Type><Code>Throttling</Code>"),
        (FaultKind::ServerError, 500, "<Type>Receiver</Type><Code>InternalFailure</Code>"),
        (error, 403, "<Type>Sender</Type><Code>RegionDisabledException</Code><Message>no</Message>"),
    ] {
        let name = format!("{kind:?}");
        sim.inject(Fault::new(kind).on("AssumeRole").at(MEMBER, REGION));
        let (found, answer) = call(&sim, &assuming(MEMBER)).await.unwrap();
        assert!(found == status && answer.contains(expected), "{name}: {found} {answer}");
        assert!(sim.calls().pop().unwrap().fault.is_some(), "{name}");
        session(&sim, OTHER).await;
        sim.clear_faults();
    }
    sim.inject(Fault::new(FaultKind::Deny).at(ACCOUNT, REGION));
    let key = session(&sim, MEMBER).await;
    assert_eq!(code_with(&sim, &key, DESCRIBE).await.0, 200, "in the member's account");
    assert_eq!(code(&sim, DESCRIBE).await.1, "UnauthorizedOperation", "in the caller's account");
}

#[tokio::test]
async fn a_denial_names_the_caller() {
    let sim = start(Settings::default()).await;
    let key = session(&sim, MEMBER).await;
    sim.inject(Fault::new(FaultKind::Deny).on("AssumeRole"));
    for (key, caller) in [
        (ACCOUNT, format!("arn:aws:iam::{ACCOUNT}:user/someone")),
        (&key, format!("arn:aws:sts::{MEMBER}:assumed-role/Guard/sweep")),
    ] {
        let (_, answer) = call_at(&sim, key, REGION, &assuming(OTHER)).await.unwrap();
        let resource = role(OTHER);
        let expected =
            format!("User: {caller} is not authorized to perform: sts:AssumeRole on resource: {resource}");
        assert_eq!(element(&answer, "Message"), expected);
    }
}

#[tokio::test]
async fn events_name_the_session_that_called() {
    let sim = start(Settings::default()).await;
    let id = &sim.account_region(MEMBER, REGION).launch(Launch::default())[0];
    let key = session(&sim, MEMBER).await;
    sim.take_events();
    let modify = format!("Action={MODIFY}&InstanceId={id}&HttpTokens=required");
    call_at(&sim, &key, REGION, &modify).await.unwrap();
    call_at(&sim, MEMBER, REGION, &modify).await.unwrap();
    let events = sim.take_events();
    let mut identity = events[0]["detail"]["userIdentity"].clone();
    let context = identity["sessionContext"].take();
    let issuer = &context["sessionIssuer"];
    let role_id = issuer["principalId"].as_str().unwrap();
    assert_eq!(
        identity,
        json!({
            "type": "AssumedRole", "principalId": format!("{role_id}:sweep"), "accountId": MEMBER, "accessKeyId": key,
            "arn": format!("arn:aws:sts::{MEMBER}:assumed-role/Guard/sweep"), "sessionContext": null,
        })
    );
    assert_eq!(
        *issuer,
        json!({
            "type": "Role", "principalId": role_id, "arn": role(MEMBER), "accountId": MEMBER, "userName": "Guard",
        })
    );
    assert_eq!(events[0]["account"], MEMBER);
    assert_eq!(events[1]["detail"]["userIdentity"]["type"], "IAMUser", "without a session");
}
