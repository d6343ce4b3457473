//! Pages of a list that EC2 returns.

use std::ops::RangeInclusive;

use crate::error::ApiError;
use crate::request::Request;
use crate::xml::Xml;

/// The prefix of a pagination token. The rest is a position.
const TOKEN: &str = "sim-";

/// The call's `MaxResults`, if it has one.
pub fn most(request: &Request, range: RangeInclusive<i64>) -> Result<Option<usize>, ApiError> {
    match request.number("MaxResults")? {
        None => Ok(None),
        Some(most) if range.contains(&most) => Ok(usize::try_from(most).ok()),
        Some(most) => {
            let expected = format!("Expecting a value from {} to {}.", range.start(), range.end());
            Err(ApiError::invalid_value(&most.to_string(), "MaxResults", &expected))
        }
    }
}

/// The position at which the page begins.
pub fn start(request: &Request) -> Result<usize, ApiError> {
    let Some(token) = request.get("NextToken").filter(|token| !token.is_empty()) else {
        return Ok(0);
    };
    let start = token.strip_prefix(TOKEN).and_then(|start| start.parse().ok());
    start.ok_or_else(|| ApiError::invalid_value(token, "nextToken", "Unable to parse pagination token."))
}

/// The token of the page that begins at this position.
pub fn token(next: usize) -> (&'static str, Xml) {
    ("nextToken", Xml::text(format!("{TOKEN}{next}")))
}

/// The page of the items that the call asks for, as an element with this name.
pub fn page(
    request: &Request,
    range: RangeInclusive<i64>,
    name: &'static str,
    items: Vec<Xml>,
) -> Result<Xml, ApiError> {
    let (start, most) = (start(request)?, most(request, range)?.unwrap_or(usize::MAX));
    let next = start.saturating_add(most);
    let has_more = next < items.len();
    let mut answer = vec![(name, Xml::Items(items.into_iter().skip(start).take(most).collect()))];
    answer.extend(has_more.then(|| token(next)));
    Ok(Xml::Node(answer))
}
