//! What the decisions mean for whoever reads an audit, and how many instances there are of each.

use imds_core::text::Thousands;

/// What the decision on an instance means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It has what the policy requires.
    AsRequired,
    /// The policy would change it.
    ToChange,
    /// It uses IMDSv1, or may use it, so that the change is held back.
    InUse,
    /// EC2 would refuse the change.
    Blocked,
    /// What the decision needs could not be read.
    Unknown,
    /// A rule or a tag exempts it.
    Exempt,
    /// It is terminating, or another operator manages it.
    OutOfScope,
}

impl Class {
    /// Every class, in the order in which reports list them.
    pub const ALL: [Self; 7] = [
        Self::AsRequired,
        Self::ToChange,
        Self::InUse,
        Self::Blocked,
        Self::Unknown,
        Self::Exempt,
        Self::OutOfScope,
    ];

    /// The class of a decision. A decision that is new to this version is unknown, so that it counts as a finding.
    pub fn of(decision: &str) -> Self {
        match decision {
            "compliant" => Self::AsRequired,
            "change" => Self::ToChange,
            "in-use" => Self::InUse,
            "blocked" => Self::Blocked,
            "exempt" => Self::Exempt,
            "out-of-scope" => Self::OutOfScope,
            _ => Self::Unknown,
        }
    }

    /// The name for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::AsRequired => "as required",
            Self::ToChange => "to change",
            Self::InUse => "in use",
            Self::Blocked => "blocked",
            Self::Unknown => "unknown",
            Self::Exempt => "exempt",
            Self::OutOfScope => "out of scope",
        }
    }

    /// What it means, in a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::AsRequired => "The instance has every option that the policy requires.",
            Self::ToChange => "The policy would change an option, and nothing holds the change back.",
            Self::InUse => "Calls of IMDSv1 were seen, or too little is known, so the change is held back.",
            Self::Blocked => "EC2 would refuse the change.",
            Self::Unknown => "The decision needs something that could not be read.",
            Self::Exempt => "A rule or a tag exempts the instance until a day.",
            Self::OutOfScope => "The instance is terminating, or another operator manages it.",
        }
    }

    /// Whether the instance is not, or may not be, as the policy requires.
    pub fn is_finding(self) -> bool {
        match self {
            Self::AsRequired | Self::Exempt | Self::OutOfScope => false,
            Self::ToChange | Self::InUse | Self::Blocked | Self::Unknown => true,
        }
    }
}

/// How many instances there are of each class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([u64; Class::ALL.len()]);

impl Counts {
    /// Counts an instance.
    pub fn add(&mut self, class: Class) {
        self.0[class as usize] += 1;
    }

    /// The number of instances of a class.
    pub fn of(&self, class: Class) -> u64 {
        self.0[class as usize]
    }

    /// The number of instances.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The number of instances that are not, or may not be, as the policy requires.
    pub fn findings(&self) -> u64 {
        Class::ALL.into_iter().filter(|class| class.is_finding()).map(|class| self.of(class)).sum()
    }

    /// The numbers in one sentence without its end.
    pub fn sentence(&self) -> String {
        if self.total() == 0 {
            return "No instances were read".to_owned();
        }
        let (good, total) = (Thousands(self.of(Class::AsRequired)), Thousands(self.total()));
        let others =
            Class::ALL.into_iter().filter(|class| *class != Class::AsRequired && self.of(*class) > 0);
        let others: Vec<String> =
            others.map(|class| format!("{} {}", Thousands(self.of(class)), class.label())).collect();
        let others = if others.is_empty() { String::new() } else { format!("; {}", others.join(", ")) };
        format!("{good} of {total} instances are as required{others}")
    }
}

/// `number` as a share of `total`, in percent. It is 0% or 100% only if it is exactly that.
pub fn share(number: u64, total: u64) -> String {
    let total = u128::from(total.max(1));
    let permille = (u128::from(number) * 1000 + total / 2) / total;
    match permille {
        0 if number > 0 => "<0.1%".to_owned(),
        1000 if u128::from(number) < total => ">99.9%".to_owned(),
        0 | 1000 => format!("{}%", permille / 10),
        _ => format!("{}.{}%", permille / 10, permille % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_only_whole_if_it_is_exact() {
        let rows = [
            (0, 0, "0%"),
            (0, 7, "0%"),
            (7, 7, "100%"),
            (1, 3, "33.3%"),
            (2, 3, "66.7%"),
            (1, 20_000, "<0.1%"),
            (19_999, 20_000, ">99.9%"),
            (19_990, 20_000, ">99.9%"),
            (19_980, 20_000, "99.9%"),
            (u64::MAX, u64::MAX, "100%"),
        ];
        for (number, total, expected) in rows {
            assert_eq!(share(number, total), expected, "{number} of {total}");
        }
    }

    #[test]
    fn a_sentence_names_what_there_is() {
        let mut counts = Counts::default();
        assert_eq!(counts.sentence(), "No instances were read");
        counts.add(Class::of("compliant"));
        assert_eq!(counts.sentence(), "1 of 1 instances are as required");
        for decision in ["change", "needs-usage", "not-ready", "new in a later version", "exempt"] {
            counts.add(Class::of(decision));
        }
        assert_eq!(counts.sentence(), "1 of 6 instances are as required; 1 to change, 3 unknown, 1 exempt");
        assert_eq!((counts.findings(), counts.total()), (4, 6));
    }
}
