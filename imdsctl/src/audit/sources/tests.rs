//! What is told of each kind of source, and the commands that mend it. `tests/fixes.txt` has all of them, and
//! `tests/python/test_fixes.py` has the AWS CLI check them.

use std::collections::BTreeMap;
use std::fmt::Write;

use imds_core::ids::{AccountId, AccountRegion, Region};
use imds_core::metadata::{MetadataOptions, OptionName};
use imds_core::source::{Source, SourceKind};
use imds_engine::aws::fleet::{Defaults, Image, TemplateVersion};

use super::fixes::{Facts, row};
use super::found::Found;
use super::templates::Template;

const ACCOUNT: &str = "111122223333";
const TEMPLATE: &str = "lt-0123456789abcdef0";
const IMAGE: &str = "ami-0123456789abcdef0";
const TOKENS: &[(&str, &str)] = &[("HttpTokens", "required")];
const TOKENS_AND_HOPS: &[(&str, &str)] = &[("HttpTokens", "required"), ("HttpPutResponseHopLimit", "2")];
const ALL: &[(&str, &str)] = &[
    ("HttpTokens", "required"),
    ("HttpEndpoint", "enabled"),
    ("HttpPutResponseHopLimit", "2"),
    ("HttpProtocolIpv6", "disabled"),
    ("InstanceMetadataTags", "disabled"),
];

fn options(pairs: &[(&str, &str)]) -> MetadataOptions {
    pairs.iter().map(|(name, value)| OptionName::from_name(name).unwrap().parse(value).unwrap()).collect()
}

fn source(kind: SourceKind, id: &str, version: Option<&str>) -> Source {
    Source { kind, id: id.to_owned(), version: version.map(str::to_owned) }
}

fn version(number: i64, is_default: bool, set: &[(&str, &str)]) -> TemplateVersion {
    TemplateVersion { name: "web".to_owned(), number, is_default, options: options(set) }
}

/// The versions of a launch template by their roles.
#[derive(Default, Clone)]
struct Versions {
    used: Option<TemplateVersion>,
    default: Option<TemplateVersion>,
    latest: Option<TemplateVersion>,
}

fn alone(version: TemplateVersion) -> Versions {
    Versions { used: Some(version.clone()), default: Some(version.clone()), latest: Some(version) }
}

/// A source of findings.
struct Scenario {
    name: &'static str,
    source: Source,
    found: Found,
    versions: Option<Versions>,
    image: Option<Image>,
    defaults: Option<Defaults>,
}

impl Scenario {
    fn new(name: &'static str, source: Source, lacks: &[(&str, &str)]) -> Self {
        let found = Found { instances: 3, lacks: options(lacks), ..Found::default() };
        Self { name, source, found, versions: None, image: None, defaults: None }
    }

    fn versions(self, versions: Versions) -> Self {
        Self { versions: Some(versions), ..self }
    }

    fn row(&self) -> crate::audit::row::SourceRow {
        let account_region = AccountRegion {
            account: AccountId::new(ACCOUNT).unwrap(),
            region: Region::new("eu-west-1").unwrap(),
        };
        let template = self.versions.as_ref().map(|versions| Template {
            id: TEMPLATE,
            used: versions.used.as_ref(),
            default: versions.default.as_ref(),
            latest: versions.latest.as_ref(),
        });
        row(&Facts {
            account_region: &account_region,
            source: &self.source,
            found: &self.found,
            template,
            image: self.image.as_ref(),
            defaults: self.defaults.as_ref(),
        })
    }

    fn text(&self) -> String {
        let row = self.row();
        let mut text = format!("== {}\n{}\n", self.name, row.finding);
        for fix in row.fixes {
            writeln!(text, "* {}", fix.text).unwrap();
            if let Some(command) = fix.command {
                writeln!(text, "    $ {command}").unwrap();
            }
        }
        text
    }
}

fn launch_templates() -> Vec<Scenario> {
    let of = |name, version| {
        Scenario::new(name, source(SourceKind::LaunchTemplate, TEMPLATE, version), TOKENS_AND_HOPS)
    };
    let old = || version(3, false, &[("HttpTokens", "optional")]);
    let set = |number, is_default| version(number, is_default, TOKENS_AND_HOPS);
    let (some_set, plain) =
        (version(3, true, &[("HttpTokens", "optional"), ("HttpEndpoint", "enabled")]), version(5, true, &[]));
    vec![
        of("launch template, one version", Some("3")).versions(alone(some_set)),
        of("launch template, no version told", None).versions(alone(version(1, true, &[]))),
        of("launch template, old version", Some("3")).versions(Versions {
            used: Some(old()),
            default: Some(plain.clone()),
            latest: Some(version(7, false, &[])),
        }),
        of("launch template, the default version is right", Some("3")).versions(Versions {
            used: Some(old()),
            default: Some(set(5, true)),
            latest: Some(set(5, true)),
        }),
        of("launch template, the latest version is right", Some("5")).versions(Versions {
            used: Some(plain.clone()),
            default: Some(plain),
            latest: Some(set(7, false)),
        }),
        of("launch template, the version in use is right", Some("3")).versions(alone(set(3, true))),
        of("launch template, the version in use is deleted", Some("3"))
            .versions(Versions { default: Some(set(5, true)), ..Versions::default() }),
        of("launch template, unread", Some("3")).versions(Versions::default()),
    ]
}

