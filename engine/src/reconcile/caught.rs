//! Work that may panic.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};

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
