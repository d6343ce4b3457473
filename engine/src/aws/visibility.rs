//! When the records of an SQS queue are delivered again.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry;
use futures_util::{StreamExt, stream};
use tokio::sync::OnceCell;

/// The most entries of a call: SQS's limit.
const ENTRIES_PER_CALL: usize = 10;

/// How many calls are under way at once: a batch of a hundred records takes one round.
const CALLS_AT_ONCE: usize = 10;

/// A record that is to be delivered again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redelivery {
    /// The ARN of the queue, the record's `eventSourceARN`.
    pub queue_arn: String,
    /// The record's `receiptHandle`.
    pub receipt_handle: String,
    /// When, from now: 0 s to 12 h.
    pub after: Duration,
}

/// SQS, reached at first use.
#[derive(Debug)]
pub struct Queues {
    shared: SdkConfig,
    client: OnceCell<aws_sdk_sqs::Client>,
}

impl Queues {
    /// Reaches SQS with the credentials and settings of `shared`.
    pub fn new(shared: SdkConfig) -> Self {
        Self { shared, client: OnceCell::new() }
    }

    /// Makes the records visible again when their time has come. Returns what failed, a sentence each: those records come
    /// again after the queue's own visibility timeout.
    pub async fn redeliver(&self, redeliveries: &[Redelivery]) -> Vec<String> {
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
                None => failures.push(format!("{arn:?} is no ARN of an SQS queue")),
            }
        }
        let mut answers = stream::iter(calls)
            .map(|(url, chunk)| async move { self.change(url, &chunk).await })
            .buffer_unordered(CALLS_AT_ONCE);
        while let Some(failed) = answers.next().await {
            failures.extend(failed);
        }
        failures
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
                    format!("sqs:ChangeMessageVisibility was answered {}: {message}", failed.code())
                };
                answer.failed().iter().map(sentence).collect()
            }
        }
    }
}

/// SQS answers within a fraction of a second; the invocation has only 2 s left.
fn client(shared: &SdkConfig) -> aws_sdk_sqs::Client {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_millis(800))
        .operation_timeout(Duration::from_millis(1700))
        .build();
    let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(50));
    let config = aws_sdk_sqs::config::Builder::from(shared).timeout_config(timeouts).retry_config(retries);
    aws_sdk_sqs::Client::from_conf(config.build())
}

/// The URL of the queue with this ARN, as SQS writes it.
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
