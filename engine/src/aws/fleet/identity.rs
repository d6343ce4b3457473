//! Whose credentials are used, and which Regions the account has on.

use imds_core::call_error::{Call, CallError};
use imds_core::ids::{AccountId, InvalidId, Region};

use super::super::client::RegionClient;
use super::super::clients::RegionClients;
use super::super::closing_tag::RequireClosingTag;
use super::super::error::call_error;
use super::super::settings::{retries, timeouts};

/// Whose credentials are used, as STS says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account: AccountId,
    /// The ARN of the user or of the session.
    pub arn: String,
}

impl RegionClients {
    /// Asks STS whose credentials are used. From then on, the account is the own one, in which no role is assumed.
    ///
    /// # Errors
    /// STS's error, that it did not respond, or that no credentials were found.
    pub async fn identify(&self) -> Result<Identity, CallError> {
        const CALL: Call = Call::GetCallerIdentity;
        let config = aws_sdk_sts::config::Builder::from(self.shared());
        let config = config.retry_config(retries()).timeout_config(timeouts()).interceptor(RequireClosingTag);
        let answer = aws_sdk_sts::Client::from_conf(config.build()).get_caller_identity().send().await;
        let answer = answer.map_err(|error| {
            self.lack().note(&error);
            call_error(CALL, &error)
        })?;
        let arn = answer.arn.unwrap_or_default();
        let account = AccountId::new(&answer.account.unwrap_or_default())
            .map_err(|invalid| CallError::without_response(CALL, invalid.to_string()))?;
        self.invoked_as(&arn);
        Ok(Identity { account, arn })
    }
}

impl RegionClient {
    /// Returns the Regions that the account has on, in order.
    ///
    /// # Errors
    /// EC2's error, that EC2 did not respond, or that a Region has a name of an unknown form.
    pub async fn regions(&self) -> Result<Vec<Region>, CallError> {
        let sent = self.ec2().describe_regions().all_regions(false).send();
        let answer = self.call(Call::DescribeRegions, sent).await?;
        let names = answer.regions.into_iter().flatten().filter_map(|region| region.region_name);
        // A Region that is left out would seem to have no instances.
        let regions: Result<Vec<Region>, _> = names.map(|name| Region::new(&name)).collect();
        let unknown =
            |invalid: InvalidId| CallError::without_response(Call::DescribeRegions, invalid.to_string());
        let mut regions = regions.map_err(unknown)?;
        regions.sort();
        Ok(regions)
    }
}
