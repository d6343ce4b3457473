//! The Regions of AWS's commercial partition, and those that each account has on.

use std::collections::{BTreeSet, HashMap};

/// The Regions that every account has: EC2 user guide, "Regions and Zones".
const WITHOUT_OPT_IN: [&str; 17] = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// The Regions to which an account must opt in.
const WITH_OPT_IN: [&str; 15] = [
    "af-south-1",
    "ap-east-1",
    "ap-south-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-7",
    "ca-west-1",
    "eu-central-2",
    "eu-south-1",
    "eu-south-2",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
];

/// There is no Region with this name.
#[derive(Debug, thiserror::Error)]
#[error("there is no Region {0}")]
pub struct UnknownRegion(String);

/// A Region as an account sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    pub name: &'static str,
    pub is_on: bool,
    /// EC2's `optInStatus`.
    pub opt_in_status: &'static str,
}

/// The Regions that accounts have on, for the accounts for which they were set.
#[derive(Debug, Default)]
pub struct Regions(HashMap<String, BTreeSet<String>>);

impl Regions {
    /// Sets the Regions that an account has on.
    pub fn set(&mut self, account: &str, regions: &[impl AsRef<str>]) -> Result<(), UnknownRegion> {
        let names: BTreeSet<String> = regions.iter().map(|region| region.as_ref().to_owned()).collect();
        let is_known = |name: &String| WITHOUT_OPT_IN.iter().chain(&WITH_OPT_IN).any(|known| known == name);
        if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
            return Err(UnknownRegion(unknown.clone()));
        }
        self.0.insert(account.to_owned(), names);
        Ok(())
    }

    /// Whether calls in the Region are refused. Only where the account's Regions were set, so that by default the
    /// simulator serves any Region.
    pub fn refuse(&self, account: &str, region: &str) -> bool {
        self.0.get(account).is_some_and(|on| !on.contains(region))
    }

    /// Every Region of the partition, in the order of the names.
    pub fn of(&self, account: &str) -> Vec<Region> {
        let on = self.0.get(account);
        let region = |name: &'static str, needs_opt_in: bool| {
            let is_on = on.map_or(!needs_opt_in, |on| on.contains(name));
            let opt_in_status = match (is_on, needs_opt_in) {
                (true, true) => "opted-in",
                (true, false) => "opt-in-not-required",
                (false, _) => "not-opted-in",
            };
            Region { name, is_on, opt_in_status }
        };
        let without = WITHOUT_OPT_IN.into_iter().map(|name| region(name, false));
        let mut regions: Vec<Region> =
            without.chain(WITH_OPT_IN.into_iter().map(|name| region(name, true))).collect();
        regions.sort_by_key(|region| region.name);
        regions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_the_regions_that_were_set() {
        let mut regions = Regions::default();
        let on = |regions: &Regions, account| -> Vec<&str> {
            regions.of(account).iter().filter(|region| region.is_on).map(|region| region.name).collect()
        };
        assert_eq!(on(&regions, "1"), WITHOUT_OPT_IN);
        assert!(!regions.refuse("1", "me-south-1") && !regions.refuse("1", "nowhere-1"), "not set");
        regions.set("1", &["us-east-1", "ap-east-1"]).unwrap();
        assert_eq!(on(&regions, "1"), ["ap-east-1", "us-east-1"]);
        assert_eq!(on(&regions, "2"), WITHOUT_OPT_IN, "another account");
        for (name, status, is_refused) in [
            ("ap-east-1", "opted-in", false),
            ("us-east-1", "opt-in-not-required", false),
            ("me-south-1", "not-opted-in", true),
            ("eu-west-1", "not-opted-in", true),
        ] {
            let found = regions.of("1").into_iter().find(|region| region.name == name).unwrap();
            assert_eq!((found.opt_in_status, regions.refuse("1", name)), (status, is_refused), "{name}");
        }
        let error = regions.set("1", &["us-east-1", "us-east-9"]).unwrap_err();
        assert_eq!(error.to_string(), "there is no Region us-east-9");
        assert!(!regions.refuse("1", "ap-east-1"), "a refused setting changes nothing");
    }
}
