//! Only the calls: describes the instances of an event, requires tokens, and describes them again. No policy, no
//! checks, no log. The difference to the function is the function's own work.
#![allow(clippy::unwrap_used, reason = "a measurement ends by panicking")]

use aws_config::BehaviorVersion;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, HttpTokensState};
use futures_util::{StreamExt, stream};
use imds_engine::aws::http::https_client;
use imds_engine::aws::root_certificates::{KNOWN_PLACES, RootCertificates};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let root_certificates = RootCertificates::find(variable, KNOWN_PLACES)?;
    let shared = aws_config::defaults(BehaviorVersion::latest()).http_client(https_client(root_certificates));
    let client = Client::new(&shared.load().await);
    lambda_runtime::run(service_fn(|event| answer(&client, event))).await
}

#[expect(clippy::disallowed_methods, reason = "finds the root certificates in the same way as the function")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

async fn answer(client: &Client, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let records = event.payload["Records"].as_array().cloned().unwrap_or_default();
    let bodies = records.iter().map(|record| serde_json::from_str(record["body"].as_str().unwrap()).unwrap());
    let events: Vec<Value> = if records.is_empty() { vec![event.payload] } else { bodies.collect() };
    let ids: Vec<String> =
        events.iter().map(|event| event["detail"]["instance-id"].as_str().unwrap().to_owned()).collect();
    describe(client, &ids).await;
    stream::iter(&ids)
        .for_each_concurrent(20, |id| async move {
            let request = client.modify_instance_metadata_options().instance_id(id);
            request.http_tokens(HttpTokensState::Required).send().await.unwrap();
        })
        .await;
    describe(client, &ids).await;
    Ok(json!({"batchItemFailures": []}))
}

async fn describe(client: &Client, ids: &[String]) {
    for chunk in ids.chunks(200) {
        let filter = Filter::builder().name("instance-id").set_values(Some(chunk.to_vec())).build();
        client.describe_instances().filters(filter).send().await.unwrap();
    }
}
