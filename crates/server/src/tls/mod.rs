//! TLS as the directives say it: read from files, put together, replaced as a whole.
//!
//! ```text
//! tls-* ─► Settings::read ─► Tls (shared) ─┬─► acceptor ─► Handshakes (a thread) ─► a worker
//!            │ bad: the old ones stay      └─► connector ─► the link to our master
//! ```
//! Connections keep the settings they began with. Handshakes cost a thousand times what a command
//! costs, so they have a thread of their own: other clients notice nothing of a storm of them.

mod handshakes;
mod sessions;
mod stream;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{NoServerSessionStorage, ServerConnection, WebPkiClientVerifier};
use rustls::{ClientConfig, ClientConnection, ServerConfig};
use socket2::Socket;
use tandem_engine::config::{Config, TlsAuthClients};
use tandem_engine::node::{Level, Node};
use tandem_tls::{Choice, Demand, Identity, Trust, certificates, private_key};

pub(crate) use handshakes::{Begun, Handshakes};
pub(crate) use stream::{Handshake, TlsStream};

use crate::daemon::os_words;

/// The settings in force; nothing before TLS is first needed.
#[derive(Default)]
pub(crate) struct Tls {
    settings: RwLock<Option<Arc<Settings>>>,
}

/// One reading of the directives and their files.
struct Settings {
    /// For clients that must show a certificate, may show one, and need none.
    servers: [Option<Arc<ServerConfig>>; 3],
    client: Arc<ClientConfig>,
}

impl Tls {
    /// Reads the directives and their files, and uses them from now on.
    ///
    /// # Errors
    /// The line to log; what was in force stays so.
    pub(crate) fn apply(&self, config: &Config, node: Option<&Node>) -> Result<(), String> {
        let (settings, notes) = Settings::read(config)?;
        if let Some(node) = node {
            notes.iter().for_each(|note| node.log(Level::Warning, note));
        }
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(settings));
        Ok(())
    }

    /// Whether there are settings.
    pub(crate) fn is_ready(&self) -> bool {
        self.settings().is_some()
    }

    fn settings(&self) -> Option<Arc<Settings>> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// TLS on a connection that has just come.
    pub(crate) fn accept(
        &self,
        socket: Socket,
        demand: TlsAuthClients,
    ) -> Result<TlsStream, String> {
        let settings = self.settings().ok_or("TLS is not configured")?;
        let server = settings.servers[at(demand)].as_ref();
        let server = server.ok_or("no authority is known to check certificates with")?;
        let session = ServerConnection::new(Arc::clone(server)).map_err(|e| e.to_string())?;
        Ok(TlsStream::new(socket, session))
    }

    /// TLS on a connection to `host`.
    pub(crate) fn connect(&self, socket: Socket, host: &str) -> Result<TlsStream, String> {
        let settings = self.settings().ok_or("TLS is not configured")?;
        // It is sent to nobody and compared with nothing; a name that cannot be one will do.
        let name = ServerName::try_from(host.to_owned())
            .or_else(|_| ServerName::try_from("master.invalid"))
            .expect("a legal name");
        let session = ClientConnection::new(Arc::clone(&settings.client), name)
            .map_err(|error| error.to_string())?;
        Ok(TlsStream::new(socket, session))
    }
}

/// Whether the directives ask for TLS anywhere.
pub(crate) fn is_wanted(config: &Config) -> bool {
    config.tls_port() != 0 || config.tls_replication() || config.tls_cluster()
}

fn at(demand: TlsAuthClients) -> usize {
    match demand {
        TlsAuthClients::Yes => 0,
        TlsAuthClients::Optional => 1,
        TlsAuthClients::No => 2,
    }
}

