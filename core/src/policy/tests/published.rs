//! What `imdsctl policy check` warns of in the published policies.

use super::warnings::warnings_at;
use time::macros::datetime;

#[test]
fn the_warnings_about_the_published_policies_are_known() {
    let loosened = |key: &str| {
        format!("is looser than without the rule, and anyone who may set the tag {key:?} gets it")
    };
    let rows = [
        ("policy.json", vec![]),
        (
            "examples/container-hosts.json",
            vec![format!("rules[0].require.HttpPutResponseHopLimit: {}", loosened("eks:cluster-name"))],
        ),
        ("examples/endpoint-off-by-tag.json", vec![]),
        (
            "examples/ipv6-and-metadata-tags.json",
            vec![
                format!("rules[0].require.HttpProtocolIpv6: {}", loosened("Network")),
                format!("rules[1].require.InstanceMetadataTags: {}", loosened("Agent")),
            ],
        ),
        ("examples/migration-1-dry-run.json", vec![]),
        ("examples/migration-2-account-by-account.json", vec![]),
        ("examples/migration-3-enforce-with-limits.json", vec![]),
        ("examples/migration-4-end-of-the-gate.json", vec![]),
        (
            "examples/organization-with-exemptions.json",
            vec![r#"rules[0].when.tags: anyone who may set the tag "App" exempts the instance"#.to_owned()],
        ),
    ];
    for (file, expected) in rows {
        let path = format!("{}/../policy/{file}", env!("CARGO_MANIFEST_DIR"));
        let document = std::fs::read_to_string(path).unwrap();
        let found = warnings_at(&document, datetime!(2026-11-24 12:00 UTC));
        assert_eq!(found, expected, "{file}");
    }
}
