//! The controls that set up what a fleet has beside instances: the Regions of accounts, the organization, launch
//! templates, images, and the defaults of metadata options.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::setup::{self, Refused};
use crate::actions;
use crate::organization::Organization;
use crate::template::{Image, LaunchTemplate, LaunchTemplateVersion};
use crate::world::World;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Regions {
    account: Option<String>,
    regions: Vec<String>,
}

/// Sets the Regions that an account has on.
pub fn regions(world: &mut World, body: &[u8]) -> Result<(), Refused> {
    let asked: Regions = serde_json::from_slice(body)?;
    Ok(world.regions.set(&setup::account(asked.account), &asked.regions)?)
}

/// Sets up the organization.
pub fn organization(world: &mut World, body: &[u8]) -> Result<(), Refused> {
    let organization: Organization = serde_json::from_slice(body)?;
    organization.check()?;
    world.organization = Some(organization);
    Ok(())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Template {
    account: Option<String>,
    region: String,
    id: String,
    name: String,
    #[serde(default)]
    default_version: u64,
    versions: Vec<LaunchTemplateVersion>,
}

/// Sets up a launch template.
pub fn launch_template(world: &mut World, body: &[u8]) -> Result<(), Refused> {
    let Template { account, region, id, name, default_version, versions } = serde_json::from_slice(body)?;
    let template = LaunchTemplate { id, name, default_version, versions }.numbered()?;
    world.account(&setup::key(account, region)).templates.insert(template.id.clone(), template);
    Ok(())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SetImage {
    account: Option<String>,
    region: String,
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    owner: String,
    imds_support: Option<String>,
}

/// Sets up an image.
pub fn image(world: &mut World, body: &[u8]) -> Result<(), Refused> {
    let SetImage { account, region, id, name, owner, imds_support } = serde_json::from_slice(body)?;
    let image = Image { id, name, owner, imds_support };
    image.check()?;
    world.account(&setup::key(account, region)).images.insert(image.id.clone(), image);
    Ok(())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Defaults {
    account: Option<String>,
    region: String,
    #[serde(default)]
    defaults: BTreeMap<String, String>,
    managed_exception_message: Option<String>,
}

/// Sets defaults, and whether a declarative policy manages them.
pub fn defaults(world: &mut World, body: &[u8]) -> Result<(), Refused> {
    let asked: Defaults = serde_json::from_slice(body)?;
    for (name, value) in &asked.defaults {
        actions::check_default(name, value)?;
    }
    let account = world.account(&setup::key(asked.account, asked.region));
    account.defaults.extend(asked.defaults);
    account.managed_defaults = asked.managed_exception_message;
    Ok(())
}
