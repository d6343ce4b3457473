//! The file of a plan: what `imdsctl plan` writes and `imdsctl apply` reads.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use anyhow::{Context, Result, anyhow, bail, ensure};
use imds_core::ids::{AccountId, InstanceId, Region};
use imds_core::metadata::{Change, MetadataOptions, OptionName, OptionValue};
use imds_core::policy::Policy;
use imds_core::source::Source;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use crate::output::json;
use crate::{fields, input};

/// The version of the format that this program writes and reads.
pub const VERSION: u32 = 1;

/// A plan.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Plan {
    /// [`VERSION`].
    pub version: u32,
    /// When it was made.
    #[serde(deserialize_with = "fields::time")]
    pub created_at: OffsetDateTime,
    /// The ARN of whoever made it.
    pub caller: String,
    /// The role to assume in other accounts.
    #[serde(deserialize_with = "Option::deserialize")]
    pub role: Option<String>,
    /// The policy's document.
    pub policy: Value,
    /// Whether every account, Region and instance was read.
    pub complete: bool,
    /// What could not be read, one sentence each.
    pub errors: Vec<String>,
    /// The number of instances by decision.
    pub counts: BTreeMap<String, usize>,
    /// The changes.
    pub changes: Vec<PlannedChange>,
}

/// The change of an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PlannedChange {
    /// The account that owns the instance.
    #[serde(deserialize_with = "fields::account")]
    pub account: AccountId,
    /// The Region it is in.
    #[serde(deserialize_with = "fields::region")]
    pub region: Region,
    /// The instance.
    #[serde(deserialize_with = "fields::instance_id")]
    pub instance_id: InstanceId,
    /// Its `Name` tag, as in EC2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its options at the time of the plan.
    #[serde(deserialize_with = "fields::options")]
    pub before: MetadataOptions,
    /// What is to be changed.
    #[serde(deserialize_with = "fields::change")]
    pub change: Change,
    /// Why.
    pub reasons: Vec<String>,
    /// What was ignored or left out.
    pub warnings: Vec<String>,
    /// What it came from, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<PlannedSource>,
}

impl PlannedChange {
    /// The instance and its `Name` tag, if it has one.
    pub fn named(&self) -> Option<(&InstanceId, &str)> {
        Some((&self.instance_id, self.name.as_deref()?))
    }
}

impl PlannedChange {
    /// Whether calls without a token succeed after the change, and the change is why.
    pub fn loosens(&self) -> bool {
        let changed = self.change.options();
        let enables = changed.get(OptionName::HttpEndpoint) == OptionName::HttpEndpoint.parse("enabled");
        changed.get(OptionName::HttpTokens) == Some(OptionValue::TOKENS_OPTIONAL)
            || (enables && !self.before.with(&self.change).require_tokens())
    }
}

/// What an instance came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedSource {
    /// The kind of source, as in reports.
    pub kind: String,
    /// Its name or ID.
    pub id: String,
    /// The version of a launch template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl From<&Source> for PlannedSource {
    fn from(source: &Source) -> Self {
        Self { kind: source.kind.as_str().to_owned(), id: source.id.clone(), version: source.version.clone() }
    }
}

/// What every version of the format has.
#[derive(Deserialize)]
struct Head {
    version: Value,
}

impl Plan {
    /// Reads a plan. `name` is the file's, in messages.
    ///
    /// # Errors
    /// The first problem, with its place in the file.
    pub fn read(bytes: &[u8], name: &str) -> Result<Self> {
        let text = input::text(bytes).map_err(|error| anyhow!("{name} {error:#}"))?;
        let head: Head = serde_json::from_str(text).map_err(|error| misread(&error, name))?;
        ensure!(
            head.version == VERSION,
            "{name}: version {} of a plan is not known to this imdsctl, which reads version {VERSION}: make a new plan",
            json(&head.version)?
        );
        let plan: Self = serde_json::from_str(text).map_err(|error| misread(&error, name))?;
        plan.check(name)?;
        Ok(plan)
    }

    fn check(&self, name: &str) -> Result<()> {
        let mut places = HashMap::with_capacity(self.changes.len());
        for (place, change) in self.changes.iter().enumerate() {
            if let Some(first) = places.insert(&change.instance_id, place) {
                bail!("{name}: changes[{place}]: {} is in changes[{first}] already", change.instance_id);
            }
        }
        self.policy().with_context(|| name.to_owned()).map(|_| ())
    }

    /// The policy.
    ///
    /// # Errors
    /// Every error in its document, with the place.
    pub fn policy(&self) -> Result<Policy> {
        let document = self.policy.to_string();
        Policy::parse(&document)
            .map_err(|errors| anyhow!("the policy is invalid:\n{}", errors.in_document("policy")))
    }

    /// Writes the plan as JSON, with one line for each change.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{{\n  \"version\": {},", self.version)?;
        let created_at = fields::rfc3339(self.created_at).map_err(io::Error::other)?;
        entry(out, "createdAt", &created_at)?;
        entry(out, "caller", &self.caller)?;
        entry(out, "role", &self.role)?;
        entry(out, "policy", &self.policy)?;
        entry(out, "complete", &self.complete)?;
        entry(out, "errors", &self.errors)?;
        entry(out, "counts", &self.counts)?;
        write!(out, "  \"changes\": [")?;
        for (place, change) in self.changes.iter().enumerate() {
            let separator = if place == 0 { "" } else { "," };
            write!(out, "{separator}\n    {}", json(change)?)?;
        }
        writeln!(out, "{}]\n}}", if self.changes.is_empty() { "" } else { "\n  " })
    }
}

fn entry(out: &mut impl Write, key: &str, value: &impl Serialize) -> io::Result<()> {
    writeln!(out, "  \"{key}\": {},", json(value)?)
}

/// Says where the file is not a plan.
fn misread(error: &serde_json::Error, name: &str) -> anyhow::Error {
    // The message ends with the place.
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(&*text, |(what, _)| what);
    let what = if error.is_data() { what.to_owned() } else { format!("not JSON: {what}") };
    anyhow!("{name}: line {}, column {}: {what}", error.line(), error.column())
}

#[cfg(test)]
mod tests;
