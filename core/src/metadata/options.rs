//! Options with their values, and changes to them.

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::name::OptionName;
use super::value::OptionValue;

/// Values of some or all options. If an option of an instance is missing, EC2 did not report it, or reported an
/// unknown value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetadataOptions([Option<OptionValue>; 5]);

impl MetadataOptions {
    /// The option's value, if it is in the set.
    pub fn get(&self, name: OptionName) -> Option<OptionValue> {
        self.0[name as usize]
    }

    /// Sets the value of an option and replaces an earlier one.
    pub fn set(&mut self, value: OptionValue) {
        self.0[value.name() as usize] = Some(value);
    }

    /// Every value in the set, in the order of [`OptionName::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = OptionValue> + '_ {
        self.0.iter().copied().flatten()
    }

    /// Whether the set has no option.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Whether calls without a token are refused: `HttpTokens` is `required`. `false` if that is not known.
    pub fn require_tokens(&self) -> bool {
        self.get(OptionName::HttpTokens) == Some(OptionValue::TOKENS_REQUIRED)
    }

    /// These options after `change`: what the instance has when EC2 has applied it.
    pub fn with(mut self, change: &Change) -> Self {
        change.0.iter().for_each(|value| self.set(value));
        self
    }

    /// Whether every option in `change` already has the value that `change` sets.
    pub fn contains(&self, change: &Change) -> bool {
        change.0.iter().all(|value| self.get(value.name()) == Some(value))
    }
}

impl FromIterator<OptionValue> for MetadataOptions {
    fn from_iter<I: IntoIterator<Item = OptionValue>>(values: I) -> Self {
        let mut options = Self::default();
        values.into_iter().for_each(|value| options.set(value));
        options
    }
}

/// A map from option name to value.
impl Serialize for MetadataOptions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for value in self.iter() {
            map.serialize_entry(value.name().as_str(), &value)?;
        }
        map.end()
    }
}

/// The options to send to EC2, never empty. Options that are not in it keep their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Change(MetadataOptions);

impl Change {
    /// The change to `options`; `None` if there is nothing to send.
    pub fn new(options: MetadataOptions) -> Option<Self> {
        (!options.is_empty()).then_some(Self(options))
    }

    /// The options that the change names.
    pub fn options(&self) -> &MetadataOptions {
        &self.0
    }
}
