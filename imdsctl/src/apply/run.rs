//! A run: instances that were chosen beforehand → outcomes, in all accounts and Regions.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::{LocalBoxFuture, ready};
use futures_util::{FutureExt, StreamExt, stream};
use imds_core::ids::{AccountRegion, InstanceId};
use imds_core::metadata::{Change, MetadataOptions};
use imds_core::outcome::InstanceOutcome;
use imds_engine::deadline::Deadline;
use imds_engine::reconcile::{Attempt, Chosen, Hooks, Sent};

use super::journal::{self, Ended, Intention, Line, Place, SentWord, Writer};
use super::stop::Interrupt;
use crate::clock;
use crate::fields::rfc3339;
use crate::session::Session;

/// The maximum number of accounts and Regions that are worked on at once.
const ACCOUNT_REGIONS_AT_ONCE: usize = 32;

/// The number of instances that are described and verified together: those of one DescribeInstances call.
const TOGETHER: usize = 200;

/// How many of these parts are worked on at once in an account and Region, so that changes go on while others are verified.
const PARTS_AT_ONCE: usize = 2;

/// How long a part may take: much more than the rate limit needs, also while EC2 throttles.
const PART_WITHIN: Duration = Duration::from_secs(3600);

/// The chosen instances of each account and Region.
pub type AllChosen = BTreeMap<AccountRegion, Vec<Chosen>>;

/// A run.
pub struct Run<'a> {
    session: &'a Session,
    interrupt: Interrupt,
    max_changes: usize,
    journal: Option<&'a Writer>,
    /// The instances for which a change was about to be sent.
    begun: RefCell<BTreeSet<InstanceId>>,
    /// The changes that EC2 accepted.
    pub accepted: Cell<usize>,
}

impl<'a> Run<'a> {
    /// A run that changes at most `max_changes` instances.
    pub fn new(
        session: &'a Session,
        interrupt: Interrupt,
        max_changes: Option<usize>,
        journal: Option<&'a Writer>,
    ) -> Self {
        let max_changes = max_changes.unwrap_or(usize::MAX);
        Self { session, interrupt, max_changes, journal, begun: RefCell::default(), accepted: Cell::new(0) }
    }

    /// Brings all instances to what they may become. `on_outcome` gets each outcome as soon as it is known; instances that
    /// were not reached have none. Returns the defects that ended a part of the work.
    pub async fn run(&self, chosen: &AllChosen, on_outcome: &dyn Fn(&InstanceOutcome)) -> Vec<String> {
        let in_one = async |(account_region, chosen): (&AccountRegion, &Vec<Chosen>)| {
            let parts = stream::iter(chosen.chunks(TOGETHER));
            let ended = parts.map(|part| self.part(account_region, part, on_outcome));
            ended
                .buffer_unordered(PARTS_AT_ONCE)
                .filter_map(|ended| ready(ended.err()))
                .collect::<Vec<_>>()
                .await
        };
        let ended = stream::iter(chosen).map(in_one).buffer_unordered(ACCOUNT_REGIONS_AT_ONCE);
        ended.collect::<Vec<_>>().await.concat()
    }

    async fn part(
        &self,
        account_region: &AccountRegion,
        chosen: &[Chosen],
        on_outcome: &dyn Fn(&InstanceOutcome),
    ) -> Result<(), String> {
        if self.stopped().is_some() {
            return Ok(());
        }
        let before = |attempt: &Attempt<'_>| self.before(account_region, attempt);
        let after = |attempt: &Attempt<'_>, sent: Sent<'_>| self.after(account_region, attempt, sent);
        let on_report = |outcome: InstanceOutcome| {
            self.note(account_region, &outcome);
            on_outcome(&outcome);
        };
        let stopped = || self.broken();
        let hooks = Hooks { before: &before, after: &after, stopped: &stopped };
        let deadline = Deadline::new(clock::now(), PART_WITHIN);
        self.session.enforcer.apply(account_region, chosen, deadline, &hooks, &on_report).await
    }

    /// Returns why no more changes are sent, if so.
    pub fn stopped(&self) -> Option<String> {
        let is_full = self.begun.borrow().len() >= self.max_changes;
        self.broken().or_else(|| is_full.then(|| self.why_full()))
    }

    /// The same, apart from the maximum of changes: those that were admitted are still sent.
    fn broken(&self) -> Option<String> {
        if self.interrupt.is_noted() {
            return Some("the run was interrupted".to_owned());
        }
        if self.session.clients().lack_credentials() {
            return Some("the credentials have expired".to_owned());
        }
        self.journal.and_then(Writer::failure)
    }

    fn why_full(&self) -> String {
        format!("this run changes at most {} instances (--max-changes)", self.max_changes)
    }

    /// Writes the intention before a change is sent, unless the run ends.
    fn before(
        &self,
        account_region: &AccountRegion,
        attempt: &Attempt<'_>,
    ) -> LocalBoxFuture<'static, Result<(), String>> {
        if let Some(why) = self.broken().or_else(|| self.admit(attempt.id)) {
            return ready(Err(why)).boxed_local();
        }
        let Some(journal) = self.journal else { return ready(Ok(())).boxed_local() };
        let Attempt { before, change, .. } = *attempt;
        let line = Line::Intention(Intention {
            place: place(account_region, attempt.id),
            before: only(before, change),
            change: *change,
        });
        journal.sync(&line).boxed_local()
    }

    /// Counts an instance. Returns why it is not changed, if there are too many. The options of a change may follow one by one.
    fn admit(&self, id: &InstanceId) -> Option<String> {
        let mut begun = self.begun.borrow_mut();
        if begun.contains(id) {
            return None;
        }
        if begun.len() >= self.max_changes {
            return Some(self.why_full());
        }
        begun.insert(id.clone());
        None
    }

    fn after(&self, account_region: &AccountRegion, attempt: &Attempt<'_>, sent: Sent<'_>) {
        let (result, why, may_be_made) = match sent {
            Sent::Accepted => (SentWord::Accepted, None, false),
            Sent::Refused { why, may_be_made } => (SentWord::Refused, Some(why.to_owned()), may_be_made),
            Sent::NotSent => (SentWord::NotSent, None, false),
        };
        self.accepted.set(self.accepted.get() + usize::from(result == SentWord::Accepted));
        let Some(journal) = self.journal else { return };
        let place = place(account_region, attempt.id);
        journal.add(&Line::Result(journal::Sent {
            place,
            change: *attempt.change,
            result,
            why,
            may_be_made,
        }));
    }

    fn note(&self, account_region: &AccountRegion, outcome: &InstanceOutcome) {
        let Some(journal) = self.journal else { return };
        journal.add(&Line::Outcome(Ended {
            place: place(account_region, &outcome.instance_id),
            outcome: outcome.outcome.as_str().to_owned(),
            reasons: outcome.reasons.clone(),
            warnings: outcome.warnings.clone(),
        }));
    }
}

/// The instance and the time of a line.
fn place(account_region: &AccountRegion, id: &InstanceId) -> Place {
    let AccountRegion { account, region } = account_region.clone();
    // A clock in the year 10,000 does not keep a line from being written.
    Place { at: rfc3339(clock::now()).unwrap_or_default(), account, region, instance_id: id.clone() }
}

/// The options that the change sets, as they were before.
fn only(before: &MetadataOptions, change: &Change) -> MetadataOptions {
    before.iter().filter(|value| change.options().get(value.name()).is_some()).collect()
}
