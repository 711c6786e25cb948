//! TLS for the client's side: options, files, the handshake.
//!
//! As redis-cli does it, a server's chain must lead to a trusted authority, and the name in its
//! certificate is not compared; `--sni` only says which name to ask for. What the lists of
//! ciphers mean, and what a certificate must be, is the business of `tandem_tls`.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use tandem_tls::{Choice, Demand, Identity, Trust, certificates, private_key};

/// Files in which systems keep the authorities that everyone trusts.
const SYSTEM_FILES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsOptions {
    /// `--tls`, or a `rediss://` URI.
    pub(crate) enabled: bool,
    insecure: bool,
    sni: Option<String>,
    cacert: Option<PathBuf>,
    cacertdir: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    ciphers: String,
    ciphersuites: String,
    /// Made of the rest when the first connection needs it.
    ready: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl TlsOptions {
    /// Takes an option without a value; false when `arg` is none.
    pub(crate) fn take_flag(&mut self, arg: &[u8]) -> bool {
        match arg {
            b"--tls" => self.enabled = true,
            b"--insecure" => self.insecure = true,
            _ => return false,
        }
        true
    }

    /// Takes an option and its value; false when `arg` is none.
    pub(crate) fn take_pair(&mut self, arg: &[u8], value: &[u8]) -> bool {
        use std::os::unix::ffi::OsStrExt;
        let path = || Some(PathBuf::from(std::ffi::OsStr::from_bytes(value)));
        let text = || String::from_utf8_lossy(value).into_owned();
        match arg {
            b"--sni" => self.sni = Some(text()),
            b"--cacert" => self.cacert = path(),
            b"--cacertdir" => self.cacertdir = path(),
            b"--cert" => self.cert = path(),
            b"--key" => self.key = path(),
            b"--tls-ciphers" => self.ciphers = text(),
            b"--tls-ciphersuites" => self.ciphersuites = text(),
            _ => return false,
        }
        true
    }

    /// Shakes hands over `socket`, connected to `host`. The error's second part says whether
    /// the options are at fault, not the peer.
    pub(crate) fn shake_hands(
        &self,
        host: &str,
        mut socket: TcpStream,
    ) -> Result<StreamOwned<ClientConnection, TcpStream>, Fault> {
        let config = self.ready.get_or_init(|| self.configure()).clone().map_err(Fault::Options)?;
        let name = self.sni.as_deref().unwrap_or(host).to_owned();
        // Without --sni the name is neither sent nor compared.
        let name = ServerName::try_from(name)
            .or_else(|_| ServerName::try_from("localhost".to_owned()))
            .map_err(|_| Fault::Options("Failed to configure SNI".to_owned()))?;
        let mut tls = ClientConnection::new(config, name)
            .map_err(|_| Fault::Options("Failed to create SSL object".to_owned()))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).map_err(|error| Fault::Peer(told(&error)))?;
        }
        Ok(StreamOwned::new(tls, socket))
    }

    fn configure(&self) -> Result<Arc<ClientConfig>, String> {
        let wrong = |what: &'static str| move |_: String| what.to_owned();
        Choice::of("", &self.ciphers, "").map_err(wrong("Error while configuring ciphers"))?;
        let choice = Choice::of("", &self.ciphers, &self.ciphersuites)
            .map_err(wrong("Error while setting cypher suites"))?;
        let provider = Arc::clone(&choice.provider);
        let trust = Trust::new(self.authorities(&choice)?, Arc::clone(&provider))
            .map_err(wrong("Invalid CA Certificate File/Directory"))?;
        let demand = if self.insecure { Demand::Nothing } else { Demand::Chain };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&choice.versions)
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(trust.for_servers(demand));
        let mut config = match self.identity(&provider)? {
            Some(identity) => builder.with_client_cert_resolver(identity.resolver()),
            None => builder.with_no_client_auth(),
        };
        config.enable_sni = self.sni.is_some();
        Ok(Arc::new(config))
    }

    /// Who is trusted: what was named, else what the system trusts.
    fn authorities(&self, choice: &Choice) -> Result<Vec<CertificateDer<'static>>, String> {
        let invalid = || "Invalid CA Certificate File/Directory".to_owned();
        let mut found = Vec::new();
        if let Some(path) = &self.cacert {
            found.extend(from_file(path).ok_or_else(invalid)?);
        }
        if let Some(folder) = &self.cacertdir {
            found.extend(from_folder(folder));
        }
        if self.cacert.is_none() && self.cacertdir.is_none() {
            let named = |variable| std::env::var_os(variable).map(PathBuf::from);
            let file = named("SSL_CERT_FILE")
                .or_else(|| SYSTEM_FILES.iter().map(PathBuf::from).find(|path| path.is_file()));
            found.extend(file.and_then(|path| from_file(&path)).unwrap_or_default());
            found.extend(named("SSL_CERT_DIR").map(|path| from_folder(&path)).unwrap_or_default());
            // One that cannot be used must not spoil the many others.
            found.retain(|one| Trust::new(vec![one.clone()], Arc::clone(&choice.provider)).is_ok());
        }
        Ok(found)
    }

    fn identity(
        &self,
        provider: &rustls::crypto::CryptoProvider,
    ) -> Result<Option<Identity>, String> {
        let bad_cert = || "Invalid client certificate".to_owned();
        let bad_key = || "Invalid private key".to_owned();
        let chain = match &self.cert {
            Some(path) => Some(from_file(path).ok_or_else(bad_cert)?),
            None => None,
        };
        let key = match &self.key {
            Some(path) => {
                let pem = std::fs::read(path).map_err(|_| bad_key())?;
                Some(private_key(&pem, None).map_err(|_| bad_key())?)
            }
            None => None,
        };
        match (chain, key) {
            (Some(chain), Some(key)) => {
                Identity::new(chain, key, provider).map(Some).map_err(|_| bad_key())
            }
            // One without the other proves nothing and is not sent.
            _ => Ok(None),
        }
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The options cannot be followed.
    Options(String),
    /// The handshake failed.
    Peer(String),
}

fn from_file(path: &Path) -> Option<Vec<CertificateDer<'static>>> {
    certificates(&std::fs::read(path).ok()?).ok()
}

/// All certificates of a folder; files that hold none are passed over.
fn from_folder(folder: &Path) -> Vec<CertificateDer<'static>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    // OpenSSL's folders have each file under two names: the second is its hash.
    let mut found: Vec<_> = paths.iter().filter_map(|path| from_file(path)).flatten().collect();
    found.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
    found.dedup();
    found
}

/// In OpenSSL's words where scripts may look for them.
fn told(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_)) => {
            "SSL_connect failed: certificate verify failed".to_owned()
        }
        Some(other) => format!("SSL_connect failed: {other}"),
        None => format!("SSL_connect failed: {}", crate::text::error_text(error)),
    }
}
