//! The visibility timeout of records in an SQS queue: when they are delivered again.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry;
use futures_util::{StreamExt, stream};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};

use super::settings::retry_partition;

/// The maximum number of entries in a call: SQS's limit.
const ENTRIES_PER_CALL: usize = 10;

/// The maximum number of concurrent calls: a batch of 200 records takes one round trip.
const CALLS_AT_ONCE: usize = 20;

/// A record that must be delivered again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redelivery {
    /// The ARN of the queue, the record's `eventSourceARN`.
    pub queue_arn: String,
    /// The record's `receiptHandle`.
    pub receipt_handle: String,
    /// The new visibility timeout, 0 s to 12 h: SQS delivers the record again after it.
    pub after: Duration,
}

/// The queues that records come from. The client is created at first use.
#[derive(Debug)]
pub struct Queues {
    shared: SdkConfig,
    client: OnceCell<aws_sdk_sqs::Client>,
}

impl Queues {
    /// Calls SQS with the credentials and settings of `shared`.
    pub fn new(shared: SdkConfig) -> Self {
        Self { shared, client: OnceCell::new() }
    }

    /// Sets the visibility timeouts. Returns what failed by `until`, one sentence each: those records are delivered again
    /// after the queue's own visibility timeout.
    pub async fn redeliver(&self, redeliveries: &[Redelivery], until: Instant) -> Vec<String> {
        let mut queues: BTreeMap<&str, Vec<&Redelivery>> = BTreeMap::new();
        for redelivery in redeliveries {
            queues.entry(&redelivery.queue_arn).or_default().push(redelivery);
        }
        let mut failures = Vec::new();
        let mut calls = Vec::new();
        for (arn, redeliveries) in queues {
            match queue_url(arn) {
                Some(url) => calls
                    .extend(redeliveries.chunks(ENTRIES_PER_CALL).map(|chunk| (url.clone(), chunk.to_vec()))),
                None => failures.push(format!("{arn:?} is not the ARN of an SQS queue")),
            }
        }
        let mut answers = stream::iter(calls)
            .map(|(url, chunk)| async move { self.change(url, &chunk).await })
            .buffer_unordered(CALLS_AT_ONCE);
        loop {
            match timeout_at(until, answers.next()).await {
                Ok(Some(failed)) => failures.extend(failed),
                Ok(None) => return failures,
                Err(_) => {
                    failures.push("sqs:ChangeMessageVisibility did not respond in time".to_owned());
                    return failures;
                }
            }
        }
    }

    async fn change(&self, url: String, redeliveries: &[&Redelivery]) -> Vec<String> {
        let entry = |(index, redelivery): (usize, &&Redelivery)| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(&redelivery.receipt_handle)
                .visibility_timeout(i32::try_from(redelivery.after.as_secs()).unwrap_or(i32::MAX))
                .build()
        };
        let entries: Vec<_> = redeliveries.iter().enumerate().filter_map(|one| entry(one).ok()).collect();
        let client = self.client.get_or_init(|| async { client(&self.shared) }).await;
        let request = client.change_message_visibility_batch().queue_url(url);
        match request.set_entries(Some(entries)).send().await {
            Err(error) => {
                vec![format!("sqs:ChangeMessageVisibility failed: {}", DisplayErrorContext(error))]
            }
            Ok(answer) => {
                let sentence = |failed: &aws_sdk_sqs::types::BatchResultErrorEntry| {
                    let message = failed.message().unwrap_or_default();
                    format!("sqs:ChangeMessageVisibility returned {}: {message}", failed.code())
                };
                answer.failed().iter().map(sentence).collect()
            }
        }
    }
}

/// SQS responds within a fraction of a second, and the invocation has only 2 s left.
fn client(shared: &SdkConfig) -> aws_sdk_sqs::Client {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_millis(800))
        .operation_timeout(Duration::from_millis(1700))
        .build();
    let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(50));
    let config = aws_sdk_sqs::config::Builder::from(shared)
        .timeout_config(timeouts)
        .retry_partition(retry_partition("sqs"))
        .retry_config(retries);
    aws_sdk_sqs::Client::from_conf(config.build())
}

/// Returns the URL of the queue with this ARN.
fn queue_url(arn: &str) -> Option<String> {
    let parts: Vec<&str> = arn.split(':').collect();
    let ["arn", partition, "sqs", region, account, name] = parts[..] else { return None };
    let suffix = match partition {
        "aws-cn" => "amazonaws.com.cn",
        _ => "amazonaws.com",
    };
    Some(format!("https://sqs.{region}.{suffix}/{account}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_has_the_url_of_its_queue() {
        let rows = [
            (
                "arn:aws:sqs:us-east-1:111122223333:events",
                Some("https://sqs.us-east-1.amazonaws.com/111122223333/events"),
            ),
            (
                "arn:aws-cn:sqs:cn-north-1:111122223333:events",
                Some("https://sqs.cn-north-1.amazonaws.com.cn/111122223333/events"),
            ),
            ("arn:aws:sns:us-east-1:111122223333:events", None),
            ("", None),
        ];
        for (arn, expected) in rows {
            assert_eq!(queue_url(arn).as_deref(), expected, "{arn:?}");
        }
    }
}
