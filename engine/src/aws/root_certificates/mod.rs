//! The root certificates that verify the server certificates of AWS.
//!
//! They are decoded and parsed here, once: with SIMD, in a fifth of the time that the usual reader of PEM takes.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use aws_smithy_types::base64;
use memchr::memchr_iter;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

/// The variable for a file of certificates. Operators set it, for example, behind a TLS-inspecting proxy.
const FILE: &str = "SSL_CERT_FILE";
/// The variable for folders of certificates, separated by colons.
const FOLDERS: &str = "SSL_CERT_DIR";

/// The maximum size of a bundle; those of Linux distributions have about 200 KiB.
const LONGEST_BUNDLE: u64 = 8 << 20;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Where root certificates are if the operator's variables do not say so.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// Bundles. The first one that has a certificate is used.
    pub files: &'a [&'a str],
    /// Folders. All are read if no bundle has a certificate.
    pub folders: &'a [&'a str],
}

/// The places that Linux distributions use, Lambda's first. The list is that of the crate openssl-probe, which the SDK
/// uses. The SDK would also read the folders, which takes twice as long on Debian.
pub const KNOWN_PLACES: Places<'_> = Places {
    files: &[
        // Amazon Linux, Fedora, RHEL.
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/pki/tls/certs/ca-bundle.crt",
        // Alpine and others.
        "/etc/ssl/cert.pem",
        // Debian, Ubuntu.
        "/etc/ssl/certs/ca-certificates.crt",
        // openSUSE.
        "/etc/ssl/ca-bundle.pem",
        "/etc/pki/tls/cacert.pem",
        "/opt/etc/ssl/certs/ca-certificates.crt",
        "/etc/ssl/certs/cacert.pem",
    ],
    folders: &["/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/security/certificates"],
};

/// Root certificates that rustls accepts.
#[derive(Debug)]
pub struct RootCertificates {
    store: RootCertStore,
    sources: Vec<String>,
    /// The errors in the operator's variables.
    problems: Vec<String>,
}

/// No root certificate was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no root certificate was found, and every call to AWS fails without one. Set SSL_CERT_FILE to a file of root \
     certificates in PEM format. Locations searched:\n{}", .0.join("\n")
)]
pub struct NoRootCertificates(
    /// Each location that was searched, and why it has no certificate.
    pub Vec<String>,
);

impl RootCertificates {
    /// Loads the certificates of `SSL_CERT_FILE` and `SSL_CERT_DIR`, or those of `places` if the variables provide
    /// none. `lookup` is `std::env::var` in production. An empty variable counts as unset.
    ///
    /// # Errors
    /// No certificate can be parsed. A retry helps only after the configuration or the image has changed.
    pub fn find(
        lookup: impl Fn(&str) -> Option<String>,
        places: Places<'_>,
    ) -> Result<Self, NoRootCertificates> {
        let set = |name| lookup(name).unwrap_or_default();
        let mut found = Self::none();
        // If both are set, both are used, as in OpenSSL and the SDK.
        let file = set(FILE);
        if !file.is_empty() {
            found.add_set(FILE, &file, Self::add_file);
        }
        for path in set(FOLDERS).split(':').filter(|path| !path.is_empty()) {
            found.add_set(FOLDERS, path, Self::add_folder);
        }
        let mut searched = found.problems.clone();
        for path in places.files {
            if found.store.is_empty() {
                searched.extend(found.add_file(path).err());
            }
        }
        if found.store.is_empty() {
            searched.extend(places.folders.iter().filter_map(|path| found.add_folder(path).err()));
        }
        if found.store.is_empty() { Err(NoRootCertificates(searched)) } else { Ok(found) }
    }

