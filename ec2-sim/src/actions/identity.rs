//! STS's GetCallerIdentity: STS API reference, version 2011-06-15.

use super::context::{Answer, Context};
use crate::request::USER_ID;
use crate::xml::Xml;

/// Returns the caller. STS needs no permission for this.
pub fn identity(context: &mut Context<'_>) -> Answer {
    let request = context.request;
    let id = request.session.as_ref().map_or(USER_ID.to_owned(), |session| session.id());
    let result = vec![
        ("Arn", Xml::text(request.caller_arn())),
        ("UserId", Xml::text(id)),
        ("Account", Xml::text(&request.account)),
    ];
    Ok(Xml::Node(vec![("GetCallerIdentityResult", Xml::Node(result))]))
}
