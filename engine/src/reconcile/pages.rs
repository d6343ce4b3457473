//! The pages of instances that a sweep works on.

use imds_core::call_error::{Call, CallError};
use imds_core::instance::Instance;
use imds_core::selector::InstanceSelector;
use tokio::time::{Instant, timeout_at};

use super::apply::FRESH_FOR;
use super::reconciler::Reconciler;

/// All instances of an account and Region, page by page.
pub(super) struct Pages<'a> {
    reconciler: &'a Reconciler<'a>,
    /// The token of the next page, which the first one does not have.
    token: Option<String>,
    is_over: bool,
    /// The answer to the request of the next page, if that was made ahead, and when it came.
    ahead: Option<(Answer, Instant)>,
}

/// A page and the token of the page after it, if there is one.
type Answer = Result<(Page, Option<String>), CallError>;

/// One page of instances.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) instances: Vec<Instance>,
    /// IDs of a form that is not known.
    pub(super) unknown_ids: Vec<String>,
    /// When EC2 returned it.
    pub(super) described_at: Instant,
}

impl<'a> Pages<'a> {
    /// No page was requested yet.
    pub(super) fn new(reconciler: &'a Reconciler<'a>) -> Self {
        Self { reconciler, token: None, is_over: false, ahead: None }
    }

    /// Returns whether the last page was returned, so that there is no next one.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Returns the next page. Requests it unless the answer to a request ahead is still recent.
    ///
    /// # Errors
    /// Those of DescribeInstances.
    pub(super) async fn next(&mut self) -> Result<Page, CallError> {
        let (page, token) = match self.ahead.take().filter(|(_, at)| at.elapsed() < FRESH_FOR) {
            Some((answer, _)) => answer?,
            None => self.request().await?,
        };
        (self.is_over, self.token) = (token.is_none(), token);
        Ok(page)
    }

    /// Requests the next page before it is needed, if there is one. Waits for the answer until `end`.
    pub(super) async fn request_ahead(&mut self, end: Instant) {
        if !self.is_over && Instant::now() < end {
            let answer = timeout_at(end, self.request()).await.ok();
            self.ahead = answer.map(|answer| (answer, Instant::now()));
        }
    }

    /// Returns the error of a request ahead, if it failed.
    pub(super) fn take_error(&mut self) -> Option<CallError> {
        self.ahead.take()?.0.err()
    }

    async fn request(&self) -> Answer {
        let Reconciler { client, deadline, .. } = self.reconciler;
        let listed = client.page(&InstanceSelector::All, self.token.clone());
        let page = deadline.bound(Call::DescribeInstances, listed).await?;
        let (instances, unknown_ids) = (page.listed.instances, page.listed.unknown_ids);
        Ok((Page { instances, unknown_ids, described_at: Instant::now() }, page.next))
    }
}
