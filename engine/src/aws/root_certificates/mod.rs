//! The root certificates that AWS's certificates are verified with.
//!
//! The SDK's HTTP client panics at a root certificate that it cannot parse. Each one is therefore checked here first, in a
//! way that takes a fifth of what the client then takes to parse it again.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use aws_smithy_http_client::tls::TrustStore;
use aws_smithy_types::base64;
use memchr::memchr_iter;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

/// A file of certificates, which an operator sets, as for TLS inspection.
const FILE: &str = "SSL_CERT_FILE";
/// Folders of certificates, separated by colons.
const FOLDERS: &str = "SSL_CERT_DIR";

/// The longest bundle that is read: those of Linux distributions have some 200 KiB.
const LONGEST_BUNDLE: u64 = 8 << 20;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Where root certificates are, unless the operator says so.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// Bundles. The first that has a certificate is used.
    pub files: &'a [&'a str],
    /// Folders. All are read where there is no bundle.
    pub folders: &'a [&'a str],
}

/// The places of Linux distributions, Lambda's first: those of the crate openssl-probe, which the SDK uses. The SDK would read
/// the folders beside the bundle, which on Debian takes twice as long.
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
#[derive(Debug, Default)]
pub struct RootCertificates {
    /// As the client takes them: in PEM, without the line breaks, which would take it longer.
    pem: String,
    sources: Vec<String>,
    /// What is wrong with the operator's variables.
    problems: Vec<String>,
}

/// There is no root certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no root certificate was found, and without one every call to AWS fails. Set SSL_CERT_FILE to a file of root \
     certificates in PEM. These places have none:\n{}", .0.join("\n")
)]
pub struct NoRootCertificates(
    /// Each place that was searched, and what is wrong with it.
    pub Vec<String>,
);

impl RootCertificates {
    /// The certificates of `SSL_CERT_FILE` and `SSL_CERT_DIR`; without any there, those of `places`. `lookup` is
    /// `std::env::var` in production. An empty variable counts as unset.
    ///
    /// # Errors
    /// There is no certificate that can be parsed. A retry needs another configuration, or another image.
    pub fn find(
        lookup: impl Fn(&str) -> Option<String>,
        places: Places<'_>,
    ) -> Result<Self, NoRootCertificates> {
        let set = |name| lookup(name).unwrap_or_default();
        let mut found = Self::default();
        // Where both are set, both are used, as OpenSSL and the SDK do.
        let file = set(FILE);
        if !file.is_empty() {
            found.add_set(FILE, &file, Self::add_file);
        }
        for path in set(FOLDERS).split(':').filter(|path| !path.is_empty()) {
            found.add_set(FOLDERS, path, Self::add_folder);
        }
        let mut searched = found.problems.clone();
        for path in places.files {
            if found.pem.is_empty() {
                searched.extend(found.add_file(path).err());
            }
        }
        if found.pem.is_empty() {
            searched.extend(places.folders.iter().filter_map(|path| found.add_folder(path).err()));
        }
        if found.pem.is_empty() { Err(NoRootCertificates(searched)) } else { Ok(found) }
    }

