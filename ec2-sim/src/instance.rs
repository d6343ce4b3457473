//! An instance and its metadata options.

use std::collections::BTreeMap;
use std::time::Instant;

use time::OffsetDateTime;

use crate::error::ApiError;
use crate::xml::Xml;

/// An account and a Region.
pub type Key = (String, String);

/// Options by name, with the API's names and values. The hop limit is in decimal digits.
pub type Options = BTreeMap<String, String>;

/// The five options, their names in responses and their original defaults, which allow IMDSv1.
pub const OPTIONS: [(&str, &str, &str); 5] = [
    ("HttpTokens", "httpTokens", "optional"),
    ("HttpPutResponseHopLimit", "httpPutResponseHopLimit", "1"),
    ("HttpEndpoint", "httpEndpoint", "enabled"),
    ("HttpProtocolIpv6", "httpProtocolIpv6", "disabled"),
    ("InstanceMetadataTags", "instanceMetadataTags", "disabled"),
];

/// The limit of tags per resource.
const MOST_TAGS: usize = 50;

/// The state of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Pending,
    Running,
    Stopping,
    Stopped,
    ShuttingDown,
    Terminated,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        use State::*;
        [Pending, Running, Stopping, Stopped, ShuttingDown, Terminated].into_iter().find(|s| s.name() == name)
    }

    pub fn code(self) -> u16 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
            Self::Stopping => 64,
            Self::Stopped => 80,
        }
    }

    /// The state that follows automatically.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Pending => Some(Self::Running),
            Self::Stopping => Some(Self::Stopped),
            Self::ShuttingDown => Some(Self::Terminated),
            Self::Running | Self::Stopped | Self::Terminated => None,
        }
    }

    pub fn xml(self) -> Xml {
        Xml::Node(vec![("code", Xml::text(self.code())), ("name", Xml::text(self.name()))])
    }
}

/// An instance.
#[derive(Debug, Clone)]
pub struct Instance {
    pub id: String,
    pub reservation: String,
    pub index: usize,
    pub image: String,
    pub instance_type: String,
    pub zone: String,
    pub client_token: String,
    /// When it was last started.
    pub launch_time: OffsetDateTime,
    /// When it was launched. Its network interfaces are attached since then.
    pub first_ran: OffsetDateTime,
    /// When calls begin to find it.
    pub visible_from: Instant,
    pub state: State,
    /// When it enters the next state automatically.
    pub state_due: Option<Instant>,
    pub options: Options,
    /// Whether the options are applied.
    pub applied: bool,
    /// When they are applied if the instance is still running.
    pub applied_due: Option<Instant>,
    pub tags: BTreeMap<String, String>,
    /// The principal of the service that manages it.
    pub operator: Option<String>,
}

impl Instance {
    /// The options as in responses.
    pub fn options_xml(&self) -> Xml {
        let mut children = vec![("state", Xml::text(self.options_state()))];
        children.extend(OPTIONS.map(|(name, element, _)| {
            (element, Xml::text(self.options.get(name).map_or("", String::as_str)))
        }));
        children.insert(4, ("httpProtocolIpv4", Xml::text("enabled")));
        Xml::Node(children)
    }

    pub fn options_state(&self) -> &'static str {
        if self.applied { "applied" } else { "pending" }
    }

    /// Adds all of the tags or none.
    pub fn tag(&mut self, tags: &[(String, String)]) -> Result<(), ApiError> {
        let mut all = self.tags.clone();
        all.extend(tags.iter().cloned());
        check_tags(&all, &self.options)?;
        self.tags = all;
        Ok(())
    }

    /// Makes all of the changes or none. Other options keep their values.
    pub fn change(&mut self, changes: &Options) -> Result<(), ApiError> {
        let mut options = self.options.clone();
        options.extend(changes.clone());
        let is_off = options.get("HttpEndpoint").is_some_and(|value| value == "disabled");
        if is_off && changes.keys().any(|name| name != "HttpEndpoint") {
            return Err(ApiError::combination(
                "Options other than HttpEndpoint cannot be set unless it is enabled.",
            ));
        }
        check_tags(&self.tags, &options)?;
        self.options = options;
        Ok(())
    }
}

/// Whether the text is an id of EC2 with this prefix, such as `i-`.
pub fn is_id(prefix: &str, id: &str) -> bool {
    id.strip_prefix(prefix).is_some_and(|hex| {
        matches!(hex.len(), 8 | 17) && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Checks the names and the values of options.
pub fn check_options(options: &Options) -> Result<(), ApiError> {
    for (name, value) in options {
        if !OPTIONS.iter().any(|(known, ..)| known == name) {
            let message = format!("There is no metadata option {name}.");
            return Err(ApiError::new(400, "InvalidParameterValue", message));
        }
        check_option(name, value)?;
    }
    Ok(())
}

/// Checks a value of an option.
pub fn check_option(name: &str, value: &str) -> Result<(), ApiError> {
    let (is_valid, expected) = match name {
        "HttpTokens" => (matches!(value, "optional" | "required"), "Valid values: optional, required."),
        "HttpPutResponseHopLimit" => {
            (value.parse().is_ok_and(|hops: i64| (1..=64).contains(&hops)), "Valid values: 1 to 64.")
        }
        _ => (matches!(value, "enabled" | "disabled"), "Valid values: enabled, disabled."),
    };
    if is_valid { Ok(()) } else { Err(ApiError::invalid_value(value, name, expected)) }
}

/// Checks the tags of an instance with these options.
pub fn check_tags(tags: &BTreeMap<String, String>, options: &Options) -> Result<(), ApiError> {
    let in_metadata = options.get("InstanceMetadataTags").is_some_and(|value| value == "enabled");
    for (key, value) in tags {
        if key.is_empty() || key.chars().count() > 128 {
            return Err(ApiError::invalid_value(key, "Tag.Key", "Tag keys have 1 to 128 characters."));
        }
        if value.chars().count() > 256 {
            return Err(ApiError::invalid_value(
                value,
                "Tag.Value",
                "Tag values have at most 256 characters.",
            ));
        }
        if in_metadata && !metadata_can_carry(key) {
            let expected = "Tag keys in instance metadata match [0-9a-zA-Z\\-_+=,.@:]{1,255} and are not '.', '..' or \
                            '_index'.";
            return Err(ApiError::invalid_value(key, "Tag.Key", expected));
        }
    }
    // Tags that AWS creates do not count toward the limit.
    let counted = tags.keys().filter(|key| !key.starts_with("aws:")).count();
    if counted > MOST_TAGS {
        return Err(ApiError::new(
            400,
            "TagLimitExceeded",
            format!("The resource would have more than {MOST_TAGS} tags"),
        ));
    }
    Ok(())
}

fn metadata_can_carry(key: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_+=,.@:".contains(&b);
    key.bytes().all(allowed) && !matches!(key, "." | ".." | "_index")
}
