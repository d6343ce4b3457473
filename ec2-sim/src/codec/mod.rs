//! The protocols in which an operation is named outside the body: Smithy RPC v2 CBOR and AWS JSON 1.0, which CloudWatch
//! speaks with the same members, and AWS JSON 1.1, which AWS Organizations speaks.

mod cbor;

use std::io::Read;

use bytes::Bytes;
use flate2::read::GzDecoder;
use hyper::HeaderMap;
use hyper::header::CONTENT_ENCODING;
use serde_json::{Value, json};

use crate::error::ApiError;

/// The names of CloudWatch and of AWS Organizations in their protocols.
const CLOUDWATCH: &str = "GraniteServiceVersion20100801";
const ORGANIZATIONS: &str = "AWSOrganizationsV20161128";

const PROTOCOL: &str = "smithy-protocol";
const CBOR: &str = "rpc-v2-cbor";

/// A protocol. It determines the encoding of requests and responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Smithy RPC v2 CBOR.
    Cbor,
    /// AWS JSON 1.0.
    Json,
    /// AWS JSON 1.1.
    Json11,
}

impl Codec {
    /// The protocol and the operation of a request. `None` if the request is neither for CloudWatch nor for AWS
    /// Organizations.
    pub fn of<'r>(path: &'r str, headers: &'r HeaderMap) -> Option<(Self, &'r str)> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if header(PROTOCOL) == Some(CBOR) {
            let (service, operation) = path.strip_prefix("/service/")?.split_once("/operation/")?;
            return (service == CLOUDWATCH).then_some((Self::Cbor, operation));
        }
        match headers.get("x-amz-target")?.to_str().ok()?.split_once('.')? {
            (CLOUDWATCH, operation) => Some((Self::Json, operation)),
            (ORGANIZATIONS, operation) => Some((Self::Json11, operation)),
            _ => None,
        }
    }

    /// Parses the body of a request. Timestamps are numbers: seconds since 1970.
    pub fn decode(self, body: &[u8]) -> Result<Value, ApiError> {
        let value = match self {
            Self::Cbor => cbor::decode(body),
            Self::Json | Self::Json11 => serde_json::from_slice(body).ok(),
        };
        value.filter(Value::is_object).ok_or_else(ApiError::unreadable)
    }

    pub fn encode(self, value: &Value) -> Vec<u8> {
        match self {
            Self::Cbor => cbor::encode(value),
            Self::Json | Self::Json11 => value.to_string().into_bytes(),
        }
    }

    /// The body of an error response.
    pub fn error(self, error: &ApiError) -> Vec<u8> {
        self.encode(&match self {
            Self::Cbor | Self::Json => json!({"__type": shape(&error.code), "message": error.message}),
            Self::Json11 => json!({"__type": error.code, "Message": error.message}),
        })
    }

    /// The headers of a response. Clients of CloudWatch take the error code from the header `x-amzn-query-error`.
    pub fn headers(self, request_id: &str, error: Option<&ApiError>) -> Vec<(&'static str, String)> {
        let mut headers = vec![("x-amzn-requestid", request_id.to_owned())];
        match self {
            Self::Cbor => {
                headers
                    .extend([("content-type", "application/cbor".to_owned()), (PROTOCOL, CBOR.to_owned())]);
            }
            Self::Json => headers.push(("content-type", "application/x-amz-json-1.0".to_owned())),
            Self::Json11 => {
                headers.push(("content-type", "application/x-amz-json-1.1".to_owned()));
                return headers;
            }
        }
        let fault = |error: &ApiError| if error.status < 500 { "Sender" } else { "Receiver" };
        headers.extend(error.map(|error| ("x-amzn-query-error", format!("{};{}", error.code, fault(error)))));
        headers
    }
}

/// The error shape of a code: CloudWatch's Smithy model, and the common errors of its API reference.
fn shape(code: &str) -> String {
    let name = match code {
        "AccessDenied" => "com.amazon.coral.service#AccessDeniedException",
        "ExpiredToken" => "com.amazon.coral.service#ExpiredTokenException",
        "InvalidClientTokenId" => "com.amazon.coral.service#UnrecognizedClientException",
        "SerializationException" => "com.amazon.coral.service#SerializationException",
        "Throttling" => "com.amazon.coral.availability#ThrottlingException",
        "UnknownOperationException" => "com.amazon.coral.service#UnknownOperationException",
        "ValidationError" => "com.amazon.coral.validate#ValidationException",
        "InternalServiceError" => "com.amazonaws.cloudwatch#InternalServiceFault",
        "InvalidParameterCombination" => "com.amazonaws.cloudwatch#InvalidParameterCombinationException",
        "InvalidParameterValue" => "com.amazonaws.cloudwatch#InvalidParameterValueException",
        "MissingParameter" => "com.amazonaws.cloudwatch#MissingRequiredParameterException",
        code => return format!("com.amazonaws.cloudwatch#{code}"),
    };
    name.to_owned()
}

/// The body without its `Content-Encoding`. `None` if it has more bytes than `most`, or is not valid.
pub fn inflate(headers: &HeaderMap, body: Bytes, most: usize) -> Option<Bytes> {
    if headers.get(CONTENT_ENCODING).is_none_or(|encoding| encoding != "gzip") {
        return Some(body);
    }
    let (mut inflated, limit) = (Vec::new(), u64::try_from(most).ok()?.saturating_add(1));
    GzDecoder::new(&*body).take(limit).read_to_end(&mut inflated).ok()?;
    (inflated.len() <= most).then(|| inflated.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_or_the_target_names_the_operation() {
        let path = "/service/GraniteServiceVersion20100801/operation/GetMetricData";
        let target = "GraniteServiceVersion20100801.GetMetricData";
        let organizations = "AWSOrganizationsV20161128.ListAccounts";
        for (path, name, value, expected) in [
            (path, PROTOCOL, CBOR, Some((Codec::Cbor, "GetMetricData"))),
            ("/", "x-amz-target", target, Some((Codec::Json, "GetMetricData"))),
            ("/", "x-amz-target", organizations, Some((Codec::Json11, "ListAccounts"))),
            (path, PROTOCOL, "rpc-v2-json", None),
            (path, "accept", "application/cbor", None),
            ("/", PROTOCOL, CBOR, None),
            ("/service/Other/operation/GetMetricData", PROTOCOL, CBOR, None),
            ("/", "x-amz-target", "Other.GetMetricData", None),
            ("/", "accept", "*/*", None),
        ] {
            let headers = HeaderMap::from_iter([(
                hyper::header::HeaderName::from_static(name),
                hyper::header::HeaderValue::from_static(value),
            )]);
            assert_eq!(Codec::of(path, &headers), expected, "{path} {name}: {value}");
        }
    }
}
