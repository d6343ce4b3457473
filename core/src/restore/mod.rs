//! Back to the options that an instance had before a change, option by option.

use std::fmt;

use crate::decide::{Reason, Verdict};
use crate::metadata::{Change, MetadataOptions, OptionName, OptionValue, Switch};

/// A change that was made, and what may be done to take it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restoration {
    /// The options that were set.
    pub set: MetadataOptions,
    /// The options before that. One that is missing is not known.
    pub before: MetadataOptions,
    /// Whether calls without a token may succeed again: `HttpTokens=optional` may be set, and `HttpEndpoint=enabled` where
    /// tokens are not required.
    pub allow_loosening: bool,
    /// Whether to set also what the policy would change back at the next event.
    pub anyway: bool,
}

/// What to set so that an instance is as it was, and what cannot be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// What to send; `None` if there is nothing to send.
    pub change: Option<Change>,
    /// The options that are left as they are although they were changed, each once.
    pub left: Vec<Left>,
}

/// Why an option is left as it is. `Display` is the sentence that reports show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// It is not known what it was before.
    BeforeUnknown(OptionName),
    /// EC2 does not report its present value.
    PresentUnknown(OptionName),
    /// It was changed again since.
    Differs {
        /// Its present value.
        present: OptionValue,
        /// The value that was set.
        set: OptionValue,
    },
    /// It would let calls without a token succeed, which was not allowed.
    Loosens,
    /// It would let IMDS answer while tokens are not required, which was not allowed.
    Opens,
    /// The endpoint is disabled, now or again, so that the option has no effect and EC2 may refuse to set it.
    EndpointDisabled(OptionValue),
    /// The policy would change it back at the next event.
    ChangedBack {
        /// The value before.
        before: OptionValue,
        /// What requires another value, in words; empty if the decision does not say.
        why: String,
    },
    /// The policy may change it back at the next event: that depends on something unknown.
    MayBeChangedBack {
        /// The value before.
        before: OptionValue,
        /// What it depends on, in words.
        why: String,
    },
}

impl Restoration {
    /// What to set on an instance whose options are `present`. `decide` is the policy's verdict on the instance with other
    /// options, without an answer about its use.
    pub fn plan(&self, present: &MetadataOptions, decide: impl Fn(&MetadataOptions) -> Verdict) -> Restored {
        let mut left = Vec::new();
        let mut back = MetadataOptions::default();
        for set in self.set.iter() {
            match self.option(set, present) {
                Ok(Some(before)) => back.set(before),
                Ok(None) => {}
                Err(why) => left.push(why),
            }
        }
        if !self.anyway {
            back = kept(back, present, decide, &mut left);
        }
        if !self.allow_loosening && opens(&back, present) {
            left.push(Left::Opens);
            back = back.iter().filter(|value| value.name() != OptionName::HttpEndpoint).collect();
        }
        let endpoint = back.get(OptionName::HttpEndpoint).or(present.get(OptionName::HttpEndpoint));
        if endpoint == Some(OptionValue::HttpEndpoint(Switch::Disabled)) {
            let (off, others): (Vec<_>, Vec<_>) =
                back.iter().partition(|value| value.name() == OptionName::HttpEndpoint);
            left.extend(others.into_iter().map(Left::EndpointDisabled));
            back = off.into_iter().collect();
        }
        Restored { change: Change::new(back), left }
    }

    /// The value before that is to be set, if any.
    fn option(&self, set: OptionValue, present: &MetadataOptions) -> Result<Option<OptionValue>, Left> {
        let name = set.name();
        let before = self.before.get(name).ok_or(Left::BeforeUnknown(name))?;
        let present = present.get(name).ok_or(Left::PresentUnknown(name))?;
        match () {
            () if present == before => Ok(None),
            () if present != set => Err(Left::Differs { present, set }),
            () if before == OptionValue::TOKENS_OPTIONAL && !self.allow_loosening => Err(Left::Loosens),
            () => Ok(Some(before)),
        }
    }
}

