//! STS's GetCallerIdentity.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod wire;

use ec2_sim::{Fault, FaultKind, Settings};

use wire::{ACCOUNT, REGION, call, call_at, start, texts};

const MEMBER: &str = "444455556666";
const IDENTITY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

#[tokio::test]
async fn users_and_sessions_learn_who_they_are() {
    let sim = start(Settings::default()).await;
    let (status, answer) = call(&sim, IDENTITY).await.unwrap();
    let request = texts(&answer, "RequestId")[0];
    let expected = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:iam::{ACCOUNT}:user/someone</Arn><UserId>AIDAEXAMPLE</UserId><Account>{ACCOUNT}</Account>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>{request}</RequestId></ResponseMetadata>\
         </GetCallerIdentityResponse>"
    );
    assert_eq!((status, &*answer), (200, &*expected));
    let assume =
        format!("Action=AssumeRole&RoleArn=arn:aws:iam::{MEMBER}:role/a/Audit&RoleSessionName=imdsctl");
    let (_, assumed) = call(&sim, &assume).await.unwrap();
    let key = texts(&assumed, "AccessKeyId")[0];
    let (_, answer) = call_at(&sim, key, REGION, IDENTITY).await.unwrap();
    let arn = format!("arn:aws:sts::{MEMBER}:assumed-role/Audit/imdsctl");
    assert_eq!((texts(&answer, "Arn"), texts(&answer, "Account")), (vec![&*arn], vec![MEMBER]));
    assert_eq!(texts(&answer, "UserId"), texts(&assumed, "AssumedRoleId"));
    let recorded = sim.calls().pop().unwrap();
    assert_eq!((&*recorded.action, &*recorded.account), ("GetCallerIdentity", MEMBER));
    assert_eq!(recorded.session_name.as_deref(), Some("imdsctl"));
}

#[tokio::test]
async fn faults_have_the_format_of_sts() {
    let sim = start(Settings::default()).await;
    for (kind, status, expected) in [
        (FaultKind::Deny, 403, "AccessDenied"),
        (FaultKind::Throttle, 400, "Throttling"),
        (FaultKind::ServerError, 500, "InternalFailure"),
    ] {
        sim.inject(Fault::new(kind).on("GetCallerIdentity").at(ACCOUNT, REGION).times(1));
        let (found, answer) = call(&sim, IDENTITY).await.unwrap();
        assert_eq!((found, texts(&answer, "Code")), (status, vec![expected]), "{answer}");
        assert!(answer.starts_with("<ErrorResponse"), "{answer}");
        if expected == "AccessDenied" {
            let message = format!(
                "User: arn:aws:iam::{ACCOUNT}:user/someone is not authorized to perform: sts:GetCallerIdentity"
            );
            assert_eq!(texts(&answer, "Message"), [message]);
        }
    }
    assert_eq!(call(&sim, IDENTITY).await.unwrap().0, 200);
}