fn groups() -> Vec<Scenario> {
    let group = |name, id| Scenario::new(name, source(SourceKind::AutoScalingGroup, id, None), TOKENS);
    let nodes = |name, id| Scenario::new(name, source(SourceKind::EksNodeGroup, id, None), TOKENS);
    let versions = || alone(version(3, true, &[("HttpPutResponseHopLimit", "2")]));
    let template = |number| source(SourceKind::LaunchTemplate, TEMPLATE, Some(number));
    let mut several = group("Auto Scaling group, several versions", "web").versions(versions());
    several.found.templates = BTreeMap::from([(template("2"), 1), (template("3"), 2)]);
    vec![
        group("Auto Scaling group", "web (1) it's $HOME").versions(versions()),
        group("Auto Scaling group, a name like an option", "--endpoint-url=x").versions(versions()),
        several,
        group("Auto Scaling group with a launch configuration", "web"),
        group("Auto Scaling group, unread template", "web").versions(Versions::default()),
        group("Auto Scaling group, the default version is right", "web").versions(Versions {
            used: Some(version(3, false, &[])),
            default: Some(version(5, true, TOKENS)),
            latest: Some(version(5, true, TOKENS)),
        }),
        nodes("EKS node group", "prod/blue").versions(versions()),
        nodes("EKS node group, no hop limit", "prod/blue").versions(alone(version(3, true, &[]))),
        nodes("EKS node group, no cluster told", "blue"),
        Scenario::new("Karpenter node pool", source(SourceKind::KarpenterNodePool, "default", None), ALL),
        Scenario::new(
            "Karpenter node pool, nothing that Karpenter sets",
            source(SourceKind::KarpenterNodePool, "default", None),
            &[("InstanceMetadataTags", "disabled")],
        ),
    ]
}

fn others() -> Vec<Scenario> {
    let image = |name, owner: &str, lacks| Scenario {
        image: Some(Image { requires_tokens: false, owner: Some(owner.to_owned()) }),
        ..Scenario::new(name, source(SourceKind::Image, IMAGE, None), lacks)
    };
    let account = |name, lacks, defaults| Scenario {
        defaults: Some(defaults),
        ..Scenario::new(name, source(SourceKind::AccountDefaults, ACCOUNT, None), lacks)
    };
    let managed = Defaults {
        managed_by: Some("declarative-policy".to_owned()),
        managed_exception_message: Some("ask the \u{1b}[31mplatform team".to_owned()),
        ..Defaults::default()
    };
    let optional = Defaults { options: options(&[("HttpTokens", "optional")]), ..Defaults::default() };
    vec![
        Scenario::new(
            "CloudFormation stack",
            source(SourceKind::CloudformationStack, "shop", None),
            TOKENS_AND_HOPS,
        ),
        image("own image", ACCOUNT, TOKENS),
        image("image of another account", "444455556666", TOKENS_AND_HOPS),
        account("account defaults", ALL, optional),
        account("account defaults without preferences", TOKENS, Defaults::default()),
        account("account defaults of a declarative policy", TOKENS, managed),
    ]
}

fn in_words() -> Vec<Scenario> {
    let stack = |name, id, found| Scenario {
        found,
        ..Scenario::new(name, source(SourceKind::CloudformationStack, id, None), TOKENS)
    };
    let found = |in_use, unknown_use| Found {
        instances: 9,
        in_use,
        unknown_use,
        lacks: options(TOKENS),
        ..Found::default()
    };
    let differing = [OptionName::HttpPutResponseHopLimit].into();
    vec![
        stack("one instance in use", "shop", found(1, 0)),
        stack("some in use, some unknown", "shop", found(4, 1)),
        stack(
            "different values",
            "shop",
            Found { lacks: options(TOKENS_AND_HOPS), differing, ..found(0, 2) },
        ),
        stack("nothing known", "shop", Found { lacks: MetadataOptions::default(), ..found(0, 0) }),
        stack("a name that nothing has", "shop\"; $(touch hacked) '\u{202e}", found(0, 0)),
    ]
}

fn scenarios() -> Vec<Scenario> {
    [launch_templates(), groups(), others(), in_words()].into_iter().flatten().collect()
}

#[test]
fn every_kind_of_source_is_told_with_its_commands() {
    let text = scenarios().iter().map(Scenario::text).collect::<Vec<_>>().join("\n");
    let file = std::env::temp_dir().join("fixes.txt");
    let hint = format!("compare tests/fixes.txt with {}", file.display());
    if text != include_str!("../../../tests/fixes.txt") {
        std::fs::write(&file, &text).unwrap();
        panic!("{hint}");
    }
}

#[test]
fn every_command_of_aws_names_the_region() {
    let mut commands = 0;
    for scenario in scenarios() {
        for command in scenario.row().fixes.into_iter().filter_map(|fix| fix.command) {
            let is_kubectl = command.contains("kubectl ");
            assert!(is_kubectl || command.contains(" --region eu-west-1"), "{}: {command}", scenario.name);
            commands += 1;
        }
    }
    assert!(commands > 50, "{commands}");
}
