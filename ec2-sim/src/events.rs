//! What AWS would send to EventBridge.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::clock;
use crate::error::ApiError;
use crate::instance::{Instance, OPTIONS, State};
use crate::request::Request;
use crate::world::Key;

/// EventBridge's envelope. The id is one that differs from event to event.
fn envelope(
    key: &Key,
    source: &str,
    detail_type: &str,
    time: OffsetDateTime,
    resources: &[String],
    detail: Value,
) -> Value {
    let id = fastrand::u128(..);
    let id = format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        id >> 96,
        id >> 80 & 0xffff,
        id >> 68 & 0xfff,
        id >> 56 & 0xfff,
        id & 0xffff_ffff_ffff
    );
    json!({
        "version": "0", "id": id, "detail-type": detail_type, "source": source, "account": key.0,
        "time": clock::seconds(time), "region": key.1, "resources": resources, "detail": detail,
    })
}

fn arn(key: &Key, id: &str) -> String {
    format!("arn:aws:ec2:{}:{}:instance/{id}", key.1, key.0)
}

/// An instance has come to a state.
pub fn state_change(key: &Key, id: &str, state: State, time: OffsetDateTime) -> Value {
    let detail = json!({"instance-id": id, "state": state.name()});
    envelope(key, "aws.ec2", "EC2 Instance State-change Notification", time, &[arn(key, id)], detail)
}

/// Tags of an instance have changed.
pub fn tag_change(key: &Key, instance: &Instance, changed: &[String], time: OffsetDateTime) -> Value {
    let detail = json!({
        "changed-tag-keys": changed, "service": "ec2", "resource-type": "instance", "version": 1,
        "tags": instance.tags,
    });
    envelope(key, "aws.tag", "Tag Change on Resource", time, &[arn(key, &instance.id)], detail)
}

/// CloudTrail's record of a call.
pub struct ApiCall<'a> {
    pub request: &'a Request,
    pub parameters: Value,
    /// The response's elements, or why there is none.
    pub response: Result<Value, &'a ApiError>,
}

impl ApiCall<'_> {
    pub fn event(self, time: OffsetDateTime) -> Value {
        let key = (self.request.account.clone(), self.request.region.clone());
        let mut detail = json!({
            "eventVersion": "1.11",
            "userIdentity": {
                "type": "IAMUser", "principalId": "AIDAEXAMPLE", "accountId": key.0, "userName": "someone",
                "arn": format!("arn:aws:iam::{}:user/someone", key.0),
            },
            "eventTime": clock::seconds(time), "eventSource": "ec2.amazonaws.com", "eventName": self.request.action,
            "awsRegion": key.1, "sourceIPAddress": "192.0.2.1", "userAgent": "ec2-sim", "readOnly": false,
            "eventType": "AwsApiCall", "managementEvent": true, "recipientAccountId": key.0,
            "eventCategory": "Management", "requestParameters": self.parameters,
        });
        match self.response {
            Ok(elements) => detail["responseElements"] = elements,
            Err(error) => {
                let kind = if error.status < 500 { "Client" } else { "Server" };
                detail["errorCode"] = format!("{kind}.{}", error.code).into();
                detail["errorMessage"] = error.message.clone().into();
                detail["responseElements"] = Value::Null;
            }
        }
        envelope(&key, "aws.ec2", "AWS API Call via CloudTrail", time, &[], detail)
    }
}

/// RunInstances, as CloudTrail records it. Parameters and response are cut off where there are many instances.
pub fn run_instances(
    request: &Request,
    response: Result<&[Instance], &ApiError>,
    cut_off: usize,
    time: OffsetDateTime,
) -> Value {
    let count = |name: &str| request.get(name).and_then(|count| count.parse::<u64>().ok()).unwrap_or(1);
    let mut parameters = json!({
        "instancesSet": {"items": [{"minCount": count("MinCount"), "maxCount": count("MaxCount")}]},
        "blockDeviceMapping": {},
    });
    if let Some(token) = request.get("ClientToken").filter(|token| !token.is_empty()) {
        parameters["clientToken"] = token.into();
    }
    let response = response.map(|instances| {
        if instances.len() >= cut_off {
            return json!({"omitted": true});
        }
        let items: Vec<Value> = instances.iter().map(launched).collect();
        json!({
            "reservationId": instances.first().map(|instance| &instance.reservation), "ownerId": request.account,
            "groupSet": {}, "instancesSet": {"items": items},
        })
    });
    ApiCall { request, parameters, response }.event(time)
}

fn launched(instance: &Instance) -> Value {
    let tags: Vec<Value> =
        instance.tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    let tags = if tags.is_empty() { json!({}) } else { json!({"items": tags}) };
    let mut options: Map<String, Value> = OPTIONS
        .iter()
        .filter_map(|(name, element, _)| {
            let value = instance.options.get(*name)?;
            Some(((*element).to_owned(), value.parse::<u64>().map_or_else(|_| json!(value), Value::from)))
        })
        .collect();
    options.insert("state".to_owned(), instance.options_state().into());
    options.insert("httpProtocolIpv4".to_owned(), "enabled".into());
    let operator = match &instance.operator {
        Some(principal) => json!({"managed": true, "principal": principal}),
        None => json!({"managed": false}),
    };
    json!({
        "instanceId": instance.id, "imageId": instance.image, "instanceType": instance.instance_type,
        "instanceState": {"code": 0, "name": "pending"}, "operator": operator,
        "launchTime": instance.launch_time.unix_timestamp() * 1000, "productCodes": {}, "tagSet": tags,
        "metadataOptions": options,
    })
}

/// ModifyInstanceMetadataOptions, as CloudTrail records it.
pub fn modify(request: &Request, response: Result<&Instance, &ApiError>, time: OffsetDateTime) -> Value {
    let mut asked: Map<String, Value> = OPTIONS
        .iter()
        .filter_map(|(name, _, _)| {
            let value = request.get(name)?;
            Some(((*name).to_owned(), value.parse::<u64>().map_or_else(|_| json!(value), Value::from)))
        })
        .collect();
    asked.insert("InstanceId".to_owned(), request.get("InstanceId").unwrap_or_default().into());
    let response = response
        .map(|instance| json!({"ModifyInstanceMetadataOptionsResponse": {"instanceId": instance.id}}));
    ApiCall { request, parameters: json!({"ModifyInstanceMetadataOptionsRequest": asked}), response }
        .event(time)
}
