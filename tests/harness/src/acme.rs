//! An ACME certificate authority: Pebble, Let's Encrypt's test server, with certbot as its client.

use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Console, Error, Key, Port, Process, Result, eventually, run};

/// A running certificate authority; it ends when dropped.
#[derive(Debug)]
pub struct Acme {
    /// Kept so that it ends on drop.
    _process: Process,
    /// The server it queries, which certbot also updates.
    dns: SocketAddr,
    port: Port,
    home: PathBuf,
    _management: Port,
}

impl Acme {
    /// Starts one that queries `dns` for proofs and writes its files to `directory`.
    pub fn start(directory: &Path, dns: SocketAddr) -> Result<Acme> {
        let home = directory.join("acme");
        fs::create_dir_all(&home).map_err(Error::io(format!("cannot make {}", home.display())))?;
        let (port, management) = (Port::new(), Port::new());
        let mut openssl = Command::new("openssl");
        openssl.current_dir(&home).args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args(["-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost"]);
        run(openssl.args(["-addext", "subjectAltName=IP:127.0.0.1"]))?;
        let file = |name: &str| home.join(name).display().to_string();
        let config = format!(
            "{{\"pebble\": {{\"listenAddress\": \"{}\", \"managementListenAddress\": \"{}\", \"certificate\": \"{}\", \
             \"privateKey\": \"{}\", \"httpPort\": 5002, \"tlsPort\": 5001, \"ocspResponderURL\": \"\", \
             \"externalAccountBindingRequired\": false}}}}",
            port.address(),
            management.address(),
            file("cert.pem"),
            file("key.pem")
        );
        write(&home.join("config.json"), &config)?;
        // By default it delays validation and rejects some requests, to exercise its clients.
        let arguments = [
            "PEBBLE_VA_NOSLEEP=1".to_owned(),
            "PEBBLE_WFE_NONCEREJECT=0".to_owned(),
            "pebble".to_owned(),
            "-config".to_owned(),
            file("config.json"),
            "-dnsserver".to_owned(),
            dns.to_string(),
        ];
        let mut process = Process::start(Path::new("env"), &arguments, Console::File(home.join("console")))?;
        eventually("the certificate authority accepts connections", || {
            if process.ended().is_some() {
                return Some(Err(Error::Ended { what: format!("pebble ended: {}", process.printed()) }));
            }
            TcpStream::connect(port.address()).is_ok().then_some(Ok(()))
        })??;
        Ok(Acme { _process: process, dns, port, home, _management: management })
    }

    /// Runs certbot to get a certificate for `names`, proven by updates signed with `key`; returns the certificate's
    /// file.
    ///
    /// # Errors
    ///
    /// It does not get one; the error contains its output.
    pub fn certificate(&self, key: &Key, names: &[&str]) -> Result<PathBuf> {
        let credentials = self.home.join("credentials.ini");
        let Key { name, algorithm, secret } = key;
        let (ip, port, algorithm) = (self.dns.ip(), self.dns.port(), algorithm.to_string().to_uppercase());
        write(
            &credentials,
            &format!(
                "dns_rfc2136_server = {ip}\ndns_rfc2136_port = {port}\ndns_rfc2136_name = {name}\n\
                 dns_rfc2136_secret = {secret}\ndns_rfc2136_algorithm = {algorithm}\n"
            ),
        )?;
        let mut certbot = Command::new("certbot");
        certbot.args(["certonly", "--non-interactive", "--agree-tos", "--register-unsafely-without-email"]);
        // The authority's own certificate is generated for this run.
        certbot.args(["--no-verify-ssl", "--server", &format!("https://{}/dir", self.port.address())]);
        for kind in ["config", "work", "logs"] {
            certbot.arg(format!("--{kind}-dir")).arg(self.home.join(kind));
        }
        certbot.args(["--dns-rfc2136", "--dns-rfc2136-propagation-seconds", "0", "--dns-rfc2136-credentials"]);
        certbot.arg(credentials).args(["--cert-name", "proof"]);
        run(certbot.args(names.iter().flat_map(|name| ["-d", name])))?;
        let certificate = self.home.join("config/live/proof/fullchain.pem");
        if certificate.is_file() {
            Ok(certificate)
        } else {
            Err(Error::Missing { path: certificate, hint: "certbot said it had got a certificate" })
        }
    }
}

/// Writes a file that nobody else may read.
fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o600)))
        .map_err(Error::io(format!("cannot write {}", path.display())))
}
