//! The credentials of the member role, which the function assumes in other accounts.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use imds_core::call_error::{Call, CallError};
use imds_core::ids::AccountId;
use tokio::sync::Mutex;

use super::closing_tag::RequireClosingTag;
use super::error::{LackOfCredentials, call_error};
use super::settings::retry_partition;

/// The shortest that STS gives, 15 minutes: as long as the longest invocation. It is renewed while there is work.
const SESSION_SECONDS: i32 = 900;

/// How long before they expire credentials are renewed, which is longer than any call takes; of shorter sessions than ours, a
/// quarter of their time.
const RENEW_BEFORE: Duration = Duration::from_secs(70);

/// How long a failure is cached: the clients of all Regions of an account wait for one response, not for one each.
const FAILURE_HOLDS: Duration = Duration::from_secs(1);

/// The role that the function assumes in other accounts.
#[derive(Debug, Clone)]
pub struct MemberRole {
    /// `NAME`, or `PATH/NAME`: the same in every account.
    pub name: String,
    /// What CloudTrail shows in those accounts as the session's name: who acts, and what for.
    pub session: String,
}

/// The credentials of the member role in one account: fetched at first use, cached, and renewed before they expire. Clones
/// share them.
#[derive(Debug, Clone)]
pub(super) struct MemberCredentials(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    sts: aws_sdk_sts::Client,
    arn: String,
    session: String,
    lack: LackOfCredentials,
    /// The last answer, and until when it is used.
    cached: Mutex<Option<(Result<Credentials, CallError>, SystemTime)>>,
}

impl MemberCredentials {
    /// The credentials of `role` in `account`, from the STS that `shared` names.
    pub(super) fn new(
        role: &MemberRole,
        shared: &SdkConfig,
        lack: LackOfCredentials,
        partition: &str,
        account: &AccountId,
    ) -> Self {
        let config = aws_sdk_sts::config::Builder::from(shared)
            .timeout_config(timeouts())
            .retry_partition(retry_partition(&format!("sts {account}")))
            .retry_config(
                RetryConfig::standard().with_max_attempts(3).with_max_backoff(Duration::from_secs(1)),
            )
            .interceptor(RequireClosingTag);
        Self(Arc::new(Shared {
            sts: aws_sdk_sts::Client::from_conf(config.build()),
            arn: format!("arn:{partition}:iam::{account}:role/{}", role.name),
            session: role.session.clone(),
            lack,
            cached: Mutex::new(None),
        }))
    }

    /// Valid credentials.
    ///
    /// # Errors
    /// What STS answered, or that it did not, within some 8 s. A retry calls STS again after 1 s.
    pub(super) async fn resolve(&self) -> Result<Credentials, CallError> {
        let now = || self.0.sts.config().time_source().map_or(SystemTime::UNIX_EPOCH, |source| source.now());
        let mut cached = self.0.cached.lock().await;
        if let Some((answer, until)) = &*cached
            && now() < *until
        {
            return answer.clone();
        }
        // On the heap, as every call would otherwise keep room for it.
        let answer = Box::pin(self.assume()).await;
        let until = match &answer {
            Ok(credentials) => {
                let lifetime = credentials.expiry().and_then(|expiry| expiry.duration_since(now()).ok());
                let lifetime = lifetime.unwrap_or_default();
                now() + lifetime - RENEW_BEFORE.min(lifetime / 4)
            }
            Err(_) => now() + FAILURE_HOLDS,
        };
        *cached = Some((answer.clone(), until));
        answer
    }

    async fn assume(&self) -> Result<Credentials, CallError> {
        let Shared { sts, arn, session, lack, .. } = &*self.0;
        let request = sts.assume_role().role_arn(arn).role_session_name(session);
        let answer = request.duration_seconds(SESSION_SECONDS).send().await;
        let answer = answer.map_err(|error| {
            lack.note(&error);
            call_error(Call::AssumeRole, &error)
        })?;
        let incomplete = |message: &str| CallError::without_response(Call::AssumeRole, message);
        let found = answer.credentials.ok_or_else(|| incomplete("the answer has no credentials"))?;
        let expiry = SystemTime::try_from(found.expiration)
            .map_err(|_| incomplete("the answer has credentials with an expiration that is no time"))?;
        Ok(Credentials::new(
            found.access_key_id,
            found.secret_access_key,
            Some(found.session_token),
            Some(expiry),
            "member role",
        ))
    }
}

impl ProvideCredentials for MemberCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            self.resolve().await.map_err(|error| CredentialsError::provider_error(error.to_string()))
        })
    }
}

/// STS answers within a fraction of a second. An account where it hangs may not take the time of the others.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(8))
        .build()
}
