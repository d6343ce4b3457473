//! The defaults as a table.

use std::io::{self, Write};

use comfy_table::{Table, presets};
use imds_core::ids::AccountRegion;
use imds_core::metadata::OptionName;
use imds_core::text::counted;
use imds_engine::aws::fleet::Defaults;

/// The options that have a default, in the order of the columns.
const OPTIONS: [OptionName; 4] = [
    OptionName::HttpTokens,
    OptionName::HttpEndpoint,
    OptionName::HttpPutResponseHopLimit,
    OptionName::InstanceMetadataTags,
];

/// The columns. Each title is as narrow as its values, so that the table fits 80 columns.
const TITLES: [&str; 8] = [
    "\nACCOUNT",
    "\nREGION",
    "HTTP\nTOKENS",
    "HTTP\nENDPOINT",
    "HOP\nLIMIT",
    "METADATA\nTAGS",
    "TOKENS\nENFORCED",
    "MANAGED\nBY",
];

/// The defaults of an account and Region.
#[derive(Debug, Clone)]
pub struct Row {
    /// The account and Region.
    pub account_region: AccountRegion,
    /// Its defaults.
    pub defaults: Defaults,
    /// The options whose defaults differ from what the policy allows.
    pub differs: Vec<OptionName>,
}

/// Prints the table, and how many differ.
pub fn print(rows: &[Row], out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(TITLES);
    table.add_rows(rows.iter().map(cells));
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    if !rows.is_empty() {
        for line in table.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
        writeln!(out, "\n-: no preference")?;
    }
    let differing = rows.iter().filter(|row| !row.differs.is_empty()).count();
    let total = counted(rows.len() as u64, "account and Region", "accounts and Regions");
    match differing {
        0 => writeln!(out, "{total}: no default differs from the policy"),
        _ => writeln!(out, "{total}: {differing} with defaults that differ from the policy (*)"),
    }
}

fn cells(row: &Row) -> Vec<String> {
    let option = |name: OptionName| {
        let value = row.defaults.options.get(name).map_or("-".to_owned(), |value| value.text());
        if row.differs.contains(&name) { format!("{value}*") } else { value }
    };
    let managed_by = match row.defaults.managed_by.as_deref() {
        None => "-",
        Some("declarative-policy") => "policy",
        Some(other) => other,
    };
    let enforced = if row.defaults.http_tokens_enforced { "enabled" } else { "-" };
    let AccountRegion { account, region } = &row.account_region;
    let options = OPTIONS.into_iter().map(option);
    [account.to_string(), region.to_string()]
        .into_iter()
        .chain(options)
        .chain([enforced.to_owned(), managed_by.to_owned()])
        .collect()
}

#[cfg(test)]
mod tests {
    use imds_core::ids::{AccountId, Region};

    use super::*;

    #[test]
    fn the_table_fits_80_columns_and_marks_what_differs() {
        let value = |name: OptionName, value: &str| name.parse(value).unwrap();
        let row = |differs: &[OptionName]| Row {
            account_region: AccountRegion {
                account: AccountId::new("111122223333").unwrap(),
                region: Region::new("ap-southeast-2").unwrap(),
            },
            defaults: Defaults {
                options: [
                    value(OptionName::HttpTokens, "optional"),
                    value(OptionName::HttpEndpoint, "disabled"),
                ]
                .into_iter()
                .collect(),
                http_tokens_enforced: true,
                managed_by: Some("declarative-policy".to_owned()),
                managed_exception_message: None,
            },
            differs: differs.to_vec(),
        };
        let printed = |rows: &[Row]| {
            let mut out = Vec::new();
            print(rows, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let text = printed(&[row(&[OptionName::HttpTokens, OptionName::HttpPutResponseHopLimit]), row(&[])]);
        let long = text.lines().find(|line| line.chars().count() > 80);
        assert_eq!(long, None, "{text}");
        assert!(text.contains("111122223333 ap-southeast-2 optional* disabled -*"), "{text}");
        assert!(text.contains("2 accounts and Regions: 1 with defaults that differ"), "{text}");
        assert_eq!(printed(&[]), "0 accounts and Regions: no default differs from the policy\n");
    }
}
