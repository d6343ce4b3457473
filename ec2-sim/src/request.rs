//! A call: its action, parameters, caller and Region.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::api::Api;
use crate::cloudwatch::input;
use crate::codec::Codec;
use crate::error::ApiError;
use crate::instance::Key;
use crate::session::{Role, Session, Sessions, is_account};

/// The account of a caller whose access key is not an account id.
pub const DEFAULT_ACCOUNT: &str = "111122223333";

/// IAM's id of the user that makes calls without a session.
pub const USER_ID: &str = "AIDAEXAMPLE";

/// What a caller sends, without the caller.
#[derive(Debug, Clone, Copy)]
pub enum Message<'m> {
    /// The form-encoded parameters of a Query API.
    Query(&'m [u8]),
    /// The name and the body of an operation of CloudWatch or AWS Organizations.
    Operation(Codec, &'m str, &'m [u8]),
}

impl Message<'_> {
    /// The API, as far as the message says it.
    fn api(self) -> Api {
        match self {
            Self::Query(_) => Api::Ec2,
            Self::Operation(Codec::Json11, ..) => Api::Organizations,
            Self::Operation(codec, ..) => Api::CloudWatch(codec),
        }
    }

    /// The call without an id and a caller.
    fn parse(self) -> Result<Request, (Api, ApiError)> {
        match self {
            Self::Query(body) => {
                let parameters: BTreeMap<String, String> =
                    form_urlencoded::parse(body).into_owned().collect();
                let action = parameters.get("Action").cloned().unwrap_or_default();
                let is_sts = matches!(&*action, "AssumeRole" | "GetCallerIdentity");
                let api = if is_sts { Api::Sts } else { Api::Ec2 };
                Ok(Request { api, action, parameters, ..Request::default() })
            }
            Self::Operation(codec, action, body) => {
                let input = codec.decode(body).map_err(|error| (self.api(), error))?;
                let (action, parameters) = (action.to_owned(), input::parameters(&input));
                Ok(Request { api: self.api(), action, parameters, input, ..Request::default() })
            }
        }
    }
}

/// A call.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub api: Api,
    /// The id of the call, in its response and in CloudTrail's record.
    pub id: String,
    pub action: String,
    /// The caller's account.
    pub account: String,
    pub region: String,
    /// The parameters of a Query API; for CloudWatch and AWS Organizations a summary of the input.
    pub parameters: BTreeMap<String, String>,
    /// The input of an operation of CloudWatch or AWS Organizations.
    pub input: Value,
    /// The caller's session, which may have expired.
    pub session: Option<Arc<Session>>,
}

impl Request {
    /// Parses a call. The Region comes from the signature's credential scope. The account is that of the session with
    /// the access key, or the access key itself. The signature is not verified.
    ///
    /// # Errors
    /// The API in whose format the error is returned, and the error.
    pub fn read(
        authorization: Option<&str>,
        message: Message<'_>,
        sessions: &Sessions,
    ) -> Result<Self, (Api, ApiError)> {
        let request = message.parse()?;
        let api = request.api;
        let (key, region) = authorization.and_then(scope).ok_or_else(|| (api, api.unauthenticated()))?;
        let session = sessions.get(key).cloned();
        let account = match &session {
            Some(session) => &session.role.account,
            None if key.starts_with("ASIA") => return Err((api, api.unauthenticated())),
            None if is_account(key) => key,
            None => DEFAULT_ACCOUNT,
        };
        if request.action.is_empty() {
            let message = "The request is missing an action or a required parameter";
            return Err((api, ApiError::new(400, "MissingAction", message)));
        }
        let (account, region) = (account.to_owned(), region.to_owned());
        Ok(Self { id: uuid(), account, region, session, ..request })
    }

    /// A call of the account itself, without a session.
    pub fn of(key: &Key, action: &str, parameters: &[(&str, &str)]) -> Self {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let (account, region) = key.clone();
        Self {
            id: uuid(),
            action: action.to_owned(),
            account,
            region,
            parameters: parameters.collect(),
            ..Self::default()
        }
    }

    /// The account that the call acts on: for AssumeRole the account of the role, otherwise the caller's. `None` if the
    /// role's ARN is not valid.
    pub fn target_account(&self) -> Option<String> {
        match (self.api, &*self.action) {
            (Api::Sts, "AssumeRole") => Role::from_arn(self.get("RoleArn")?).map(|role| role.account),
            _ => Some(self.account.clone()),
        }
    }

