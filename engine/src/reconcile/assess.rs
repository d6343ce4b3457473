//! The decisions on all instances of an account and Region, without any change: what imdsctl reports and plans.

use futures_util::future::join;
use imds_core::call_error::{Call, CallError};
use imds_core::decide::{Decision, Verdict};
use imds_core::instance::Instance;
use imds_core::metadata::{OptionName, OptionValue};
use imds_core::policy::today;
use imds_core::usage::{Usage, Use};
use time::{Date, OffsetDateTime};

use super::decide::{DecisionContext, Questions};
use super::pages::Pages;
use super::reconciler::Reconciler;

/// Of which instances CloudWatch is asked for the use of IMDSv1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskUsage {
    /// Of none.
    Nothing,
    /// Of those whose decision depends on it.
    IfNeeded,
    /// Of all that accept IMDSv1, over so many days.
    Days(u16),
}

/// An instance and the decision on it.
#[derive(Debug)]
pub struct Assessed {
    /// The instance.
    pub instance: Instance,
    /// The decision. Its verdict is [`Verdict::NeedsUsage`] if the use is not known.
    pub decision: Decision,
    /// Its use of IMDSv1 over the days that were asked for, if CloudWatch was asked and answered.
    pub usage: Option<Use>,
    /// Why its use, or that of its group, is not known although CloudWatch was asked.
    pub usage_error: Option<String>,
}

/// Instances whose IDs have a form that is not known, in words.
pub type UnknownIds = Vec<String>;

impl Reconciler<'_> {
    /// Decides on every instance, page by page, and changes nothing.
    ///
    /// # Errors
    /// The error of DescribeInstances, or that of `on_page`. The pages before it were passed to `on_page`.
    pub(super) async fn assess<E: From<CallError>>(
        &self,
        usage: AskUsage,
        mut on_page: impl AsyncFnMut(Vec<Assessed>, UnknownIds) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut pages = Pages::new(self);
        while !pages.is_over() {
            let page = pages.next().await?;
            let assessed = self.assessed(page.instances, usage);
            let (assessed, ()) = join(assessed, pages.request_ahead(self.deadline.last_start)).await;
            on_page(assessed, page.unknown_ids).await?;
        }
        Ok(())
    }

    async fn assessed(&self, instances: Vec<Instance>, usage: AskUsage) -> Vec<Assessed> {
        let context = self.empty_context();
        let mut questions = Questions::default();
        for instance in &instances {
            questions.add(context.questions_about(false, instance));
        }
        let days = match usage {
            AskUsage::Nothing => {
                questions = Questions { tokens_enforced: questions.tokens_enforced, ..Questions::default() };
                0
            }
            AskUsage::IfNeeded => 0,
            AskUsage::Days(days) => {
                let accepting = instances.iter().filter(|instance| accepts_imdsv1(instance));
                let usage_of = accepting.map(|instance| instance.id.clone()).collect();
                let since = Some(first_day(self.deadline.now, days));
                questions.add(Questions { usage_of, since, ..Questions::default() });
                days
            }
        };
        let context = self.answered(questions).await;
        instances.into_iter().map(|instance| assess(instance, &context, days)).collect()
    }
}

fn first_day(now: OffsetDateTime, days: u16) -> Date {
    today(now).saturating_sub(time::Duration::days(days.into()))
}

/// Decides on an instance. Its use is that over `days`; 0 if it is only known as far as the decision needs it.
fn assess(instance: Instance, context: &DecisionContext<'_>, days: u16) -> Assessed {
    let decision = context.decide(false, &instance);
    let needed = match &decision.verdict {
        Verdict::NeedsUsage(needed) => context.usage_error(&instance.id, needed).map(CallError::to_string),
        _ => None,
    };
    let (usage, unknown) = match context.usage.get(&instance.id) {
        None => (None, None),
        Some(Ok(Usage::Days(_))) if days == 0 => (decision.usage, None),
        Some(Ok(Usage::Days(sums))) => (Some(Use::of(sums, first_day(context.now, days), days)), None),
        Some(Ok(Usage::Refused(why))) => (None, Some(format!("{} is refused: {why}", Call::GetMetricData))),
        Some(Err(error)) => (None, Some(error.to_string())),
    };
    Assessed { instance, decision, usage, usage_error: needed.or(unknown) }
}

/// Whether calls without a token succeed now, so that their number matters.
fn accepts_imdsv1(instance: &Instance) -> bool {
    let options = &instance.options;
    !instance.is_ending()
        && options.get(OptionName::HttpTokens) == Some(OptionValue::TOKENS_OPTIONAL)
        && options.get(OptionName::HttpEndpoint) != OptionName::HttpEndpoint.parse("disabled")
}