    /// Returns the warnings about the operator's variables. Without the intended certificates, calls may fail, and no
    /// other message would say why.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        let sources = self.sources.join(" and ");
        self.problems.iter().map(move |problem| {
            format!(
                "{problem}. The root certificates come from {sources}: behind a TLS-inspecting proxy, every call fails \
                 unless the proxy's root certificate is among them"
            )
        })
    }

    /// Returns the certificates.
    pub fn into_store(self) -> RootCertStore {
        self.store
    }

    fn none() -> Self {
        Self { store: RootCertStore::empty(), sources: Vec::new(), problems: Vec::new() }
    }

    /// Adds the file or folder that an operator's variable names.
    fn add_set(
        &mut self,
        variable: &str,
        path: &str,
        add: impl FnOnce(&mut Self, &str) -> Result<usize, String>,
    ) {
        let problem = match add(self, path) {
            Ok(0) => return,
            Ok(rejected) => {
                format!("{path:?}: certificates skipped because they cannot be parsed: {rejected}")
            }
            Err(problem) => problem,
        };
        self.problems.push(format!("{variable}: {problem}"));
    }

    /// Adds the certificates of a file. Returns how many were rejected, or why none was added.
    fn add_file(&mut self, path: &str) -> Result<usize, String> {
        let document = read_file(path).map_err(|error| format!("{path:?} cannot be read: {error}"))?;
        // Comments may have any encoding. Lossy decoding is used only if it is needed, as it takes as long as
        // everything else here.
        let document = String::from_utf8(document)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        let added = self.add(&document);
        self.conclude(path, added)
    }

    /// Adds the certificates of a folder's files. Returns how many were rejected, or why none was added.
    fn add_folder(&mut self, path: &str) -> Result<usize, String> {
        let found = rustls_native_certs::load_certs_from_paths(None, Some(Path::new(path)));
        let (accepted, rejected) = self.store.add_parsable_certificates(found.certs);
        match (accepted + rejected, found.errors.first()) {
            (0, Some(error)) => Err(format!("{path:?} cannot be read: {error}")),
            _ => self.conclude(path, (accepted, rejected + found.errors.len())),
        }
    }

    /// Records the source if a certificate was added. Returns how many of its certificates were rejected, or why none
    /// was added.
    fn conclude(&mut self, path: &str, (accepted, rejected): (usize, usize)) -> Result<usize, String> {
        match (accepted, rejected) {
            (0, 0) => Err(format!("{path:?} has no certificate in PEM format")),
            (0, _) => Err(format!("{path:?} has no certificate that can be parsed ({rejected} rejected)")),
            _ => {
                self.sources.push(format!("{path:?}"));
                Ok(rejected)
            }
        }
    }

    /// Adds the certificates of a PEM document. Returns how many rustls accepted and how many it rejected.
    fn add(&mut self, document: &str) -> (usize, usize) {
        let (mut accepted, mut rejected) = (0, 0);
        let (mut is_open, mut content) = (false, String::new());
        for line in lines(document) {
            match line {
                BEGIN => {
                    rejected += usize::from(is_open);
                    is_open = true;
                    content.clear();
                }
                END if is_open => {
                    is_open = false;
                    match self.add_certificate(&content) {
                        true => accepted += 1,
                        false => rejected += 1,
                    }
                }
                _ if is_open => content.push_str(line),
                _ => {}
            }
        }
        (accepted, rejected + usize::from(is_open))
    }

    /// Adds a certificate in base64. Returns whether rustls accepts it.
    fn add_certificate(&mut self, content: &str) -> bool {
        base64::decode(content).is_ok_and(|der| self.store.add(CertificateDer::from(der)).is_ok())
    }
}

/// Returns the trimmed lines of a document.
fn lines(document: &str) -> impl Iterator<Item = &str> {
    let mut start = 0;
    memchr_iter(b'\n', document.as_bytes()).chain([document.len()]).map(move |end| {
        let line = &document[start..end];
        start = end + 1;
        line.trim_ascii()
    })
}

/// Reads a regular file. Anything else, such as a pipe, might never end.
fn read_file(path: &str) -> io::Result<Vec<u8>> {
    let invalid = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    // Checked before opening, as opening a pipe waits for its other end.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return invalid("it is not a regular file");
    }
    // One more byte, so that the end is detected without growing the buffer.
    let mut document = Vec::with_capacity(metadata.len().min(LONGEST_BUNDLE) as usize + 1);
    File::open(path)?.take(LONGEST_BUNDLE + 1).read_to_end(&mut document)?;
    if document.len() as u64 > LONGEST_BUNDLE {
        return invalid("it is larger than 8 MiB");
    }
    Ok(document)
}

#[cfg(test)]
mod tests;