    /// What the log is to say about the operator's variables: with other certificates than intended, calls may fail, and
    /// nothing else would say why.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        let sources = self.sources.join(" and ");
        self.problems.iter().map(move |problem| {
            format!(
                "{problem}. The root certificates come from {sources}: behind a TLS-inspecting proxy, every call fails \
                 unless the proxy's root certificate is among them"
            )
        })
    }

    /// The certificates, for the SDK's HTTP client.
    pub fn into_trust_store(self) -> TrustStore {
        TrustStore::empty().with_pem_certificate(self.pem)
    }

    /// Adds what a variable of the operator names.
    fn add_set(
        &mut self,
        variable: &str,
        path: &str,
        add: impl FnOnce(&mut Self, &str) -> Result<usize, String>,
    ) {
        let problem = match add(self, path) {
            Ok(0) => return,
            Ok(rejected) => {
                format!("{path:?}: certificates that cannot be parsed are left out, {rejected} of them")
            }
            Err(problem) => problem,
        };
        self.problems.push(format!("{variable}: {problem}"));
    }

    /// Adds the certificates of a file; how many were rejected, or why none was added.
    fn add_file(&mut self, path: &str) -> Result<usize, String> {
        let document = read_file(path).map_err(|error| format!("{path:?} cannot be read: {error}"))?;
        // Comments may have any encoding. To read each file the lossy way would take as long as all else here.
        let document = String::from_utf8(document)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        let added = self.add(&document);
        self.conclude(path, added)
    }

    /// Adds the certificates of a folder's files; how many were rejected, or why none was added.
    fn add_folder(&mut self, path: &str) -> Result<usize, String> {
        let found = rustls_native_certs::load_certs_from_paths(None, Some(Path::new(path)));
        let document = |certificate| format!("{BEGIN}\n{}\n{END}\n", base64::encode(certificate));
        let added = self.add(&found.certs.iter().map(document).collect::<String>());
        match (added, found.errors.first()) {
            ((0, 0), Some(error)) => Err(format!("{path:?} cannot be read: {error}")),
            ((accepted, rejected), _) => self.conclude(path, (accepted, rejected + found.errors.len())),
        }
    }

    /// How many certificates of a place were rejected, or why none was added.
    fn conclude(&mut self, path: &str, (accepted, rejected): (usize, usize)) -> Result<usize, String> {
        match (accepted, rejected) {
            (0, 0) => Err(format!("{path:?} has no certificate in PEM")),
            (0, _) => Err(format!("{path:?} has no certificate that can be parsed, of {rejected}")),
            _ => {
                self.sources.push(format!("{path:?}"));
                Ok(rejected)
            }
        }
    }

    /// Adds the certificates of a PEM document; how many rustls accepts, and how many it does not.
    fn add(&mut self, document: &str) -> (usize, usize) {
        let (mut accepted, mut rejected) = (0, 0);
        let (mut is_open, mut content) = (false, String::new());
        self.pem.reserve(document.len());
        for line in lines(document) {
            match line {
                BEGIN => {
                    rejected += usize::from(is_open);
                    is_open = true;
                    content.clear();
                }
                END if is_open => {
                    is_open = false;
                    if is_accepted(&content) {
                        accepted += 1;
                        self.pem.extend([BEGIN, "\n", &content, "\n", END, "\n"]);
                    } else {
                        rejected += 1;
                    }
                }
                _ if is_open => content.push_str(line),
                _ => {}
            }
        }
        (accepted, rejected + usize::from(is_open))
    }
}

/// The lines of a document, trimmed.
fn lines(document: &str) -> impl Iterator<Item = &str> {
    let mut start = 0;
    memchr_iter(b'\n', document.as_bytes()).chain([document.len()]).map(move |end| {
        let line = &document[start..end];
        start = end + 1;
        line.trim_ascii()
    })
}

/// The content of a file. What is none, such as a pipe, might never end.
fn read_file(path: &str) -> io::Result<Vec<u8>> {
    let invalid = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    // Asked for before it is opened, which waits for the other end of a pipe.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return invalid("it is no file");
    }
    // One byte more, to see the end without growing.
    let mut document = Vec::with_capacity(metadata.len().min(LONGEST_BUNDLE) as usize + 1);
    File::open(path)?.take(LONGEST_BUNDLE + 1).read_to_end(&mut document)?;
    if document.len() as u64 > LONGEST_BUNDLE {
        return invalid("it has more than 8 MiB");
    }
    Ok(document)
}

/// Whether rustls takes this certificate for a root.
fn is_accepted(content: &str) -> bool {
    let decoded = base64::decode(content);
    decoded.is_ok_and(|der| RootCertStore::empty().add(CertificateDer::from(der)).is_ok())
}

#[cfg(test)]
mod tests;
