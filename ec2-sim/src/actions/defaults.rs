//! GetInstanceMetadataDefaults and ModifyInstanceMetadataDefaults.

use super::context::{Answer, Context};
use crate::error::ApiError;
use crate::xml::Xml;

/// The defaults, their names in responses and their valid values. There is no default for IPv6.
const DEFAULTS: [(&str, &str, &[&str]); 5] = [
    ("HttpTokens", "httpTokens", &["optional", "required", "no-preference"]),
    ("HttpPutResponseHopLimit", "httpPutResponseHopLimit", &[]),
    ("HttpEndpoint", "httpEndpoint", &["enabled", "disabled", "no-preference"]),
    ("InstanceMetadataTags", "instanceMetadataTags", &["enabled", "disabled", "no-preference"]),
    ("HttpTokensEnforced", "httpTokensEnforced", &["enabled", "disabled", "no-preference"]),
];

pub fn get(context: &mut Context<'_>) -> Answer {
    context.end_if_dry_run()?;
    let defaults = &context.account().defaults;
    // EC2 omits defaults without a preference.
    let set = |(name, element, _): &(&str, &'static str, _)| {
        let value = defaults.get(*name).filter(|value| *value != "no-preference" && *value != "-1")?;
        Some((*element, Xml::text(value)))
    };
    let mut shown: Vec<_> = DEFAULTS.iter().filter_map(set).collect();
    if !shown.is_empty() {
        shown.push(("managedBy", Xml::text("account")));
    }
    Ok(Xml::Node(vec![("accountLevel", Xml::Node(shown))]))
}

pub fn modify(context: &mut Context<'_>) -> Answer {
    let request = context.request;
    let mut changes = Vec::new();
    for (name, _, values) in DEFAULTS {
        let Some(value) = request.get(name) else { continue };
        let is_valid = match name {
            "HttpPutResponseHopLimit" => {
                value.parse().is_ok_and(|hops: i64| hops == -1 || (1..=64).contains(&hops))
            }
            _ => values.contains(&value),
        };
        if !is_valid {
            let expected = if values.is_empty() { "-1, or 1 to 64".to_owned() } else { values.join(", ") };
            return Err(ApiError::invalid_value(value, name, &format!("Valid values: {expected}.")));
        }
        changes.push((name.to_owned(), value.to_owned()));
    }
    context.end_if_dry_run()?;
    context.account().defaults.extend(changes);
    Ok(Xml::Node(vec![("return", Xml::text(true))]))
}
