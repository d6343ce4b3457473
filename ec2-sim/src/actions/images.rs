//! DescribeImages.

use super::context::{Answer, Context};
use super::{filter, page};
use crate::error::ApiError;
use crate::instance::is_id;
use crate::template::Image;
use crate::xml::Xml;

/// Returns the images that the call names, or all that were set up in the account.
pub fn describe(context: &mut Context<'_>) -> Answer {
    let request = context.request;
    let filters = filter::conditions(request)?;
    if let Some((name, _)) = filters.iter().find(|(name, _)| *name != "image-id") {
        return Err(filter::unknown(name));
    }
    let (ids, owners) = (request.list("ImageId"), request.list("Owner"));
    if let Some(id) = ids.iter().find(|id| !is_id("ami-", id)) {
        return Err(ApiError::new(400, "InvalidAMIID.Malformed", format!("Invalid id: \"{id}\"")));
    }
    let (key, images) = (context.key.clone(), &context.account().images);
    let unknown: Vec<&str> = ids.iter().filter(|id| !images.contains_key(*id)).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Err(not_found(&unknown));
    }
    let owner = |image: &Image| if image.owner.is_empty() { key.0.clone() } else { image.owner.clone() };
    let is_asked = |image: &&Image| {
        let owner = owner(image);
        let is_wanted = |wanted: &String| *wanted == owner || (wanted == "self" && owner == key.0);
        (ids.is_empty() || ids.contains(&image.id))
            && filters.iter().all(|(_, patterns)| patterns.matches(&image.id))
            && (owners.is_empty() || owners.iter().any(is_wanted))
    };
    let items = images.values().filter(is_asked).map(|image| item(image, &owner(image))).collect();
    context.end_if_dry_run()?;
    page::page(request, 1..=1000, "imagesSet", items)
}

fn not_found(ids: &[&str]) -> ApiError {
    let all = ids.join(", ");
    let message = match ids {
        [_] => format!("The image id '[{all}]' does not exist"),
        _ => format!("The image ids '[{all}]' do not exist"),
    };
    ApiError::new(400, "InvalidAMIID.NotFound", message)
}

fn item(image: &Image, owner: &str) -> Xml {
    let name = if image.name.is_empty() { &image.id } else { &image.name };
    let mut fields = vec![
        ("imageId", Xml::text(&image.id)),
        ("imageLocation", Xml::text(format!("{owner}/{name}"))),
        ("imageState", Xml::text("available")),
        ("imageOwnerId", Xml::text(owner)),
        ("isPublic", Xml::text(false)),
        ("architecture", Xml::text("x86_64")),
        ("imageType", Xml::text("machine")),
        ("name", Xml::text(name)),
        ("rootDeviceType", Xml::text("ebs")),
        ("virtualizationType", Xml::text("hvm")),
        ("hypervisor", Xml::text("xen")),
    ];
    fields.extend(image.imds_support.as_ref().map(|support| ("imdsSupport", Xml::text(support))));
    Xml::Node(fields)
}
