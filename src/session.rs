//! Sessions of the member role in other accounts.

use std::error::Error;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::identity::IdentityCache;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sts::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use imds_core::ids::AccountId;
use imds_core::outcome::{Call, Refusal};

/// The shortest that STS gives, 15 minutes: as long as the longest invocation. It is renewed while there is work.
const LENGTH: Duration = Duration::from_secs(900);

/// The role that the function assumes in other accounts.
#[derive(Debug, Clone)]
pub struct MemberRole {
    /// `NAME`, or `PATH/NAME`: the same in every account.
    pub name: String,
    /// What CloudTrail shows in those accounts as the session's name: who acts, and what for.
    pub session: String,
}

impl MemberRole {
    /// The settings of `shared`, with the role's credentials in `account`. They are fetched at first use, kept for all
    /// clients that are made with these settings, and renewed before they expire.
    pub async fn settings(&self, shared: &SdkConfig, partition: &str, account: &AccountId) -> SdkConfig {
        let arn = format!("arn:{partition}:iam::{account}:role/{}", self.name);
        let provider = AssumeRoleProvider::builder(arn)
            .session_name(self.session.as_str())
            .session_length(LENGTH)
            .configure(shared)
            .build()
            .await;
        shared
            .to_builder()
            .credentials_provider(SharedCredentialsProvider::new(provider))
            .identity_cache(IdentityCache::lazy().build())
            .build()
    }
}

/// That the role could not be assumed, if that is why a call was not made.
pub fn refusal(error: &(dyn Error + 'static)) -> Option<Refusal> {
    let chain = || std::iter::successors(Some(error), |&error| error.source());
    let credentials =
        chain().find(|error| error.is::<aws_credential_types::provider::error::CredentialsError>())?;
    let answer = chain().find_map(|error| error.downcast_ref::<AssumeRoleError>());
    let message = answer.and_then(ProvideErrorMetadata::message).map(str::to_owned);
    Some(Refusal {
        call: Call::AssumeRole,
        code: answer.and_then(ProvideErrorMetadata::code).map(str::to_owned),
        message: message.unwrap_or_else(|| DisplayErrorContext(credentials).to_string()),
        status: None,
    })
}
