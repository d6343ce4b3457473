//! The events that AWS would send to EventBridge.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::clock;
use crate::error::ApiError;
use crate::instance::{Instance, Key, OPTIONS, State};
use crate::request::{Request, USER_ID, uuid};

/// The envelope of an EventBridge event.
fn envelope(
    key: &Key,
    source: &str,
    detail_type: &str,
    time: OffsetDateTime,
    resources: &[String],
    detail: Value,
) -> Value {
    json!({
        "version": "0", "id": uuid(), "detail-type": detail_type, "source": source, "account": key.0,
        "time": clock::seconds(time), "region": key.1, "resources": resources, "detail": detail,
    })
}

fn arn(key: &Key, id: &str) -> String {
    format!("arn:aws:ec2:{}:{}:instance/{id}", key.1, key.0)
}

/// An instance entered a state.
pub fn state_change(key: &Key, id: &str, state: State, time: OffsetDateTime) -> Value {
    let detail = json!({"instance-id": id, "state": state.name()});
    envelope(key, "aws.ec2", "EC2 Instance State-change Notification", time, &[arn(key, id)], detail)
}

/// Tags of an instance changed.
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
    /// The elements of the response, or the error.
    pub response: Result<Value, &'a ApiError>,
}

impl ApiCall<'_> {
    pub fn event(self, time: OffsetDateTime) -> Value {
        let key = (self.request.account.clone(), self.request.region.clone());
        let mut detail = json!({
            "eventVersion": "1.11",
            "userIdentity": identity(self.request),
            "eventTime": clock::seconds(time), "eventSource": "ec2.amazonaws.com", "eventName": self.request.action,
            "awsRegion": key.1, "sourceIPAddress": "192.0.2.1", "userAgent": "ec2-sim", "readOnly": false,
            "eventType": "AwsApiCall", "managementEvent": true, "recipientAccountId": key.0,
            "eventCategory": "Management", "requestParameters": self.parameters,
            "requestID": self.request.id, "eventID": uuid(),
        });
        match self.response {
            Ok(elements) => detail["responseElements"] = elements,
            Err(error) => {
                detail["errorCode"] = error_code(error).into();
                detail["errorMessage"] = error.message.clone().into();
                detail["responseElements"] = Value::Null;
            }
        }
        envelope(&key, "aws.ec2", "AWS API Call via CloudTrail", time, &[], detail)
    }
}

/// The caller: CloudTrail user guide, "CloudTrail userIdentity element".
fn identity(request: &Request) -> Value {
    let Some(session) = &request.session else {
        return json!({
            "type": "IAMUser", "principalId": USER_ID, "accountId": request.account, "userName": "someone",
            "arn": request.caller_arn(),
        });
    };
    let role = &session.role;
    json!({
        "type": "AssumedRole", "principalId": session.id(), "arn": session.arn(), "accountId": role.account,
        "accessKeyId": session.access_key,
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role", "principalId": role.id(), "arn": role.arn, "accountId": role.account,
                "userName": role.name,
            },
            "attributes": {"creationDate": clock::seconds(session.created), "mfaAuthenticated": "false"},
        },
    })
}

/// The error code as CloudTrail records it. CloudTrail attributes throttling to the client, whatever the HTTP status.
fn error_code(error: &ApiError) -> String {
    let is_throttled = matches!(&*error.code, "RequestLimitExceeded" | "EC2ThrottledException");
    let side = if error.status < 500 || is_throttled { "Client" } else { "Server" };
    format!("{side}.{}", error.code)
}

/// CloudTrail's record of a call that was refused before its action ran. `None` for actions that are not recorded.
pub fn refused(request: &Request, error: &ApiError, time: OffsetDateTime) -> Option<Value> {
    match request.action.as_str() {
        "RunInstances" => Some(run_instances(request, Err(error), usize::MAX, time)),
        "ModifyInstanceMetadataOptions" => Some(modify(request, Err(error), time)),
        _ => None,
    }
}

