//! Output of `aws ec2 describe-instances` → instances.

use std::borrow::Cow;
use std::path::Path;
use std::{fs, io};

use anyhow::{Context, Result, anyhow, bail};
use imds_core::ids::Region;
use imds_core::instance::{Instance, Words};
use imds_core::metadata::OptionName;
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// An instance in the input.
pub struct Described {
    /// The path of the instance within the input.
    pub place: String,
    /// The instance.
    pub instance: Instance,
    /// The Region of its Availability Zone, if the input has one.
    pub region: Option<Region>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawInstance {
    instance_id: String,
    state: Option<RawState>,
    #[serde(default)]
    tags: Vec<RawTag>,
    metadata_options: Option<Value>,
    placement: Option<RawPlacement>,
    operator: Option<RawOperator>,
    #[serde(default)]
    network_interfaces: Vec<RawInterface>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawState {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawTag {
    key: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawPlacement {
    availability_zone: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawOperator {
    #[serde(default)]
    managed: bool,
    principal: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawInterface {
    owner_id: Option<String>,
    attachment: Option<RawAttachment>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawAttachment {
    device_index: Option<i64>,
    attach_time: Option<String>,
}

impl RawInterface {
    /// Returns when the instance first ran, if this is its primary network interface.
    fn first_ran(&self) -> Option<OffsetDateTime> {
        let attachment = self.attachment.as_ref().filter(|attachment| attachment.device_index == Some(0))?;
        OffsetDateTime::parse(attachment.attach_time.as_deref()?, &Rfc3339).ok()
    }
}

/// Reads the instances in `file`, or on standard input.
pub fn read(file: Option<&Path>) -> Result<Vec<Described>> {
    let (name, text) = match file.filter(|file| *file != Path::new("-")) {
        None => ("standard input".to_owned(), io::read_to_string(io::stdin())),
        Some(path) => (path.display().to_string(), fs::read_to_string(path)),
    };
    let text = text.with_context(|| format!("{name} cannot be read"))?;
    let value = serde_json::from_str(&text).map_err(|error| anyhow!("{name} is not JSON: {error}"))?;
    instances(&value).with_context(|| name.clone())
}

fn instances(value: &Value) -> Result<Vec<Described>> {
    if let Some(list) = value.as_array() {
        return list.iter().enumerate().map(|(i, value)| instance(value, format!("[{i}]"), None)).collect();
    }
    let Some(reservations) = value.get("Reservations").and_then(Value::as_array) else {
        bail!("must be the output of `aws ec2 describe-instances`, or a list of instances");
    };
    let mut all = Vec::new();
    for (r, reservation) in reservations.iter().enumerate() {
        let owner = reservation.get("OwnerId").and_then(Value::as_str);
        let Some(list) = reservation.get("Instances").and_then(Value::as_array) else {
            bail!("Reservations[{r}].Instances must be a list of instances");
        };
        for (i, value) in list.iter().enumerate() {
            all.push(instance(value, format!("Reservations[{r}].Instances[{i}]"), owner)?);
        }
    }
    Ok(all)
}

fn instance(value: &Value, place: String, owner: Option<&str>) -> Result<Described> {
    let raw = RawInstance::deserialize(value).map_err(|error| anyhow!("{place}: {error}"))?;
    let options = raw.metadata_options.unwrap_or_default();
    let operator = raw.operator.filter(|operator| operator.managed);
    let words = Words {
        id: &raw.instance_id,
        owner: owner.or_else(|| raw.network_interfaces.iter().find_map(|i| i.owner_id.as_deref())),
        state: raw.state.as_ref().map(|state| &*state.name),
        // No decision depends on the launch time.
        launched: None,
        first_ran: raw.network_interfaces.iter().filter_map(RawInterface::first_ran).min(),
        tags: raw.tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
        options: option_words(&options),
        options_state: options.get("State").and_then(Value::as_str),
        managed_by: operator.as_ref().map(|operator| operator.principal.as_deref().unwrap_or_default()),
    };
    let instance = Instance::try_from(words).with_context(|| format!("{place}.InstanceId"))?;
    let zone = raw.placement.and_then(|placement| placement.availability_zone);
    Ok(Described { place, instance, region: zone.as_deref().and_then(region_of) })
}

fn option_words(options: &Value) -> Vec<(OptionName, Cow<'_, str>)> {
    let word = |name: OptionName| match options.get(name.as_str())? {
        Value::String(text) => Some((name, text.into())),
        other => Some((name, other.to_string().into())),
    };
    OptionName::ALL.into_iter().filter_map(word).collect()
}

/// Returns the Region of a zone: `us-east-1` for `us-east-1a`, `us-west-2` for the Local Zone `us-west-2-lax-1a`.
fn region_of(zone: &str) -> Option<Region> {
    let number = zone.find(|c: char| c.is_ascii_digit())?;
    let end = zone[number..].find(|c: char| !c.is_ascii_digit()).map_or(zone.len(), |length| number + length);
    Region::new(&zone[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_in_a_region() {
        let rows = [
            ("us-east-1a", Some("us-east-1")),
            ("us-gov-west-1b", Some("us-gov-west-1")),
            ("us-west-2-lax-1a", Some("us-west-2")),
            ("us-east-1-wl1-bos-wlz-1", Some("us-east-1")),
            ("ap-southeast-12c", Some("ap-southeast-12")),
            ("", None),
            ("nowhere", None),
        ];
        for (zone, region) in rows {
            assert_eq!(region_of(zone).as_ref().map(Region::as_str), region, "{zone:?}");
        }
    }
}
