//! The result of an invocation.

use imds_core::ids::AccountRegion;
use imds_engine::report::Report;
use lambda_runtime::Diagnostic;
use serde_json::Value;

/// The result of an invocation.
#[derive(Debug)]
pub struct Answer {
    /// The report. It contains outcomes only if the payload was a single event.
    pub report: Report,
    /// The accounts and Regions whose sweep is complete.
    pub swept: Vec<AccountRegion>,
    /// The accounts and Regions whose sweep sent no more changes, because as many failed as the policy allows.
    pub stopped: Vec<AccountRegion>,
    /// How many events of ours could not be read.
    pub unreadable: usize,
    /// What may delay a retry, one sentence each.
    pub warnings: Vec<String>,
    /// The response to Lambda: the report or, for a batch, the records that must be redelivered.
    pub response: Result<Value, HandlerError>,
}

/// Why the whole invocation fails. Lambda retries the payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    /// A direct invocation is not complete; a retry may complete it.
    #[error("not complete, must be retried: {0}")]
    Unfinished(String),
    /// An event of ours cannot be read; only an updated function may read it.
    #[error("{0}")]
    Unreadable(String),
    /// A payload with `Records` that are not those of SQS, so that no single record can be reported as failed.
    #[error("not an SQS batch, although it has Records: {0}")]
    MalformedBatch(String),
}

impl From<HandlerError> for Diagnostic {
    fn from(error: HandlerError) -> Self {
        let error_type = match error {
            HandlerError::Unfinished(_) => "Unfinished",
            HandlerError::Unreadable(_) => "Unreadable",
            HandlerError::MalformedBatch(_) => "MalformedBatch",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}
