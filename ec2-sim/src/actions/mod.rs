//! The actions of the EC2 API, and the one of STS's.

mod assume;
mod defaults;
mod describe;
mod filter;
mod lifecycle;
mod modify;
mod run;
mod tags;

use crate::clock::Now;
use crate::error::ApiError;
use crate::fault::Hidden;
use crate::request::Request;
use crate::world::{Account, Key, Transition, World};
use crate::xml::Xml;

pub use run::{Launched, launch};

/// What an action answers.
pub type Answer = Result<Xml, ApiError>;

/// A call being carried out.
pub struct Context<'w> {
    pub world: &'w mut World,
    pub request: &'w Request,
    pub key: Key,
    pub now: Now,
    /// Instances that are not shown to this call.
    pub hidden: &'w Hidden,
}

impl Context<'_> {
    pub fn account(&mut self) -> &mut Account {
        self.world.account(&self.key)
    }

    /// Whether the call finds the instance.
    pub fn shows(&mut self, id: &str) -> bool {
        let now = self.now.instant;
        !self.hidden.has(id) && self.account().find(id).is_some_and(|instance| instance.visible_from <= now)
    }

    /// Checks ids for their form, then that they are there.
    pub fn check_ids(&mut self, ids: &[String]) -> Result<(), ApiError> {
        if let Some(id) = ids.iter().find(|id| !is_instance_id(id)) {
            return Err(ApiError::malformed_id(id));
        }
        let unknown: Vec<String> = ids.iter().filter(|id| !self.shows(id)).cloned().collect();
        if unknown.is_empty() { Ok(()) } else { Err(ApiError::not_found(&unknown)) }
    }

    /// Ends the call here if it is a dry run. What comes before is what EC2 checks of a dry run as well.
    pub fn end_if_dry_run(&self) -> Result<(), ApiError> {
        if self.request.flag("DryRun") { Err(ApiError::dry_run()) } else { Ok(()) }
    }
}

fn is_instance_id(id: &str) -> bool {
    id.strip_prefix("i-").is_some_and(|hex| {
        matches!(hex.len(), 8 | 17) && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Carries out a call.
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
        "AssumeRole" => assume::assume(context),
        action => {
            let message = format!("The action {action} is not valid for this web service.");
            Err(ApiError::new(400, "InvalidAction", message))
        }
    }
}
