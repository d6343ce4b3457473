//! Decides on all instances of a scope, many accounts and Regions at once.

use std::cell::RefCell;

use anyhow::{Error, Result};
use futures_util::{StreamExt, stream};
use imds_core::call_error::CallError;
use imds_core::ids::AccountRegion;
use imds_core::source::Source;
use imds_engine::reconcile::{AskUsage, Assessed};
use time::OffsetDateTime;

use crate::audit::row::SourceRow;
use crate::audit::sources::Sources;
use crate::progress::Progress;
use crate::scope::Scope;
use crate::session::{RENEW, Session};

/// How many accounts and Regions are worked on at once: enough to hide the latency of AWS, few enough that pages of instances
/// do not fill the memory.
const AT_ONCE: usize = 32;

/// An instance, the decision on it, and what it came from.
pub type Surveyed = (Assessed, Option<Source>);

/// Takes a page of instances of an account and Region.
pub type OnPage<'p> = dyn FnMut(&AccountRegion, Vec<Surveyed>) -> Result<()> + 'p;

/// What is asked besides the instances.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Of which instances the use of IMDSv1 is asked.
    pub usage: AskUsage,
    /// Whether to ask what the sources of findings set.
    pub sources: bool,
    /// The time of the decisions.
    pub now: OffsetDateTime,
}

/// What is known at the end.
#[derive(Debug, Default)]
pub struct Ended {
    /// What could not be read, one sentence each.
    pub errors: Vec<String>,
    /// What is unknown besides, one sentence each.
    pub warnings: Vec<String>,
    /// The sources of findings.
    pub sources: Vec<SourceRow>,
}

/// A survey of a scope.
pub struct Survey<'s, 'p> {
    session: &'s Session,
    asked: Asked,
    progress: &'s Progress,
    /// Takes each page of instances.
    on_page: RefCell<&'p mut OnPage<'p>>,
    ended: RefCell<Ended>,
}

/// Decides on all instances of `scope`, and calls `on_page` with each page of them, those of different accounts and Regions in
/// turn.
///
/// # Errors
/// That of `on_page`. An account or Region that cannot be read is in [`Ended::errors`] and does not stop the others.
pub async fn survey(
    session: &Session,
    scope: &Scope,
    asked: Asked,
    progress: &Progress,
    on_page: &mut OnPage<'_>,
) -> Result<Ended> {
    let survey =
        Survey { session, asked, progress, on_page: RefCell::new(on_page), ended: RefCell::default() };
    let (account_regions, unlisted) = scope.account_regions(session).await;
    survey.ended.borrow_mut().errors.extend(unlisted);
    progress.start(account_regions.len());
    let mut ended = stream::iter(&account_regions)
        .map(async |account_region| survey.account_region(account_region).await)
        .buffer_unordered(AT_ONCE);
    while let Some(ended) = ended.next().await {
        ended?;
    }
    drop(ended);
    let mut ended = survey.ended.into_inner();
    if session.clients().lack_credentials() {
        ended.errors.push(format!("the credentials have expired: {RENEW}"));
    }
    ended.errors.sort();
    ended.warnings.sort();
    ended.sources.sort_by(|a, b| b.instances.cmp(&a.instances).then_with(|| a.source.cmp(&b.source)));
    Ok(ended)
}

impl Survey<'_, '_> {
    /// Surveys one account and Region.
    async fn account_region(&self, account_region: &AccountRegion) -> Result<()> {
        let AccountRegion { account, region } = account_region;
        if self.session.clients().lack_credentials() {
            self.fail(format!("{account} {region} was not read"));
            return Ok(());
        }
        let client = self.session.clients().get(account_region).await;
        let mut sources = Sources::new(account_region.clone(), client);
        let enforcer = &self.session.enforcer;
        let assessed =
            enforcer.assess(account_region, self.asked.usage, self.asked.now, async |page, unknown| {
                self.page(account_region, page, unknown, &mut sources).await
            });
        match assessed.await {
            Ok(()) => {}
            Err(Stop::Unwritable(error)) => return Err(error),
            Err(Stop::Unreadable(error)) => {
                self.fail(format!("{account} {region}: the instances cannot be listed: {error}"));
            }
            Err(Stop::Expired) => self.fail(format!("{account} {region} may not have been read to its end")),
        }
        if self.asked.sources {
            let (rows, warnings) = sources.finish().await;
            let mut ended = self.ended.borrow_mut();
            ended.sources.extend(rows);
            ended.warnings.extend(warnings);
        }
        self.progress.account_region_done();
        Ok(())
    }

    async fn page(
        &self,
        account_region: &AccountRegion,
        page: Vec<Assessed>,
        unknown_ids: Vec<String>,
        sources: &mut Sources,
    ) -> Result<(), Stop> {
        let AccountRegion { account, region } = account_region;
        for unknown in unknown_ids {
            self.fail(format!("{account} {region}: an instance was left out: {unknown}"));
        }
        if let Some(unknown) = page.iter().find_map(|assessed| assessed.usage_error.as_ref()) {
            let warning =
                format!("{account} {region}: the use of IMDSv1 is not known of all instances: {unknown}");
            let warnings = &mut self.ended.borrow_mut().warnings;
            // Each page may have its own error; one is enough to know what to do.
            if !warnings.iter().any(|said| said.starts_with(&format!("{account} {region}: the use"))) {
                warnings.push(warning);
            }
        }
        let from = sources.of_page(&page).await;
        self.progress.instances(page.len());
        let surveyed = page.into_iter().zip(from).collect();
        (self.on_page.borrow_mut())(account_region, surveyed).map_err(Stop::Unwritable)?;
        // A session in a member account may last longer than the credentials that it came from.
        if self.session.clients().lack_credentials() { Err(Stop::Expired) } else { Ok(()) }
    }

    fn fail(&self, error: String) {
        self.ended.borrow_mut().errors.push(error);
    }
}

/// Why an account and Region was not read to its end.
enum Stop {
    /// AWS did not list its instances.
    Unreadable(CallError),
    /// The result cannot be written.
    Unwritable(Error),
    /// The own credentials have expired, so that there are no more calls.
    Expired,
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        Self::Unreadable(error)
    }
}
