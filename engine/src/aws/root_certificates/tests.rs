use super::*;
use std::fs;

const AUTHORITY: &str = include_str!("../../../../tests/support/tls/authority.pem");
const OTHER: &str = include_str!("../../../../tests/support/tls/localhost.pem");
const NO_PLACES: Places<'_> = Places { files: &[], folders: &[] };

/// A temporary folder of one test, with its files.
struct Folder(String);

impl Folder {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("imds-enforcer-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        files.iter().for_each(|(name, content)| fs::write(path.join(name), content).unwrap());
        Self(path.to_str().unwrap().to_owned())
    }

    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn find(variables: &[(&str, &str)], places: Places<'_>) -> Result<RootCertificates, NoRootCertificates> {
    let lookup =
        |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    RootCertificates::find(lookup, places)
}

fn count(found: &RootCertificates) -> usize {
    found.store.len()
}

#[test]
fn the_first_bundle_with_a_certificate_is_enough() {
    let folder = Folder::new("bundle", &[("empty", ""), ("bundle", AUTHORITY), ("next", OTHER)]);
    let files = ["absent", "empty", "bundle", "next"].map(|name| folder.file(name));
    let files = files.each_ref().map(String::as_str);
    for variables in [&[][..], &[(FILE, ""), (FOLDERS, "")], &[(FOLDERS, ":")]] {
        let found = find(variables, Places { files: &files, folders: &[&folder.0] }).unwrap();
        assert_eq!(found.sources, [format!("{:?}", files[2])], "{variables:?}");
        assert_eq!((count(&found), found.warnings().count()), (1, 0), "{variables:?}");
    }
}

#[test]
fn a_folder_is_enough() {
    let folder = Folder::new(
        "folder",
        &[("a.pem", AUTHORITY), ("b.0", OTHER), ("README", "none"), ("c.pem", AUTHORITY)],
    );
    let found = find(&[], Places { files: &["/nowhere"], folders: &["/nowhere", &folder.0] }).unwrap();
    assert_eq!((count(&found), found.sources.len(), found.warnings().count()), (2, 1, 0));
    let set = find(&[(FOLDERS, &format!("/nowhere::{}", folder.0))], NO_PLACES).unwrap();
    assert_eq!((count(&set), set.warnings().count()), (2, 1), "{set:?}");
}

#[test]
fn a_variable_replaces_the_known_places() {
    let folder = Folder::new("set", &[("bundle", &format!("{AUTHORITY}{OTHER}")), ("mine", AUTHORITY)]);
    let other = Folder::new("set-folder", &[("other.pem", OTHER)]);
    let (bundle, mine) = (folder.file("bundle"), folder.file("mine"));
    let places = Places { files: &[&bundle], folders: &[] };
    let found = find(&[(FILE, &mine)], places).unwrap();
    assert_eq!((count(&found), found.warnings().count()), (1, 0));
    let both = find(&[(FILE, &mine), (FOLDERS, &other.0)], places).unwrap();
    assert_eq!((count(&both), both.warnings().count()), (2, 0));
}

#[test]
fn a_variable_without_a_certificate_causes_a_warning_and_the_known_places_are_used() {
    let broken = format!("{AUTHORITY}{BEGIN}\n!\n{END}\n");
    let folder = Folder::new(
        "broken",
        &[
            ("bundle", AUTHORITY),
            ("text", "no certificate"),
            ("long", &"x".repeat(9 << 20)),
            ("broken", &format!("{BEGIN}\nAAAA\n{END}")),
            ("half", &broken),
        ],
    );
    let bundle = folder.file("bundle");
    for (variable, path, problem) in [
        (FILE, "/nowhere/roots.pem", "cannot be read: No such file or directory"),
        (FILE, "/", "cannot be read: it is not a regular file"),
        (FILE, "/dev/zero", "cannot be read: it is not a regular file"),
        (FILE, &folder.file("long"), "cannot be read: it is larger than 8 MiB"),
        (FILE, &folder.file("text"), "has no certificate in PEM format"),
        (FILE, &folder.file("broken"), "has no certificate that can be parsed (1 rejected)"),
        (FILE, &folder.file("half"), "certificates skipped because they cannot be parsed: 1"),
        (FOLDERS, "/nowhere", "cannot be read"),
    ] {
        let found = find(&[(variable, path)], Places { files: &[&bundle], folders: &[] }).unwrap();
        assert_eq!(count(&found), 1, "{path}");
        let warnings: Vec<String> = found.warnings().collect();
        let source = if path.ends_with("half") { path } else { &bundle };
        let [warning] = &warnings[..] else { panic!("{path}: {warnings:?}") };
        for part in [variable, path, problem, &format!("come from {source:?}"), "TLS-inspecting proxy"] {
            assert!(warning.contains(part), "{part}\nnot in\n{warning}");
        }
    }
}

#[test]
fn no_certificate_anywhere_is_an_error_that_names_every_place() {
    let folder = Folder::new("none", &[("text", "no certificate")]);
    let text = folder.file("text");
    let places = Places { files: &["/nowhere/bundle.pem", &text], folders: &["/nowhere", &folder.0] };
    let error = find(&[(FILE, "/nowhere/set.pem"), (FOLDERS, "/nowhere/set")], places).unwrap_err();
    assert_eq!(error.0.len(), 6, "{error}");
    let error = error.to_string();
    for part in ["Set SSL_CERT_FILE to a file", "SSL_CERT_FILE: \"/nowhere/set.pem\" cannot be read"] {
        assert!(error.contains(part), "{part}\nnot in\n{error}");
    }
    for place in [&*text, "/nowhere/bundle.pem", "SSL_CERT_DIR: \"/nowhere/set\"", "\"/nowhere\"", &folder.0]
    {
        assert!(error.contains(place), "{place}\nnot in\n{error}");
    }
}

#[test]
fn certificates_that_rustls_rejects_are_left_out() {
    let certificates = [AUTHORITY, OTHER].map(|pem| pem.replace('\n', " \r\n")).join("Text, not UTF-8:\n");
    let garbage = base64::encode("not a certificate");
    let document =
        format!("{certificates}{BEGIN}\n{garbage}\n{END}\n{BEGIN}\n%\n{END}\n{BEGIN}\n{BEGIN}\nAAAA");
    let path = Folder::new("rejects", &[]);
    fs::write(path.file("bundle"), [document.as_bytes(), b"\xff"].concat()).unwrap();
    let mut found = RootCertificates::none();
    assert_eq!(found.add_file(&path.file("bundle")), Ok(4));
    assert_eq!(count(&found), 2);
}