/// Whether `back` enables the endpoint of an instance that does not require tokens then.
fn opens(back: &MetadataOptions, present: &MetadataOptions) -> bool {
    let tokens = back.get(OptionName::HttpTokens).or(present.get(OptionName::HttpTokens));
    let enabled = Some(OptionValue::HttpEndpoint(Switch::Enabled));
    back.get(OptionName::HttpEndpoint) == enabled && tokens != Some(OptionValue::TOKENS_REQUIRED)
}

/// Returns the options of `back` that the policy would leave. What it would change depends on the other options, so that it
/// decides again without those that are dropped.
fn kept(
    mut back: MetadataOptions,
    present: &MetadataOptions,
    decide: impl Fn(&MetadataOptions) -> Verdict,
    left: &mut Vec<Left>,
) -> MetadataOptions {
    while let Some(change) = Change::new(back) {
        let dropped = changed_back(&back, &present.with(&change), &decide);
        if dropped.is_empty() {
            break;
        }
        back = back.iter().filter(|value| dropped.iter().all(|(before, _)| before != value)).collect();
        left.extend(dropped.into_iter().map(|(_, why)| why));
    }
    back
}

/// Returns the options of `back` that the policy would change, or may change, on an instance with `options`, and why.
fn changed_back(
    back: &MetadataOptions,
    options: &MetadataOptions,
    decide: &impl Fn(&MetadataOptions) -> Verdict,
) -> Vec<(OptionValue, Left)> {
    let may_be = |before, why: String| (before, Left::MayBeChangedBack { before, why });
    let verdict = decide(options);
    let verdict = match verdict {
        Verdict::NeedsUsage(needed) if back.get(OptionName::HttpTokens).is_some() => {
            let tokens = back.iter().filter(|value| value.name() == OptionName::HttpTokens);
            return tokens.map(|before| may_be(before, needed.to_string())).collect();
        }
        // The gate concerns HttpTokens alone: what would change if it were closed is what changes in any case.
        Verdict::NeedsUsage(_) => decide(&with_tokens_required(options)),
        verdict => verdict,
    };
    match verdict {
        Verdict::Change { change, reasons } => {
            let changes = |before: &OptionValue| change.options().get(before.name()).is_some();
            let changed = |before: OptionValue| {
                let why = requirement_of(before.name(), &reasons);
                (before, Left::ChangedBack { before, why })
            };
            back.iter().filter(changes).map(changed).collect()
        }
        Verdict::Incomplete { missing } => {
            let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
            back.iter()
                .map(|before| may_be(before, format!("EC2 did not report {}", names.join(", "))))
                .collect()
        }
        Verdict::NeedsUsage(needed) => back.iter().map(|before| may_be(before, needed.to_string())).collect(),
        _ => Vec::new(),
    }
}

fn with_tokens_required(options: &MetadataOptions) -> MetadataOptions {
    options.iter().chain([OptionValue::TOKENS_REQUIRED]).collect()
}

/// Returns what requires a value of the option, in words.
fn requirement_of(name: OptionName, reasons: &[Reason]) -> String {
    let of_option = |reason: &&Reason| match reason {
        Reason::Required(sourced) => sourced.requirement.name() == name,
        _ => false,
    };
    reasons.iter().find(of_option).map(ToString::to_string).unwrap_or_default()
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeforeUnknown(name) => write!(f, "{name} is left: it is not known what it was before"),
            Self::PresentUnknown(name) => write!(f, "{name} is left: EC2 does not report its present value"),
            Self::Differs { present, set } => {
                write!(
                    f,
                    "{} is left: it was set to {} and is now {}",
                    set.name(),
                    set.text(),
                    present.text()
                )
            }
            Self::Loosens => f.write_str("HttpTokens is left: optional needs --allow-loosening"),
            Self::Opens => f.write_str(
                "HttpEndpoint is left: unless tokens are required, enabled needs --allow-loosening",
            ),
            Self::EndpointDisabled(before) => {
                write!(f, "{before} is left out: it has no effect while HttpEndpoint is disabled")
            }
            Self::ChangedBack { before, why } => {
                write!(f, "{before} is left out: the policy would change it back at the next event")?;
                if why.is_empty() { Ok(()) } else { write!(f, " ({why})") }
            }
            Self::MayBeChangedBack { before, why } => {
                write!(f, "{before} is left out: the policy may change it back at the next event ({why})")
            }
        }
    }
}

#[cfg(test)]
mod tests;
