//! The account's defaults for instance metadata options in a Region.

use aws_sdk_ec2::types as sdk;
use imds_core::call_error::{Call, CallError};
use imds_core::metadata::{MetadataOptions, OptionName, OptionValue};
use serde::Serialize;

use super::super::client::RegionClient;

/// The account's defaults in a Region, as GetInstanceMetadataDefaults returns them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Defaults {
    /// The options that have a default. EC2 has none for `HttpProtocolIpv6`.
    #[serde(flatten)]
    pub options: MetadataOptions,
    /// `HttpTokensEnforced`: whether EC2 refuses `HttpTokens=optional`.
    pub http_tokens_enforced: bool,
    /// What manages them: `account`, or `declarative-policy`, which alone can change them then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
    /// What the declarative policy tells those who try to change them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_exception_message: Option<String>,
}

/// What to set. What is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefaultsChange {
    /// `required`, `optional` or `no-preference`.
    pub http_tokens: Option<String>,
    /// 1 to 64, or -1 for no preference.
    pub http_put_response_hop_limit: Option<i32>,
    /// `enabled`, `disabled` or `no-preference`.
    pub http_endpoint: Option<String>,
    /// `enabled`, `disabled` or `no-preference`.
    pub instance_metadata_tags: Option<String>,
    /// `enabled`, `disabled` or `no-preference`.
    pub http_tokens_enforced: Option<String>,
}

impl RegionClient {
    /// Returns the account's defaults.
    ///
    /// # Errors
    /// EC2's error, or that EC2 did not respond.
    pub async fn defaults(&self) -> Result<Defaults, CallError> {
        let sent = self.ec2().get_instance_metadata_defaults().send();
        let answer = self.call(Call::GetInstanceMetadataDefaults, sent).await?;
        Ok(answer.account_level.map(converted).unwrap_or_default())
    }

    /// Sets the account's defaults. The SDK retries throttles: EC2 allows 2 such calls a second.
    ///
    /// # Errors
    /// EC2's error, or that EC2 did not respond, so that the defaults may be set.
    pub async fn set_defaults(&self, change: &DefaultsChange) -> Result<(), CallError> {
        let request = self.ec2().modify_instance_metadata_defaults();
        let request = request
            .set_http_tokens(change.http_tokens.as_deref().map(Into::into))
            .set_http_put_response_hop_limit(change.http_put_response_hop_limit)
            .set_http_endpoint(change.http_endpoint.as_deref().map(Into::into))
            .set_instance_metadata_tags(change.instance_metadata_tags.as_deref().map(Into::into))
            .set_http_tokens_enforced(change.http_tokens_enforced.as_deref().map(Into::into));
        self.call(Call::ModifyInstanceMetadataDefaults, request.send()).await.map(drop)
    }
}

fn converted(defaults: sdk::InstanceMetadataDefaultsResponse) -> Defaults {
    let values: [Option<OptionValue>; 4] = [
        defaults.http_tokens.and_then(|value| OptionName::HttpTokens.parse(value.as_str())),
        defaults.http_endpoint.and_then(|value| OptionName::HttpEndpoint.parse(value.as_str())),
        defaults
            .http_put_response_hop_limit
            .and_then(|hops| OptionName::HttpPutResponseHopLimit.parse(&hops.to_string())),
        defaults
            .instance_metadata_tags
            .and_then(|value| OptionName::InstanceMetadataTags.parse(value.as_str())),
    ];
    Defaults {
        options: values.into_iter().flatten().collect(),
        http_tokens_enforced: defaults.http_tokens_enforced == Some(sdk::HttpTokensEnforcedState::Enabled),
        managed_by: defaults.managed_by.map(|managed_by| managed_by.as_str().to_owned()),
        managed_exception_message: defaults.managed_exception_message,
    }
}
