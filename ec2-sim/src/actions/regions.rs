//! DescribeRegions.

use super::context::{Answer, Context};
use super::filter;
use crate::error::ApiError;
use crate::regions::Region;
use crate::xml::Xml;

/// A Region that a call names is returned whether the account has it on or not.
pub fn describe(context: &mut Context<'_>) -> Answer {
    let request = context.request;
    let (names, has_all) = (request.list("RegionName"), request.flag("AllRegions"));
    let filters = filter::conditions(request)?;
    if let Some((name, _)) = filters.iter().find(|(name, _)| value(name).is_none()) {
        return Err(filter::unknown(name));
    }
    let regions = context.world.regions.of(&context.key.0);
    if let Some(name) = names.iter().find(|name| !regions.iter().any(|region| region.name == **name)) {
        return Err(ApiError::invalid_value(name, "RegionName", "There is no Region with this name."));
    }
    context.end_if_dry_run()?;
    let is_asked = |region: &Region| match &*names {
        [] => has_all || region.is_on,
        names => names.iter().any(|name| name == region.name),
    };
    let matches = |region: &Region| {
        filters
            .iter()
            .all(|(name, patterns)| value(name).is_some_and(|value| patterns.matches(&value(region))))
    };
    let found = regions.iter().filter(|region| is_asked(region) && matches(region)).map(item);
    Ok(Xml::Node(vec![("regionInfo", Xml::Items(found.collect()))]))
}

/// The value that the filter with this name looks at.
fn value(filter: &str) -> Option<fn(&Region) -> String> {
    match filter {
        "endpoint" => Some(endpoint),
        "opt-in-status" => Some(|region| region.opt_in_status.to_owned()),
        "region-name" => Some(|region| region.name.to_owned()),
        _ => None,
    }
}

fn endpoint(region: &Region) -> String {
    format!("ec2.{}.amazonaws.com", region.name)
}

fn item(region: &Region) -> Xml {
    Xml::Node(vec![
        ("regionName", Xml::text(region.name)),
        ("regionEndpoint", Xml::text(endpoint(region))),
        ("optInStatus", Xml::text(region.opt_in_status)),
    ])
}
