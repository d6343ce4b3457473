//! The token buckets of EC2 and CloudWatch, per account and Region: EC2 developer guide, "Request throttling for the Amazon EC2 API".

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Deserialize;

use crate::request::Request;

/// The capacity of a token bucket and its refill rate.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bucket {
    /// The largest burst, in calls.
    pub capacity: f64,
    /// The refill rate, in calls per second.
    pub refill: f64,
}

/// The buckets of one account and Region. Actions without a bucket are not throttled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Buckets {
    /// ModifyInstanceMetadataOptions.
    pub modify: Bucket,
    /// DescribeInstances with filters or pages.
    pub describe: Bucket,
    /// DescribeInstances without either.
    pub describe_unfiltered: Bucket,
    /// ModifyInstanceMetadataDefaults.
    pub modify_defaults: Bucket,
    /// CloudWatch's GetMetricData: CloudWatch user guide, "CloudWatch service quotas".
    pub get_metric_data: Bucket,
}

impl Default for Buckets {
    fn default() -> Self {
        Self {
            modify: Bucket { capacity: 100.0, refill: 5.0 },
            describe: Bucket { capacity: 100.0, refill: 20.0 },
            describe_unfiltered: Bucket { capacity: 50.0, refill: 10.0 },
            modify_defaults: Bucket { capacity: 2.0, refill: 2.0 },
            get_metric_data: Bucket { capacity: 50.0, refill: 50.0 },
        }
    }
}

/// The number of tokens in the buckets of one account and Region.
#[derive(Debug, Default)]
pub(crate) struct Levels(BTreeMap<&'static str, (f64, Instant)>);

impl Levels {
    /// Takes a token for the call; `false` if there is none.
    pub(crate) fn take(&mut self, buckets: &Buckets, request: &Request, now: Instant) -> bool {
        let is_filtered = !request.members("Filter").is_empty() || request.get("MaxResults").is_some();
        let (name, bucket) = match request.action.as_str() {
            "ModifyInstanceMetadataOptions" => ("modify", buckets.modify),
            "DescribeInstances" if is_filtered => ("describe", buckets.describe),
            "DescribeInstances" => ("describe-unfiltered", buckets.describe_unfiltered),
            "ModifyInstanceMetadataDefaults" => ("modify-defaults", buckets.modify_defaults),
            "GetMetricData" => ("get-metric-data", buckets.get_metric_data),
            _ => return true,
        };
        let (level, since) = self.0.entry(name).or_insert((bucket.capacity, now));
        *level = (*level + bucket.refill * now.duration_since(*since).as_secs_f64()).min(bucket.capacity);
        *since = now;
        let has_token = *level >= 1.0;
        if has_token {
            *level -= 1.0;
        }
        has_token
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bucket_empties_and_fills() {
        let request = Request { action: "ModifyInstanceMetadataOptions".to_owned(), ..Request::default() };
        let (mut levels, buckets, start) = (Levels::default(), Buckets::default(), Instant::now());
        let taken = (0..150).filter(|_| levels.take(&buckets, &request, start)).count();
        assert_eq!(taken, 100);
        let later = start + Duration::from_secs(2);
        let taken = (0..150).filter(|_| levels.take(&buckets, &request, later)).count();
        assert_eq!(taken, 10);
    }
}
