//! The context in which an action runs.

use crate::clock::Now;
use crate::error::ApiError;
use crate::fault::Hidden;
use crate::instance::{Key, is_id};
use crate::request::Request;
use crate::world::{Account, World};
use crate::xml::Xml;

/// The result of an action.
pub type Answer = Result<Xml, ApiError>;

/// A call, and the state on which it acts.
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

    /// Checks the format of the ids, then that the instances exist.
    pub fn check_ids(&mut self, ids: &[String]) -> Result<(), ApiError> {
        if let Some(id) = ids.iter().find(|id| !is_id("i-", id)) {
            return Err(ApiError::malformed_id(id));
        }
        let unknown: Vec<String> = ids.iter().filter(|id| !self.shows(id)).cloned().collect();
        if unknown.is_empty() { Ok(()) } else { Err(ApiError::not_found(&unknown)) }
    }

    /// Ends the call if it is a dry run. Callers make all checks first that EC2 also makes for a dry run.
    pub fn end_if_dry_run(&self) -> Result<(), ApiError> {
        if self.request.flag("DryRun") { Err(ApiError::dry_run()) } else { Ok(()) }
    }
}
