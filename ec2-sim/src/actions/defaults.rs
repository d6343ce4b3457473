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
    let account = context.account();
    // EC2 omits defaults without a preference.
    let set = |(name, element, _): &(&str, &'static str, _)| {
        let value =
            account.defaults.get(*name).filter(|value| *value != "no-preference" && *value != "-1")?;
        Some((*element, Xml::text(value)))
    };
    let mut shown: Vec<_> = DEFAULTS.iter().filter_map(set).collect();
    if let Some(message) = &account.managed_defaults {
        shown.push(("managedBy", Xml::text("declarative-policy")));
        shown.extend((!message.is_empty()).then(|| ("managedExceptionMessage", Xml::text(message))));
    } else if !shown.is_empty() {
        shown.push(("managedBy", Xml::text("account")));
    }
    Ok(Xml::Node(vec![("accountLevel", Xml::Node(shown))]))
}

pub fn modify(context: &mut Context<'_>) -> Answer {
    let request = context.request;
    let mut changes = Vec::new();
    for (name, ..) in DEFAULTS {
        let Some(value) = request.get(name) else { continue };
        check_default(name, value)?;
        changes.push((name.to_owned(), value.to_owned()));
    }
    if let Some(message) = &context.account().managed_defaults {
        return Err(managed(message));
    }
    context.end_if_dry_run()?;
    context.account().defaults.extend(changes);
    Ok(Xml::Node(vec![("return", Xml::text(true))]))
}

/// Checks the name and the value of a default.
pub fn check_default(name: &str, value: &str) -> Result<(), ApiError> {
    let Some((.., values)) = DEFAULTS.iter().find(|(known, ..)| *known == name) else {
        let message = format!("There is no default {name} of metadata options.");
        return Err(ApiError::new(400, "InvalidParameterValue", message));
    };
    let is_valid = match name {
        "HttpPutResponseHopLimit" => {
            value.parse().is_ok_and(|hops: i64| hops == -1 || (1..=64).contains(&hops))
        }
        _ => values.contains(&value),
    };
    if is_valid {
        return Ok(());
    }
    let expected = if values.is_empty() { "-1, or 1 to 64".to_owned() } else { values.join(", ") };
    Err(ApiError::invalid_value(value, name, &format!("Valid values: {expected}.")))
}

/// A declarative policy manages the defaults. AWS documents neither the code nor the status.
fn managed(message: &str) -> ApiError {
    let custom = if message.is_empty() { String::new() } else { format!(" Custom Message: {message}") };
    let message = format!("This functionality has been disabled by a Declarative Policy.{custom}");
    ApiError::new(400, "DeclarativePolicyViolation", message)
}
