//! The AWS clients and whose credentials they use.

use std::env;
use std::io::Write;

use anyhow::{Result, anyhow, bail};
use imds_core::call_error::CallError;
use imds_core::ids::{AccountId, Region};
use imds_core::policy::Policy;
use imds_enforcer::config::Config;
use imds_engine::aws::clients::{MemberRole, RegionClients};
use imds_engine::aws::fleet::Identity;
use imds_engine::aws::http;
use imds_engine::aws::root_certificates::{KNOWN_PLACES, RootCertificates};
use imds_engine::aws::settings;
use imds_engine::reconcile::Enforcer;

/// The settings of the function that also apply here; the others have flags.
const APPLIES: [&str; 3] = ["IMDS_MODIFY_RATE", "IMDS_MODIFY_BURST", "IMDS_VERIFY_SECONDS"];

/// The session's name in CloudTrail of other accounts.
const SESSION_NAME: &str = "imdsctl";

/// Where STS and Organizations are called, and who is asked which Regions are on, if nothing names a Region.
pub const ANY_REGION: &str = "us-east-1";

/// What to do about credentials that are missing or have expired.
pub const RENEW: &str = "renew the credentials and run the command again";

/// The engine with the caller's credentials.
#[derive(Debug)]
pub struct Session {
    /// Decides and calls AWS.
    pub enforcer: Enforcer,
    /// Whose credentials are used.
    pub identity: Identity,
    /// The Region of the profile or of `AWS_REGION`.
    pub default_region: Option<Region>,
    /// The role that is assumed in other accounts.
    pub role: Option<String>,
}

impl Session {
    /// Loads the SDK's settings and asks STS whose credentials they are. `role` is assumed in other accounts. STS is called in
    /// the Region `near` if the settings have none.
    ///
    /// # Errors
    /// A setting is invalid, there are no credentials, or STS does not accept them.
    pub async fn open(role: Option<&str>, policy: Policy, near: Option<&Region>) -> Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "the command line is the edge")]
        let variable = |name: &str| env::var(name).ok();
        let config = Config::from_lookup(|name| match name {
            "IMDS_MEMBER_ROLE" => role.map(str::to_owned),
            name => variable(name).filter(|_| APPLIES.contains(&name)),
        });
        let config =
            config.map_err(|errors| anyhow!(errors.0.join("\n").replace("IMDS_MEMBER_ROLE", "--role")))?;
        let certificates = RootCertificates::find(variable, KNOWN_PLACES)?;
        for warning in certificates.warnings() {
            // A warning that cannot be printed must not stop the command.
            let _ = writeln!(anstream::stderr(), "imdsctl: warning: {warning}");
        }
        let shared = settings::load(http::https_client(certificates)).await;
        let default_region = shared.region().and_then(|region| Region::new(region.as_ref()).ok());
        let any = Region::new(ANY_REGION)?;
        let shared = settings::in_region_if_none(shared, near.unwrap_or(&any));
        let session = |name| MemberRole { name, session: SESSION_NAME.to_owned() };
        let role = config.member_role.clone();
        let clients = RegionClients::new(shared, config.modify_limit, role.clone().map(session));
        let identity = clients.identify().await.map_err(|error| no_identity(&error, &clients))?;
        let enforcer = Config { policy, ..config }.into_enforcer(clients);
        Ok(Self { enforcer, identity, default_region, role })
    }

    /// Makes sure that there is a role for accounts other than that of the credentials.
    ///
    /// # Errors
    /// One of the accounts needs a role, and none is named.
    pub fn check_role<'a>(&self, accounts: impl IntoIterator<Item = &'a AccountId>) -> Result<()> {
        let own = &self.identity.account;
        match accounts.into_iter().find(|account| *account != own) {
            Some(other) if self.role.is_none() => bail!(
                "a role is missing: account {other} is not that of the credentials ({own}). With --role (for `apply`, when the \
                 plan is made), name a role of that account that trusts your credentials. The role imds-enforcer-member \
                 trusts only the function"
            ),
            _ => Ok(()),
        }
    }

    /// The clients.
    pub fn clients(&self) -> &RegionClients {
        self.enforcer.clients()
    }
}

fn no_identity(error: &CallError, clients: &RegionClients) -> anyhow::Error {
    let advice = match clients.lack_credentials() {
        true => format!(
            "no usable AWS credentials: set AWS_PROFILE (and run `aws sso login` for single sign-on) or the variables \
             AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; {RENEW}"
        ),
        false => "STS does not say whose credentials these are".to_owned(),
    };
    anyhow!("{error}").context(advice)
}
