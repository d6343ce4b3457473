//! The hooks around each change of instances that were chosen beforehand.

use imds_core::metadata::{Change, MetadataOptions};

use super::planned::{Attempt, Hooks, Sent, Wanted};
use super::state::Answer;
use super::target::Target;

/// The hooks of a run, if there are any.
pub(super) struct Calls<'a> {
    hooks: Option<&'a Hooks<'a>>,
}

impl<'a> Calls<'a> {
    pub(super) fn new(hooks: Option<&'a Hooks<'a>>) -> Self {
        Self { hooks }
    }

    /// Returns why no more changes are sent, if so. A change that the first hook admitted is still sent if only others are
    /// refused.
    pub(super) fn stopped(&self) -> Option<String> {
        (self.hooks?.stopped)()
    }

    /// Makes `call`, which sends `change`, between the hooks.
    ///
    /// # Errors
    /// Why the change is not sent.
    pub(super) async fn around(
        &self,
        target: &mut Target,
        before: &MetadataOptions,
        change: &Change,
        call: impl AsyncFnOnce(&mut Target) -> Answer,
    ) -> Result<Answer, String> {
        let Some(hooks) = self.hooks else { return Ok(call(target).await) };
        let id = target.id.clone();
        let attempt = Attempt { id: &id, before, change };
        (hooks.before)(&attempt).await?;
        let may_be_made = target.wanted.as_mut().is_some_and(Wanted::take_attempt);
        let answer = call(target).await;
        let may_be_made = may_be_made || target.may_be_changed;
        let is_accepted = matches!(answer, Answer::Accepted(_));
        if let Some(wanted) = &mut target.wanted {
            wanted.take_result(change, is_accepted, may_be_made);
        }
        (hooks.after)(
            &attempt,
            match &answer {
                Answer::Accepted(_) => Sent::Accepted,
                Answer::Rejected { why, .. } => Sent::Refused { why, may_be_made },
                Answer::TooLate => match &target.failure {
                    Some((_, why)) => Sent::Refused { why, may_be_made },
                    None => Sent::NotSent,
                },
            },
        );
        Ok(answer)
    }
}