/// CloudTrail's record of RunInstances. The response is omitted if there are `cut_off` instances or more.
pub fn run_instances(
    request: &Request,
    response: Result<&[Instance], &ApiError>,
    cut_off: usize,
    time: OffsetDateTime,
) -> Value {
    let response = response.map(|instances| launch_response(request, instances, cut_off));
    ApiCall { request, parameters: launch_parameters(request), response }.event(time)
}

fn launch_parameters(request: &Request) -> Value {
    let count = |name: &str| request.get(name).and_then(|count| count.parse::<u64>().ok()).unwrap_or(1);
    let mut item = json!({"minCount": count("MinCount"), "maxCount": count("MaxCount")});
    let mut parameters = json!({"blockDeviceMapping": {}});
    let given = |name: &str| request.get(name).filter(|value| !value.is_empty());
    if let Some(image) = given("ImageId") {
        item["imageId"] = image.into();
    }
    if let Some(instance_type) = given("InstanceType") {
        parameters["instanceType"] = instance_type.into();
    }
    if let Some(token) = given("ClientToken") {
        parameters["clientToken"] = token.into();
    }
    parameters["instancesSet"] = json!({"items": [item]});
    parameters
}

fn launch_response(request: &Request, instances: &[Instance], cut_off: usize) -> Value {
    if instances.len() >= cut_off {
        return json!({"omitted": true});
    }
    let items: Vec<Value> = instances.iter().map(launched).collect();
    json!({
        "requestId": request.id, "ownerId": request.account, "groupSet": {},
        "reservationId": instances.first().map(|instance| &instance.reservation),
        "instancesSet": {"items": items},
    })
}

fn launched(instance: &Instance) -> Value {
    let tags: Vec<Value> =
        instance.tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    let tags = if tags.is_empty() { json!({}) } else { json!({"items": tags}) };
    let operator = match &instance.operator {
        Some(principal) => json!({"managed": true, "principal": principal}),
        None => json!({"managed": false}),
    };
    json!({
        "instanceId": instance.id, "imageId": instance.image, "instanceType": instance.instance_type,
        "amiLaunchIndex": instance.index, "placement": {"availabilityZone": instance.zone},
        "instanceState": {"code": 0, "name": "pending"}, "operator": operator,
        "launchTime": instance.launch_time.unix_timestamp() * 1000, "productCodes": {}, "tagSet": tags,
        "metadataOptions": options(instance),
    })
}

/// The options as CloudTrail records them in responses.
fn options(instance: &Instance) -> Value {
    let mut options: Map<String, Value> = OPTIONS
        .iter()
        .filter_map(|(name, element, _)| {
            Some(((*element).to_owned(), number_or_text(instance.options.get(*name)?)))
        })
        .collect();
    options.insert("state".to_owned(), instance.options_state().into());
    options.insert("httpProtocolIpv4".to_owned(), "enabled".into());
    options.into()
}

fn number_or_text(value: &str) -> Value {
    value.parse::<u64>().map_or_else(|_| value.into(), Value::from)
}

/// CloudTrail's record of ModifyInstanceMetadataOptions.
pub fn modify(request: &Request, response: Result<&Instance, &ApiError>, time: OffsetDateTime) -> Value {
    let asked = OPTIONS
        .iter()
        .filter_map(|(name, _, _)| Some(((*name).to_owned(), number_or_text(request.get(name)?))));
    let mut asked: Map<String, Value> = asked.collect();
    asked.insert("InstanceId".to_owned(), request.get("InstanceId").unwrap_or_default().into());
    let response = response.map(|instance| {
        json!({"ModifyInstanceMetadataOptionsResponse": {
            "requestId": request.id, "instanceId": instance.id, "instanceMetadataOptions": options(instance),
        }})
    });
    ApiCall { request, parameters: json!({"ModifyInstanceMetadataOptionsRequest": asked}), response }
        .event(time)
}
