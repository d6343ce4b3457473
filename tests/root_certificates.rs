//! The built function calls EC2 over TLS, with root certificates from the configured locations.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use ec2_sim::{Ec2Sim, Settings};
use serde_json::{Value, json};
use support::lambda::Lambda;
use support::*;

/// The function's response to a launch, and the warnings at its start.
async fn launched_over_tls(variables: &[(&str, &str)]) -> (Result<Value, Value>, Vec<String>) {
    let sim = Ec2Sim::start(Settings { apply_delay: Duration::ZERO, ..Settings::default() }).await.unwrap();
    let address = sim.endpoint().trim_start_matches("http://").parse().unwrap();
    let url = tls::in_front_of(address).await;
    let mut lambda = Lambda::start(&sim, &[&[("AWS_ENDPOINT_URL_EC2", &*url)], variables].concat()).await;
    let ids = sim.account_region(ACCOUNT, REGION).launch(imdsv1(1));
    let answer = lambda.invoke(launch_event(&ids), Duration::from_secs(60)).await.expect("in time");
    let of_start = |line: &Value| {
        (line["level"] == "WARN" && line.get("requestId").is_none()).then(|| line["message"].to_string())
    };
    (answer, lambda.log().iter().filter_map(of_start).collect())
}

fn bundle() -> String {
    format!("{}/authority.pem", tls::FOLDER)
}

#[tokio::test]
async fn a_file_or_a_folder_alone_is_enough() {
    let bundle = bundle();
    for variables in [
        &[("SSL_CERT_FILE", &*bundle)][..],
        &[("SSL_CERT_DIR", tls::FOLDER)],
        &[("SSL_CERT_FILE", ""), ("SSL_CERT_DIR", tls::FOLDER)],
    ] {
        let (answer, warnings) = launched_over_tls(variables).await;
        assert_eq!(answer.unwrap()["counts"], json!({"enforced": 1}), "{variables:?}");
        assert_eq!(warnings, Vec::<String>::new(), "{variables:?}");
    }
}

#[tokio::test]
async fn an_unreadable_file_causes_a_warning() {
    let variables = [("SSL_CERT_FILE", "/nowhere/roots.pem"), ("SSL_CERT_DIR", tls::FOLDER)];
    let (answer, warnings) = launched_over_tls(&variables).await;
    assert_eq!(answer.unwrap()["counts"], json!({"enforced": 1}));
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.contains("SSL_CERT_FILE") && warning.contains("/nowhere/roots.pem"), "{warning}");
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_trusted() {
    // None of these root certificates signed the server's certificate.
    let stranger = format!("{}/localhost.pem", tls::FOLDER);
    let (answer, _) = launched_over_tls(&[("SSL_CERT_FILE", &stranger)]).await;
    let error = answer.unwrap_err()["errorMessage"].to_string();
    assert!(error.contains("invalid peer certificate"), "{error}");
}