impl Settings {
    /// Reads everything; with it come lines for the log about what was left out.
    fn read(config: &Config) -> Result<(Settings, Vec<String>), String> {
        if config.tls_cert_file().is_empty() {
            return Err("No tls-cert-file configured!".to_owned());
        }
        if config.tls_key_file().is_empty() {
            return Err("No tls-key-file configured!".to_owned());
        }
        let authorities = authorities(config)?;
        let needs_authority = config.tls_auth_clients() != TlsAuthClients::No
            || config.tls_cluster()
            || config.tls_replication();
        if needs_authority && authorities.is_none() {
            return Err("Either tls-ca-cert-file or tls-ca-cert-dir must be specified when \
                        tls-cluster, tls-replication or tls-auth-clients are enabled!"
                .to_owned());
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let choice = Choice::of(
            &text(config.tls_protocols()),
            &text(config.tls_ciphers()),
            &text(config.tls_ciphersuites()),
        )?;
        let mut notes = Vec::new();
        if !choice.ignored.is_empty() {
            let words = choice.ignored.join(" ");
            notes.push(format!("tls-protocols: {words} are not supported, and left out"));
        }
        let identity = identity(
            config.tls_cert_file(),
            config.tls_key_file(),
            config.tls_key_file_pass(),
            &choice,
        )?;
        let own =
            !config.tls_client_cert_file().is_empty() && !config.tls_client_key_file().is_empty();
        let as_client = if own {
            let pass = config.tls_client_key_file_pass();
            identity_of_client(config, pass, &choice)?
        } else {
            identity.clone()
        };
        let trust = match authorities {
            Some(all) => {
                Some(Trust::new(all, Arc::clone(&choice.provider)).map_err(bad_authority)?)
            }
            None => None,
        };
        let mut servers = [None, None, None];
        for demand in [TlsAuthClients::Yes, TlsAuthClients::Optional, TlsAuthClients::No] {
            servers[at(demand)] = server(config, demand, &identity, trust.as_ref(), &choice)?;
        }
        let client = client(&as_client, trust, &choice)?;
        Ok((Settings { servers, client }, notes))
    }
}

fn bad_authority(why: String) -> String {
    format!("Failed to configure CA certificate(s) file/directory: {why}")
}

fn identity_of_client(config: &Config, pass: &[u8], choice: &Choice) -> Result<Identity, String> {
    identity(config.tls_client_cert_file(), config.tls_client_key_file(), pass, choice)
}

fn server(
    config: &Config,
    demand: TlsAuthClients,
    identity: &Identity,
    trust: Option<&Trust>,
    choice: &Choice,
) -> Result<Option<Arc<ServerConfig>>, String> {
    let verifier = match (demand, trust) {
        (TlsAuthClients::No, _) => WebPkiClientVerifier::no_client_auth(),
        (_, None) => return Ok(None),
        (demand, Some(trust)) => {
            trust.for_clients(demand == TlsAuthClients::Yes).map_err(bad_authority)?
        }
    };
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&choice.provider))
        .with_protocol_versions(&choice.versions)
        .map_err(|error| format!("Failed to configure ciphers: {error}"))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(identity.resolver());
    server.ignore_client_order = config.tls_prefer_server_ciphers();
    if config.tls_session_caching() {
        let count_max = usize::try_from(config.tls_session_cache_size()).unwrap_or(usize::MAX);
        let kept_for = Duration::from_secs(config.tls_session_cache_timeout().into());
        server.session_storage = Arc::new(sessions::Sessions::new(count_max, kept_for));
    } else {
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
    }
    Ok(Some(Arc::new(server)))
}

fn client(
    identity: &Identity,
    trust: Option<Trust>,
    choice: &Choice,
) -> Result<Arc<ClientConfig>, String> {
    let trust = match trust {
        Some(trust) => trust,
        // Nobody is trusted: tls-replication is refused without authorities.
        None => Trust::new(Vec::new(), Arc::clone(&choice.provider)).map_err(bad_authority)?,
    };
    let mut client = ClientConfig::builder_with_provider(Arc::clone(&choice.provider))
        .with_protocol_versions(&choice.versions)
        .map_err(|error| format!("Failed to configure ciphers: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(trust.for_servers(Demand::Chain))
        .with_client_cert_resolver(identity.resolver());
    client.enable_sni = false;
    Ok(Arc::new(client))
}

fn read_file(path: &[u8]) -> Result<Vec<u8>, String> {
    std::fs::read(OsStr::from_bytes(path)).map_err(|error| os_words(&error))
}

fn identity(cert: &[u8], key: &[u8], pass: &[u8], choice: &Choice) -> Result<Identity, String> {
    let name = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let chain = read_file(cert)
        .and_then(|pem| certificates(&pem))
        .map_err(|why| format!("Failed to load certificate: {}: {why}", name(cert)))?;
    let pass = (!pass.is_empty()).then_some(pass);
    read_file(key)
        .and_then(|pem| private_key(&pem, pass))
        .and_then(|key| Identity::new(chain, key, &choice.provider))
        .map_err(|why| format!("Failed to load private key: {}: {why}", name(key)))
}

/// The certificates of `tls-ca-cert-file` and of every file in `tls-ca-cert-dir`; `None` when
/// neither is set.
fn authorities(config: &Config) -> Result<Option<Vec<CertificateDer<'static>>>, String> {
    let (file, folder) = (config.tls_ca_cert_file(), config.tls_ca_cert_dir());
    if file.is_empty() && folder.is_empty() {
        return Ok(None);
    }
    let mut all = Vec::new();
    if !file.is_empty() {
        all = read_file(file).and_then(|pem| certificates(&pem)).map_err(bad_authority)?;
    }
    if !folder.is_empty() {
        let entries = std::fs::read_dir(Path::new(OsStr::from_bytes(folder)))
            .map_err(|error| bad_authority(os_words(&error)))?;
        for entry in entries.flatten() {
            // As with OpenSSL, what is no certificate is passed over.
            let pem = std::fs::read(entry.path()).unwrap_or_default();
            all.extend(certificates(&pem).unwrap_or_default());
        }
    }
    Ok(Some(all))
}
