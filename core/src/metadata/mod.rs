//! The five instance metadata options, their values, and what may be required of them.
//!
//! Names and values are spelled as `ModifyInstanceMetadataOptions` spells them.

mod name;
mod options;
mod requirement;
mod value;

pub use name::OptionName;
pub use options::{Change, MetadataOptions};
pub use requirement::Requirement;
pub use value::{HopLimit, HttpTokens, OptionValue, Switch};

/// Whether instance metadata can show a tag with this key, which becomes a path under `/tags/instance/`.
///
/// From the EC2 User Guide, "Work with instance tags in instance metadata".
pub(crate) fn metadata_can_carry(key: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_+=,.@:".contains(&b);
    (1..=255).contains(&key.len()) && key.bytes().all(allowed) && !matches!(key, "." | ".." | "_index")
}
