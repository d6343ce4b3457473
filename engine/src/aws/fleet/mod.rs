//! The calls that only imdsctl makes: identity, Regions, the organization, and what instances come from.

mod defaults;
mod identity;
mod organization;
mod sources;

pub use defaults::{Defaults, DefaultsChange};
pub use identity::Identity;
pub use organization::Organization;
pub use sources::{Image, TemplateVersion};
