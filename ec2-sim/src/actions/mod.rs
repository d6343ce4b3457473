//! The actions of the EC2 API, and those of STS.

mod assume;
mod context;
mod defaults;
mod describe;
mod filter;
mod identity;
mod images;
mod item;
mod lifecycle;
mod modify;
mod page;
mod regions;
mod run;
mod tags;
mod templates;

use crate::error::ApiError;
use crate::world::Transition;

pub use context::{Answer, Context};
pub use defaults::check_default;
pub use run::{Launched, launch};
pub use tags::tag;

/// Runs the action of a call.
pub fn answer(context: &mut Context<'_>) -> Answer {
    match context.request.action.as_str() {
        "RunInstances" => run::run(context),
        "DescribeInstances" => describe::describe(context),
        "ModifyInstanceMetadataOptions" => modify::modify(context),
        "StartInstances" => lifecycle::transit(context, Transition::Start),
        "StopInstances" => lifecycle::transit(context, Transition::Stop),
        "TerminateInstances" => lifecycle::transit(context, Transition::Terminate),
        "CreateTags" => tags::create(context),
        "DeleteTags" => tags::delete(context),
        "GetInstanceMetadataDefaults" => defaults::get(context),
        "ModifyInstanceMetadataDefaults" => defaults::modify(context),
        "DescribeLaunchTemplateVersions" => templates::describe(context),
        "DescribeImages" => images::describe(context),
        "DescribeRegions" => regions::describe(context),
        "AssumeRole" => assume::assume(context),
        "GetCallerIdentity" => identity::identity(context),
        action => {
            let message = format!("The action {action} is not valid for this web service.");
            Err(ApiError::new(400, "InvalidAction", message))
        }
    }
}
