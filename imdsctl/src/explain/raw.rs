//! An instance as `aws ec2 describe-instances` prints it. Only what decisions and reports use is read.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use imds_core::ids::{InvalidId, Region};
use imds_core::instance::{Instance, Words};
use imds_core::metadata::OptionName;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A reservation of a whole response.
#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RawReservation<'a> {
    #[serde(borrow)]
    pub owner_id: Option<Text<'a>>,
    #[serde(borrow, deserialize_with = "list")]
    pub instances: Vec<Object<RawInstance<'a>>>,
}

/// An instance. `None` is a field that is absent or null; a list that is null is empty.
#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RawInstance<'a> {
    #[serde(borrow)]
    pub instance_id: Option<Text<'a>>,
    #[serde(borrow)]
    image_id: Option<Text<'a>>,
    #[serde(borrow)]
    state: Option<Object<RawState<'a>>>,
    #[serde(borrow, default, deserialize_with = "present_list")]
    pub tags: Option<Vec<Object<RawTag<'a>>>>,
    #[serde(borrow)]
    metadata_options: Option<Object<RawOptions<'a>>>,
    #[serde(borrow)]
    placement: Option<Object<RawPlacement<'a>>>,
    /// `Some(None)` is null.
    #[serde(borrow, default, deserialize_with = "present")]
    pub operator: Option<Option<Object<RawOperator<'a>>>>,
    #[serde(borrow, default, deserialize_with = "present_list")]
    pub network_interfaces: Option<Vec<Object<RawInterface<'a>>>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawState<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RawTag<'a> {
    #[serde(borrow)]
    key: Text<'a>,
    #[serde(borrow)]
    value: Text<'a>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawOptions<'a> {
    #[serde(borrow)]
    state: Option<Text<'a>>,
    #[serde(borrow)]
    http_tokens: Option<Text<'a>>,
    #[serde(borrow)]
    http_endpoint: Option<Text<'a>>,
    http_put_response_hop_limit: Option<i64>,
    #[serde(borrow)]
    http_protocol_ipv6: Option<Text<'a>>,
    #[serde(borrow)]
    instance_metadata_tags: Option<Text<'a>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawPlacement<'a> {
    #[serde(borrow)]
    availability_zone: Option<Text<'a>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RawOperator<'a> {
    managed: Option<bool>,
    #[serde(borrow)]
    principal: Option<Text<'a>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RawInterface<'a> {
    #[serde(borrow)]
    owner_id: Option<Text<'a>>,
    #[serde(borrow)]
    attachment: Option<Object<RawAttachment<'a>>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawAttachment<'a> {
    device_index: Option<i64>,
    #[serde(borrow)]
    attach_time: Option<Text<'a>>,
}

impl RawInstance<'_> {
    /// Returns the Region of the instance's Availability Zone.
    pub fn region(&self) -> Option<Region> {
        self.placement.as_ref().and_then(|placement| region_of(text(&placement.0.availability_zone)?))
    }

    /// Returns the field without which it is not known when the instance first ran. An instance that has interfaces, but
    /// no primary one, lacks none.
    pub fn lacks_for_first_ran(&self) -> Option<&'static str> {
        let Some(interfaces) = &self.network_interfaces else { return Some("NetworkInterfaces") };
        if interfaces.iter().any(|interface| interface.0.first_ran().is_some()) {
            return None;
        }
        interfaces.iter().find_map(|interface| interface.0.lacks_for_first_ran())
    }

    /// Returns the instance; `owner` is that of its reservation.
    pub fn instance(&self, owner: Option<&str>) -> Result<Instance, InvalidId> {
        let options = self.metadata_options.as_ref().map(|options| &options.0);
        let interfaces = || self.network_interfaces.iter().flatten().map(|interface| &interface.0);
        let operator = self.operator.as_ref().and_then(Option::as_ref).map(|operator| &operator.0);
        let tags =
            self.tags.iter().flatten().map(|Object(tag)| (tag.key.0.to_string(), tag.value.0.to_string()));
        Instance::try_from(Words {
            id: text(&self.instance_id).unwrap_or_default(),
            owner: owner.or_else(|| interfaces().find_map(|interface| text(&interface.owner_id))),
            state: self.state.as_ref().and_then(|state| text(&state.0.name)),
            // No decision depends on the launch time.
            launched: None,
            first_ran: interfaces().filter_map(RawInterface::first_ran).min(),
            image: text(&self.image_id),
            tags: tags.collect(),
            options: options.map(RawOptions::words).unwrap_or_default(),
            options_state: options.and_then(|options| text(&options.state)),
            managed_by: operator
                .filter(|operator| operator.managed == Some(true))
                .map(|operator| text(&operator.principal).unwrap_or_default()),
        })
    }
}

impl RawOptions<'_> {
    fn words(&self) -> Vec<(OptionName, Cow<'_, str>)> {
        let word = |name| {
            let value: Cow<'_, str> = match name {
                OptionName::HttpTokens => text(&self.http_tokens)?.into(),
                OptionName::HttpEndpoint => text(&self.http_endpoint)?.into(),
                OptionName::HttpPutResponseHopLimit => self.http_put_response_hop_limit?.to_string().into(),
                OptionName::HttpProtocolIpv6 => text(&self.http_protocol_ipv6)?.into(),
                OptionName::InstanceMetadataTags => text(&self.instance_metadata_tags)?.into(),
            };
            Some((name, value))
        };
        OptionName::ALL.into_iter().filter_map(word).collect()
    }
}

impl RawInterface<'_> {
    fn lacks_for_first_ran(&self) -> Option<&'static str> {
        let Some(Object(attachment)) = &self.attachment else {
            return Some("NetworkInterfaces[].Attachment");
        };
        match attachment.device_index {
            None => Some("NetworkInterfaces[].Attachment.DeviceIndex"),
            Some(0) if attachment.attach_time.is_none() => Some("NetworkInterfaces[].Attachment.AttachTime"),
            Some(_) => None,
        }
    }

    /// Returns when the instance first ran, if this is its primary network interface, which is never detached.
    fn first_ran(&self) -> Option<OffsetDateTime> {
        let attachment = self.attachment.as_ref().map(|attachment| &attachment.0)?;
        let time = text(&attachment.attach_time).filter(|_| attachment.device_index == Some(0))?;
        OffsetDateTime::parse(time, &Rfc3339).ok()
    }
}

/// Returns the Region of a zone: `us-east-1` for `us-east-1a`, `us-west-2` for the Local Zone `us-west-2-lax-1a`.
fn region_of(zone: &str) -> Option<Region> {
    let number = zone.find(|c: char| c.is_ascii_digit())?;
    let end = zone[number..].find(|c: char| !c.is_ascii_digit()).map_or(zone.len(), |length| number + length);
    Region::new(&zone[..end]).ok()
}

/// A string that borrows from the input. `Option<Cow<str>>` would copy it.
#[derive(serde::Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

pub fn text<'t>(text: &'t Option<Text<'_>>) -> Option<&'t str> {
    text.as_ref().map(|text| &*text.0)
}

/// A JSON object. Without it, serde would also read a list of values, as the query `MetadataOptions.*` returns it, in
/// the order of the fields here.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object, as `aws ec2 describe-instances` prints it")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// Reads a list; null is an empty list.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Reads what may be absent; null is present.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads a list that may be absent; null is an empty list.
fn present_list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    list(deserializer).map(Some)
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
