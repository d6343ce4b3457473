//! Work that may panic: a panic in one account and Region does not stop the others.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};

use imds_core::ids::AccountRegion;
use imds_core::outcome::InstanceOutcome;

use super::enforced::Enforced;
use super::target::Delivery;

/// Deliveries, with their indices in the batch.
pub(super) type Batch<'b> = [(usize, &'b Delivery)];

/// Calls `enforce` with the deliveries of one account and Region. After a panic, they are processed again by halves, so that
/// only the one that meets the defect is retried. They count as redelivered then, as changes may be unverified, so that a
/// sweep with limits changes nothing more.
pub(super) async fn isolated(
    account_region: &AccountRegion,
    batch: &Batch<'_>,
    on_report: &dyn Fn(InstanceOutcome),
    enforce: impl AsyncFn(&Batch<'_>, &dyn Fn(InstanceOutcome)) -> Enforced,
) -> Enforced {
    let ended = RefCell::new(BTreeSet::new());
    // An instance that has ended is reported once.
    let report = |outcome: InstanceOutcome| {
        if ended.borrow().contains(&outcome.instance_id) {
            return;
        }
        let has_ended = (!outcome.outcome.is_retryable()).then(|| outcome.instance_id.clone());
        on_report(outcome);
        // After the report, which may panic, too.
        ended.borrow_mut().extend(has_ended);
    };
    let again: Vec<(usize, Delivery)> = match caught(enforce(batch, &report)).await {
        Ok(enforced) => return enforced,
        Err(panic) if batch.len() == 1 => return Enforced::panicked(account_region, batch, &panic),
        Err(_) => batch.iter().map(|(index, delivery)| (*index, delivery.redelivered())).collect(),
    };
    let again: Vec<(usize, &Delivery)> = again.iter().map(|(index, delivery)| (*index, delivery)).collect();
    let (mut all, mut parts) = (Enforced::default(), halves(&again));
    while let Some(part) = parts.pop() {
        match caught(enforce(part, &report)).await {
            Ok(enforced) => all = all.and(enforced),
            Err(panic) if part.len() == 1 => all = all.and(Enforced::panicked(account_region, part, &panic)),
            Err(_) => parts.extend(halves(part)),
        }
    }
    all
}

fn halves<T>(all: &[T]) -> Vec<&[T]> {
    let (first, second) = all.split_at(all.len() / 2);
    vec![first, second]
}

/// Awaits `work`.
///
/// # Errors
/// The message of the panic that ended it. What `work` shares with others must hold after any panic: locks are taken
/// whether or not they are poisoned, and counts are changed in one step.
pub(super) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    // On the heap, as a future that holds another by value keeps room for it twice.
    let mut work = Box::pin(work);
    let polled = poll_fn(|context| {
        let poll = AssertUnwindSafe(|| work.as_mut().poll(context));
        match catch_unwind(poll) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Err(panic).into(),
        }
    });
    polled.await.map_err(|panic: Box<dyn std::any::Any + Send>| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("a panic without a message")
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_with_its_message() {
        assert_eq!(caught(async { 7 }).await, Ok(7));
        let panics = async |text: Option<u8>| {
            tokio::task::yield_now().await;
            text.expect("a number")
        };
        assert_eq!(caught(panics(None)).await, Err("a number".to_owned()));
        assert_eq!(caught(panics(Some(8))).await, Ok(8), "the next one goes on");
    }
}