    /// The ARN of the caller. A caller without a session is an IAM user named `someone`.
    pub fn caller_arn(&self) -> String {
        match &self.session {
            Some(session) => session.arn(),
            None => format!("arn:aws:iam::{}:user/someone", self.account),
        }
    }

    /// The parameter, if it is present.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The parameter, which must be present and not empty.
    pub fn needed(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).filter(|value| !value.is_empty()).ok_or_else(|| ApiError::missing(name))
    }

    /// The parameter as an integer, if it is present.
    pub fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| ApiError::invalid_value(text, name, "Expected an integer."))
    }

    /// Whether the parameter is `true`.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The values of `NAME.1`, `NAME.2` and so on.
    pub fn list(&self, name: &str) -> Vec<String> {
        (1..).map_while(|number| self.get(&format!("{name}.{number}")).map(str::to_owned)).collect()
    }

    /// The prefixes `NAME.1`, `NAME.2` and so on under which parameters are present.
    pub fn members(&self, name: &str) -> Vec<String> {
        let has = |prefix: &str| {
            self.parameters.range(prefix.to_owned()..).next().is_some_and(|(k, _)| k.starts_with(prefix))
        };
        (1..)
            .map(|number| format!("{name}.{number}"))
            .take_while(|member| has(&format!("{member}.")))
            .collect()
    }

    /// The instance ids that the call names, in any parameter, filter or dimension.
    pub fn instance_ids(&self) -> Vec<String> {
        if let Api::CloudWatch(_) = self.api {
            return input::instance_ids(&self.input);
        }
        let mut ids = self.list("InstanceId");
        ids.extend(self.get("InstanceId").map(str::to_owned));
        ids.extend(self.list("ResourceId"));
        for filter in self.members("Filter") {
            if self.get(&format!("{filter}.Name")) == Some("instance-id") {
                ids.extend(self.list(&format!("{filter}.Value")));
            }
        }
        ids
    }
}

/// A random UUID, which does not depend on the seed.
pub fn uuid() -> String {
    let id = fastrand::u128(..);
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        id >> 96,
        id >> 80 & 0xffff,
        id >> 68 & 0xfff,
        id >> 56 & 0xfff,
        id & 0xffff_ffff_ffff
    )
}

/// The access key and Region of `AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/ec2/aws4_request, …`.
fn scope(authorization: &str) -> Option<(&str, &str)> {
    let credential = authorization.split_once("Credential=")?.1.split(',').next()?;
    let mut parts = credential.trim().split('/');
    let (key, _date, region) = (parts.next()?, parts.next()?, parts.next()?);
    (!key.is_empty() && !region.is_empty()).then_some((key, region))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=444455556666/20260317/eu-west-1/ec2/aws4_request, SignedHeaders=host, Signature=0";

    fn read(authorization: Option<&str>, body: &[u8]) -> Result<Request, ApiError> {
        Request::read(authorization, Message::Query(body), &Sessions::new()).map_err(|(_, error)| error)
    }

    #[test]
    fn the_scope_says_who_calls_where() {
        let request = read(Some(AUTHORIZATION), b"Action=X&InstanceId.1=a&InstanceId.2=b").unwrap();
        assert_eq!((&*request.account, &*request.region), ("444455556666", "eu-west-1"));
        assert_eq!(request.instance_ids(), ["a", "b"]);
        let other = AUTHORIZATION.replace("444455556666", "AKIDEXAMPLE");
        assert_eq!(read(Some(&other), b"Action=X").unwrap().account, DEFAULT_ACCOUNT);
    }

    #[test]
    fn what_is_no_signed_call_is_refused() {
        for (authorization, body, code) in [
            (None, &b"Action=X"[..], "AuthFailure"),
            (Some(""), b"Action=X", "AuthFailure"),
            (Some("Credential=/"), b"Action=X", "AuthFailure"),
            (Some("Credential=ASIAEXAMPLE/20260317/us-east-1/"), b"Action=X", "AuthFailure"),
            (Some(AUTHORIZATION), b"", "MissingAction"),
            (Some(AUTHORIZATION), b"\xff\xfe=%zz", "MissingAction"),
        ] {
            let error = read(authorization, body).unwrap_err();
            assert_eq!(error.code, code, "{authorization:?} {body:?}");
        }
    }

    #[test]
    fn filters_name_instances_too() {
        let body = b"Action=X&Filter.1.Name=tag-key&Filter.1.Value.1=a&Filter.2.Name=instance-id&Filter.2.Value.1=i-1";
        assert_eq!(read(Some(AUTHORIZATION), body).unwrap().instance_ids(), ["i-1"]);
    }
}
