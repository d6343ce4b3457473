//! DescribeLaunchTemplateVersions.

use super::context::{Answer, Context};
use super::page;
use crate::error::ApiError;
use crate::instance::{OPTIONS, is_id};
use crate::request::Request;
use crate::template::{LaunchTemplate, LaunchTemplateVersion};
use crate::world::Account;
use crate::xml::Xml;

/// The version with the highest number, and the default version.
const LATEST: &str = "$Latest";
const DEFAULT: &str = "$Default";

pub fn describe(context: &mut Context<'_>) -> Answer {
    let request = context.request;
    if !request.members("Filter").is_empty() {
        let message = "ec2-sim supports no filters of DescribeLaunchTemplateVersions.";
        return Err(ApiError::new(400, "InvalidParameterValue", message));
    }
    let wanted = request.list("LaunchTemplateVersion");
    let created_by = format!("arn:aws:iam::{}:user/someone", context.key.0);
    let templates = templates(context.account(), request, &wanted)?;
    let mut items = Vec::new();
    for template in templates {
        for version in versions(template, request, &wanted)? {
            items.push(item(template, version, &created_by));
        }
    }
    context.end_if_dry_run()?;
    page::page(request, 1..=200, "launchTemplateVersionSet", items)
}

/// The template that the call names, or all of them if it asks for their latest or default versions only.
fn templates<'a>(
    account: &'a Account,
    request: &Request,
    wanted: &[String],
) -> Result<Vec<&'a LaunchTemplate>, ApiError> {
    let not_found = |code: &str, what: &str| {
        let message = format!("The specified launch template, with {what}, does not exist.");
        ApiError::new(400, code, message)
    };
    match (request.get("LaunchTemplateId"), request.get("LaunchTemplateName")) {
        (Some(_), Some(_)) => {
            Err(ApiError::combination("Specify either the launch template id or its name, not both."))
        }
        (Some(id), None) if !is_id("lt-", id) => {
            Err(ApiError::new(400, "InvalidLaunchTemplateId.Malformed", format!("Invalid id: \"{id}\"")))
        }
        (Some(id), None) => {
            let unknown = || not_found("InvalidLaunchTemplateId.NotFound", &format!("template ID {id}"));
            Ok(vec![account.templates.get(id).ok_or_else(unknown)?])
        }
        (None, Some(name)) => {
            let code = "InvalidLaunchTemplateName.NotFoundException";
            let unknown = || not_found(code, &format!("template name {name}"));
            Ok(vec![account.templates.values().find(|template| template.name == name).ok_or_else(unknown)?])
        }
        (None, None) if !wanted.is_empty() && wanted.iter().all(|wanted| is_alias(wanted)) => {
            Ok(account.templates.values().collect())
        }
        (None, None) => Err(ApiError::missing("LaunchTemplateId or LaunchTemplateName")),
    }
}

fn is_alias(version: &str) -> bool {
    matches!(version, LATEST | DEFAULT)
}

/// The versions that the call asks for: those that it names, or those from `MinVersion` to `MaxVersion`; the newest
/// first.
fn versions<'t>(
    template: &'t LaunchTemplate,
    request: &Request,
    wanted: &[String],
) -> Result<Vec<&'t LaunchTemplateVersion>, ApiError> {
    let named = wanted.iter().map(|text| number(template, text)).collect::<Result<Vec<u64>, _>>()?;
    if let Some(unknown) = named.iter().find(|number| !template.versions.iter().any(|v| v.number == **number))
    {
        let message = format!(
            "Could not find the specified version {unknown} for the launch template with ID {}.",
            template.id
        );
        return Err(ApiError::new(400, "InvalidLaunchTemplateId.VersionNotFound", message));
    }
    let bound = |name: &str| request.get(name).map(|text| number(template, text)).transpose();
    let (least, most) = (bound("MinVersion")?.unwrap_or(0), bound("MaxVersion")?.unwrap_or(u64::MAX));
    let is_asked = |number: &u64| match &*named {
        [] => (least..=most).contains(number),
        named => named.contains(number),
    };
    Ok(template.versions.iter().rev().filter(|version| is_asked(&version.number)).collect())
}

/// The number of a version, which can be an alias.
fn number(template: &LaunchTemplate, text: &str) -> Result<u64, ApiError> {
    match text {
        LATEST => Ok(template.latest()),
        DEFAULT => Ok(template.default_version),
        text => text.parse().map_err(|_| {
            ApiError::invalid_value(text, "Versions", "Expected a number, $Latest or $Default.")
        }),
    }
}

fn item(template: &LaunchTemplate, version: &LaunchTemplateVersion, created_by: &str) -> Xml {
    let mut settings = Vec::new();
    settings.extend(version.image.as_ref().map(|image| ("imageId", Xml::text(image))));
    if !version.options.is_empty() {
        let set = |(name, element, _): &(&str, &'static str, _)| {
            Some((*element, Xml::text(version.options.get(*name)?)))
        };
        settings.push(("metadataOptions", Xml::Node(OPTIONS.iter().filter_map(set).collect())));
    }
    Xml::Node(vec![
        ("launchTemplateId", Xml::text(&template.id)),
        ("launchTemplateName", Xml::text(&template.name)),
        ("versionNumber", Xml::text(version.number)),
        ("createdBy", Xml::text(created_by)),
        ("defaultVersion", Xml::text(version.number == template.default_version)),
        ("launchTemplateData", Xml::Node(settings)),
    ])
}
