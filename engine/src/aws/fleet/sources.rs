//! What instances come from: versions of launch templates, and images.

use std::collections::BTreeMap;

use aws_sdk_ec2::types as sdk;
use imds_core::call_error::{Call, CallError};
use imds_core::metadata::{MetadataOptions, OptionName};

use super::super::client::RegionClient;

/// The maximum number of values in a filter: EC2's limit.
const VALUES_PER_FILTER: usize = 200;

/// A version of a launch template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateVersion {
    /// The template's name; empty if EC2 does not report it.
    pub name: String,
    /// The number of the version.
    pub number: i64,
    /// Whether it is the default version.
    pub is_default: bool,
    /// The metadata options that it sets.
    pub options: MetadataOptions,
}

/// What an image says about metadata options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Whether it has `ImdsSupport=v2.0`, so that its instances require tokens unless their launch says otherwise.
    pub requires_tokens: bool,
    /// The account that owns it.
    pub owner: Option<String>,
}

impl RegionClient {
    /// Returns a version of a launch template, by number or as `$Default` or `$Latest`.
    ///
    /// # Errors
    /// EC2's error, or that EC2 did not respond or does not have that version.
    pub async fn template_version(&self, id: &str, version: &str) -> Result<TemplateVersion, CallError> {
        const CALL: Call = Call::DescribeLaunchTemplateVersions;
        let request = self.ec2().describe_launch_template_versions();
        let request = request.launch_template_id(id).versions(version);
        let answer = self.call(CALL, request.send()).await?;
        let found = answer.launch_template_versions.into_iter().flatten().next();
        let none = || CallError::without_response(CALL, "the answer has no such version");
        found.map(converted).ok_or_else(none)
    }

    /// Returns the images with these IDs. Images that EC2 does not return, such as deleted ones, are absent.
    ///
    /// # Errors
    /// EC2's error, or that EC2 did not respond.
    pub async fn images(&self, ids: &[String]) -> Result<BTreeMap<String, Image>, CallError> {
        let mut images = BTreeMap::new();
        for ids in ids.chunks(VALUES_PER_FILTER) {
            let filter = sdk::Filter::builder().name("image-id").set_values(Some(ids.to_vec())).build();
            let request = self.ec2().describe_images().filters(filter).include_deprecated(true);
            let answer = self.call(Call::DescribeImages, request.send()).await?;
            for image in answer.images.into_iter().flatten() {
                let requires_tokens = image.imds_support == Some(sdk::ImdsSupportValues::V20);
                if let Some(id) = image.image_id {
                    images.insert(id, Image { requires_tokens, owner: image.owner_id });
                }
            }
        }
        Ok(images)
    }
}

fn converted(version: sdk::LaunchTemplateVersion) -> TemplateVersion {
    let options = version.launch_template_data.and_then(|data| data.metadata_options);
    TemplateVersion {
        name: version.launch_template_name.unwrap_or_default(),
        number: version.version_number.unwrap_or_default(),
        is_default: version.default_version.unwrap_or_default(),
        options: options.as_ref().map(option_values).unwrap_or_default(),
    }
}

fn option_values(options: &sdk::LaunchTemplateInstanceMetadataOptions) -> MetadataOptions {
    let word = |name: OptionName| {
        Some(match name {
            OptionName::HttpTokens => options.http_tokens.as_ref()?.as_str().to_owned(),
            OptionName::HttpEndpoint => options.http_endpoint.as_ref()?.as_str().to_owned(),
            OptionName::HttpPutResponseHopLimit => options.http_put_response_hop_limit?.to_string(),
            OptionName::HttpProtocolIpv6 => options.http_protocol_ipv6.as_ref()?.as_str().to_owned(),
            OptionName::InstanceMetadataTags => options.instance_metadata_tags.as_ref()?.as_str().to_owned(),
        })
    };
    OptionName::ALL.into_iter().filter_map(|name| name.parse(&word(name)?)).collect()
}
