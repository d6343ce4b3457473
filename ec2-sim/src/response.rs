//! What a caller receives.

use std::time::Duration;

use crate::api::Api;
use crate::error::ApiError;
use crate::xml;

/// A reply.
#[derive(Debug)]
pub struct Reply {
    /// How long it is delayed.
    pub after: Duration,
    pub kind: ReplyKind,
}

#[derive(Debug)]
pub enum ReplyKind {
    Response(Response),
    /// No response. The connection is reset after this time, or after an hour for `None`.
    Hang(Option<Duration>),
    /// A reset connection.
    Reset,
}

/// An HTTP response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Whether the body is only the beginning of a document. It ends with the connection.
    pub is_cut_off: bool,
}

impl Response {
    /// The response with the document of a call that succeeded, or with its error.
    pub fn new(api: Api, request_id: &str, answer: Result<Vec<u8>, ApiError>) -> Self {
        let error = answer.as_ref().err();
        let headers = match api.codec() {
            None => vec![("content-type", "text/xml;charset=UTF-8".to_owned())],
            Some(codec) => codec.headers(request_id, error),
        };
        let status = error.map_or(200, |error| error.status);
        let body = answer.unwrap_or_else(|error| match api.codec() {
            None => xml::error(api, &error, request_id),
            Some(codec) => codec.error(&error),
        });
        Self { status, headers, body, is_cut_off: false }
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Self { after: Duration::ZERO, kind: ReplyKind::Response(response) }
    }
}
