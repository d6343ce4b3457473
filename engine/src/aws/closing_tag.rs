//! Detects responses that are cut off.
//!
//! The SDK's XML reader accepts a document that ends too early: instances, tags and options would seem not to exist. HTTP
//! does not show it if the body ends with the connection, as behind some proxies.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use aws_sdk_ec2::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_ec2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Fails successful responses that end before the closing tag of their root. The SDK retries them like a lost connection.
#[derive(Debug)]
pub(super) struct RequireClosingTag;

impl Intercept for RequireClosingTag {
    fn name(&self) -> &'static str {
        "RequireClosingTag"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let response = context.response_mut();
        if response.status().is_success() {
            let body = std::mem::replace(response.body_mut(), SdkBody::empty());
            *response.body_mut() = SdkBody::from_body_1_x(CheckedBody { body, end: Vec::new() });
        }
        Ok(())
    }
}

/// The response does not end with its closing tag.
#[derive(Debug, thiserror::Error)]
#[error("the response is cut off: its closing tag is missing")]
pub(super) struct CutOff;

/// A body that ends with an error if its closing tag is missing.
struct CheckedBody {
    body: SdkBody,
    /// The last bytes read so far.
    end: Vec<u8>,
}

/// More than the longest closing tag and a line break.
const END_LENGTH: usize = 64;

impl CheckedBody {
    fn push(&mut self, data: &[u8]) {
        self.end.extend(&data[data.len().saturating_sub(END_LENGTH)..]);
        self.end.drain(..self.end.len().saturating_sub(END_LENGTH));
    }
}

/// Returns whether the text ends with the closing tag of a response. Only roots have such names: `DescribeInstancesResponse`.
fn ends_with_closing_tag(end: &[u8]) -> bool {
    let end = String::from_utf8_lossy(end);
    let name = end.rsplit_once("</").and_then(|(_, tag)| tag.trim_end().strip_suffix('>'));
    name.is_some_and(|name| name.ends_with("Response") && !name.contains(['<', '>']))
}

impl Body for CheckedBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(match frame {
            None if !ends_with_closing_tag(&self.end) => {
                // The error is returned once; a further poll finds the end.
                self.push(b"</Response>");
                Some(Err(CutOff.into()))
            }
            frame => {
                if let Some(Ok(frame)) = &frame
                    && let Some(data) = frame.data_ref()
                {
                    self.push(data);
                }
                frame
            }
        })
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_closing_tag_of_the_root_ends_a_response() {
        let rows = [
            ("</tagSet></item></reservationSet></DescribeInstancesResponse>", true),
            ("</DescribeInstancesResponse>\r\n", true),
            ("</DescribeInstancesResponse", false),
            ("</reservationSet>", false),
            ("</reservationSet><nextToken>DescribeInstancesResponse>", false),
            ("", false),
        ];
        for (text, expected) in rows {
            assert_eq!(ends_with_closing_tag(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn a_body_in_pieces_is_judged_by_its_last_bytes() {
        let document = format!("<a>{}</a></DescribeInstancesResponse>\n", "x".repeat(500));
        for piece in [1, 7, 63, 64, 65, 1000] {
            let mut body = CheckedBody { body: SdkBody::empty(), end: Vec::new() };
            document.as_bytes().chunks(piece).for_each(|data| body.push(data));
            assert!(ends_with_closing_tag(&body.end) && body.end.len() <= END_LENGTH, "{piece}");
        }
    }
}
