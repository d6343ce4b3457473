//! `DescribeInstances` response → instances.

use std::borrow::Cow;

use aws_sdk_ec2::types as sdk;
use imds_core::instance::{Instance, Words};
use imds_core::metadata::OptionName;
use time::OffsetDateTime;

/// Instances as EC2 returned them.
#[derive(Debug, Default)]
pub struct Listed {
    /// The instances.
    pub instances: Vec<Instance>,
    /// What is wrong with IDs of a form that is not known: nobody can act on these instances, and they are reported.
    pub unknown_ids: Vec<String>,
}

/// Converts the instances.
pub(super) fn listed(reservations: Option<Vec<sdk::Reservation>>) -> Listed {
    let mut listed = Listed::default();
    for reservation in reservations.into_iter().flatten() {
        for instance in reservation.instances.iter().flatten() {
            match Instance::try_from(words(instance, reservation.owner_id.as_deref())) {
                Ok(instance) => listed.instances.push(instance),
                Err(invalid) => listed.unknown_ids.push(invalid.to_string()),
            }
        }
    }
    listed
}

fn words<'a>(instance: &'a sdk::Instance, owner: Option<&'a str>) -> Words<'a> {
    let tag = |tag: &sdk::Tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default()));
    let options = instance.metadata_options.as_ref();
    let operator = instance.operator.as_ref().filter(|operator| operator.managed == Some(true));
    Words {
        id: instance.instance_id.as_deref().unwrap_or_default(),
        owner,
        state: instance.state.as_ref().and_then(|state| Some(state.name.as_ref()?.as_str())),
        launched: instance.launch_time.and_then(|time| OffsetDateTime::from_unix_timestamp(time.secs()).ok()),
        first_ran: first_ran(instance),
        image: instance.image_id.as_deref(),
        tags: instance.tags.iter().flatten().filter_map(tag).collect(),
        options: options.map(option_words).unwrap_or_default(),
        options_state: options.and_then(|options| Some(options.state.as_ref()?.as_str())),
        managed_by: operator.map(|operator| operator.principal.as_deref().unwrap_or_default()),
    }
}

/// When the primary network interface, which is never detached, was attached.
fn first_ran(instance: &sdk::Instance) -> Option<OffsetDateTime> {
    let attachments = instance.network_interfaces().iter().filter_map(|interface| interface.attachment());
    let primary = attachments.filter(|attachment| attachment.device_index() == Some(0));
    let times = primary.filter_map(|attachment| attachment.attach_time());
    times.filter_map(|time| OffsetDateTime::from_unix_timestamp(time.secs()).ok()).min()
}

fn option_words(options: &sdk::InstanceMetadataOptionsResponse) -> Vec<(OptionName, Cow<'_, str>)> {
    let word = |name: OptionName| {
        Some(match name {
            OptionName::HttpTokens => options.http_tokens.as_ref()?.as_str().into(),
            OptionName::HttpEndpoint => options.http_endpoint.as_ref()?.as_str().into(),
            OptionName::HttpPutResponseHopLimit => options.http_put_response_hop_limit?.to_string().into(),
            OptionName::HttpProtocolIpv6 => options.http_protocol_ipv6.as_ref()?.as_str().into(),
            OptionName::InstanceMetadataTags => options.instance_metadata_tags.as_ref()?.as_str().into(),
        })
    };
    OptionName::ALL.into_iter().filter_map(|name| Some((name, word(name)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use aws_sdk_ec2::primitives::DateTime;

    #[test]
    fn the_first_run_is_the_attachment_of_the_primary_interface() {
        let interface = |index: i32, seconds: i64| {
            let attachment = sdk::InstanceNetworkInterfaceAttachment::builder();
            let attachment = attachment.device_index(index).attach_time(DateTime::from_secs(seconds)).build();
            sdk::InstanceNetworkInterface::builder().attachment(attachment).build()
        };
        let detached = sdk::InstanceNetworkInterface::builder().build();
        let rows = [
            (vec![interface(1, 5), interface(0, 1000), detached.clone()], Some(1000)),
            (vec![interface(1, 5)], None),
            (vec![detached], None),
            (vec![], None),
            (vec![interface(0, i64::MAX)], None),
        ];
        for (interfaces, expected) in rows {
            let instance = sdk::Instance::builder()
                .instance_id("i-01234567")
                .launch_time(DateTime::from_secs(2000))
                .set_network_interfaces(Some(interfaces.clone()))
                .build();
            let reservation = sdk::Reservation::builder().instances(instance).build();
            let first_ran = listed(Some(vec![reservation])).instances[0].first_ran;
            assert_eq!(first_ran.map(OffsetDateTime::unix_timestamp), expected, "{interfaces:?}");
        }
    }
    #[test]
    fn an_instance_whose_id_has_an_unknown_form_is_listed_apart() {
        let instance = |id: &str| sdk::Instance::builder().instance_id(id).build();
        let [known, unknown] = ["i-0123456789abcdef0", "vm-1\u{202e}"].map(instance);
        let reservation = sdk::Reservation::builder().instances(unknown).instances(known).build();
        let listed = listed(Some(vec![reservation]));
        let ids: Vec<&str> = listed.instances.iter().map(|instance| instance.id.as_str()).collect();
        assert_eq!(ids, ["i-0123456789abcdef0"]);
        let [problem] = &listed.unknown_ids[..] else { panic!("{:?}", listed.unknown_ids) };
        assert!(problem.starts_with("\"vm-1\\u{202e}\""), "escaped: {problem}");
    }
}
