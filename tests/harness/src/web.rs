//! Git over HTTP and HTTPS: nginx in front of git's own backend, and certificates of all kinds.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::at_another_time;
use crate::{Console, Error, Port, Process, Result, eventually, git, run};

/// A certificate with its key, as files.
#[derive(Clone, Debug)]
pub struct Certificate {
    path: PathBuf,
    key: PathBuf,
    /// The authority that signed it; `None` if it is self-signed.
    issuer: Option<PathBuf>,
}

/// The validity period of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Now.
    Now,
    /// Until a day of 2020.
    Past,
    /// From a day of 2090 on.
    Future,
}

impl Certificate {
    /// Creates the certificate of an authority, `<name>.pem` in `directory`.
    pub fn authority(directory: &Path, name: &str) -> Result<Certificate> {
        let extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,digitalSignature"];
        Certificate::make(directory, name, None, Validity::Now, &extensions)
    }

    /// Issues a certificate by this authority for `names`, such as `IP:127.0.0.1,DNS:localhost`.
    pub fn issue(&self, name: &str, names: &str, validity: Validity) -> Result<Certificate> {
        let directory = self.path.parent().unwrap_or(&self.path);
        let extensions = ["basicConstraints=critical,CA:FALSE".to_owned(), format!("subjectAltName={names}")];
        Certificate::make(directory, name, Some(self), validity, &extensions.each_ref().map(String::as_str))
    }

    fn make(
        directory: &Path,
        name: &str,
        issuer: Option<&Certificate>,
        validity: Validity,
        extensions: &[&str],
    ) -> Result<Certificate> {
        let (path, key) = (directory.join(format!("{name}.pem")), directory.join(format!("{name}.key")));
        // The system's settings would add extensions.
        let settings = directory.join("openssl.cnf");
        write(&settings, "[req]\ndistinguished_name=names\n[names]\n")?;
        let mut command = match validity {
            Validity::Now => Command::new("openssl"),
            Validity::Past | Validity::Future => {
                let when = if validity == Validity::Past { "2020-02-02" } else { "2090-02-02" };
                let words = at_another_time(&[when, "openssl"]);
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]);
                command
            }
        };
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        command.args(["-days", "20", "-subj", &format!("/CN=Zonule test {name}"), "-config"]).arg(settings);
        command.arg("-out").arg(&path).arg("-keyout").arg(&key);
        if let Some(issuer) = issuer {
            command.arg("-CA").arg(&issuer.path).arg("-CAkey").arg(&issuer.key);
        }
        run(command.args(extensions.iter().flat_map(|extension| ["-addext", extension])))?;
        Ok(Certificate { path, key, issuer: issuer.map(|issuer| issuer.path.clone()) })
    }

    /// Returns the path of its PEM file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its base64, of the PEM file or of the DER in it.
    pub fn base64(&self, der: bool) -> Result<String> {
        let mut command = Command::new("openssl");
        let text = match der {
            false => run(command.args(["base64", "-A", "-in"]).arg(&self.path))?,
            true => {
                let path = self.path.with_extension("der");
                run(command.args(["x509", "-outform", "DER", "-in"]).arg(&self.path).arg("-out").arg(&path))?;
                run(Command::new("openssl").args(["base64", "-A", "-in"]).arg(&path))?
            }
        };
        Ok(text.trim().to_owned())
    }

    /// Its SHA-256 fingerprint as openssl prints it: `sha256 Fingerprint=AB:CD:…`.
    pub fn fingerprint(&self) -> Result<String> {
        let mut command = Command::new("openssl");
        let text = run(command.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(&self.path))?;
        Ok(text.trim().to_owned())
    }
}

/// The users of a [`Web`] that requires a login: the first may push, the second may read.
pub const USERS: [(&str, &str); 2] = [("writer", "w-s3cret"), ("reader", "r-s3cret")];

/// The configuration of a [`Web`].
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// The certificate for TLS; `None` without TLS.
    pub certificate: Option<Certificate>,
    /// Whether only [`USERS`] have access.
    pub users: bool,
    /// Which requests are refused.
    pub refusal: Option<Refusal>,
}

/// How a [`Web`] refuses requests.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The requests whose method and URI match this regular expression, such as `^POST .*/git-receive-pack`.
    pub requests: &'static str,
    /// The status of the reply.
    pub status: u16,
    /// Additional header fields: name and value.
    pub fields: &'static [(&'static str, &'static str)],
    /// The media type and body.
    pub body: (&'static str, &'static str),
}

/// nginx, serving the repositories of a directory with `git http-backend`; it ends when dropped.
///
/// `/moved/X.git` redirects to `/X.git`, `/down/X.git` to that without TLS, `/page/` is a web page, `/dumb/` has the
/// repositories as files.
#[derive(Debug)]
pub struct Web {
    home: PathBuf,
    base: PathBuf,
    port: Port,
    secure: bool,
    nginx: Option<Process>,
    _backend: Process,
}

impl Web {
    /// Serves the repositories in `base`.
    pub fn start(base: &Path, site: &Site) -> Result<Web> {
        let port = Port::new();
        let home = base.join(format!("web-{}", port.number()));
        fs::create_dir_all(&home).map_err(Error::io(format!("cannot make {}", home.display())))?;
        let arguments = ["-c".to_owned(), "4".to_owned(), format!("-sunix:{}", home.join("backend").display())];
        let console = Console::File(home.join("backend.log"));
        let mut backend = Process::start_group(Path::new("fcgiwrap"), &arguments, console)?;
        until(&mut backend, || UnixStream::connect(home.join("backend")).is_ok())?;
        let base = base.to_owned();
        let mut web = Web { home, base, port, secure: false, nginx: None, _backend: backend };
        web.serve(site)?;
        Ok(web)
    }

    /// Starts serving, or changes the configuration at the same port.
    pub fn serve(&mut self, site: &Site) -> Result<()> {
        self.nginx = None;
        self.secure = site.certificate.is_some();
        write(&self.home.join("nginx.conf"), &self.settings(site)?)?;
        let arguments = [
            "nginx".to_owned(),
            "-p".to_owned(),
            self.home.display().to_string(),
            "-c".to_owned(),
            "nginx.conf".to_owned(),
            "-e".to_owned(),
            "stderr".to_owned(),
        ];
        // The directories of administrators' programs may be missing in the path.
        let path = format!("PATH={}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let arguments = [path].into_iter().chain(arguments).collect::<Vec<_>>();
        let mut nginx = Process::start_group(Path::new("env"), &arguments, Console::File(self.home.join("nginx.log")))?;
        until(&mut nginx, || TcpStream::connect(self.port.address()).is_ok())?;
        self.nginx = Some(nginx);
        Ok(())
    }

    /// The URL under which `host` (this machine, as the server sees it) has `path`; `login` is `user:password@` or
    /// empty.
    pub fn url(&self, host: &str, login: &str, path: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{login}{host}:{}/{path}", self.port.number())
    }

    /// Returns the port it listens on.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Returns how many requests it has answered with `status`, of those whose line contains `text`.
    pub fn answered(&self, status: u16, text: &str) -> usize {
        let log = fs::read_to_string(self.home.join("access.log")).unwrap_or_default();
        log.lines().filter(|line| line.starts_with(&format!("{status} ")) && line.contains(text)).count()
    }

    /// Returns how many connections carried these requests.
    pub fn connections(&self) -> usize {
        let log = fs::read_to_string(self.home.join("access.log")).unwrap_or_default();
        let first_of_connection = |line: &&str| line.split(' ').nth(1) == Some("1");
        log.lines().filter(first_of_connection).count()
    }

    fn settings(&self, site: &Site) -> Result<String> {
        let exec_path = run(git(&self.base).arg("--exec-path"))?;
        let mut server = format!("listen {}", self.port.address());
        if let Some(certificate) = &site.certificate {
            let mut chain = read(&certificate.path)?;
            if let Some(issuer) = &certificate.issuer {
                chain += &read(issuer)?;
            }
            write(&self.home.join("chain.pem"), &chain)?;
            write!(server, " ssl; ssl_certificate chain.pem; ssl_certificate_key {}", certificate.key.display())
                .unwrap_or_default();
        }
        server += ";\n";
        if site.users {
            let users: String = USERS.iter().map(|(user, password)| format!("{user}:{{PLAIN}}{password}\n")).collect();
            write(&self.home.join("users"), &users)?;
            server += "auth_basic zones; auth_basic_user_file users;\n";
        }
        let (mut refused, mut refusal) = (String::new(), String::new());
        if let Some(Refusal { requests, status, fields, body: (media_type, body) }) = &site.refusal {
            refused = format!("\"~{requests}\" 1;");
            let fields: String =
                fields.iter().map(|(name, value)| format!("add_header {name} \"{value}\" always; ")).collect();
            refusal = format!(
                "location = /refused {{ internal; {fields}default_type {media_type}; return {status} '{body}'; }}"
            );
        }
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path tmp;\n"))
            .concat();
        Ok(format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr;
events {{}}
http {{
  {temporary}
  log_format requests '$status $connection_requests $request';
  access_log access.log requests;
  client_max_body_size 4m;
  map \"$remote_user:$arg_service:$uri\" $denied {{ default 0; \"~^reader:.*git-receive-pack\" 1; }}
  map \"$request_method $request_uri\" $refused {{ default 0; {refused} }}
  server {{
    {server}
    {refusal}
    if ($refused) {{ rewrite ^ /refused last; }}
    default_type text/plain;
    if ($denied) {{ return 403 \"reader has read access only\\n\"; }}
    location /moved/ {{ rewrite ^/moved/(.*)$ /$1 permanent; }}
    location /down/ {{ rewrite ^/down/(.*)$ http://$host/$1 permanent; }}
    location /dumb/ {{ alias {base}/; }}
    location /page/ {{ default_type text/html; return 200 '<!DOCTYPE html><title>Log in</title>'; }}
    location / {{
      fastcgi_pass unix:{home}/backend;
      fastcgi_buffering off;
      fastcgi_param SCRIPT_FILENAME {exec_path}/git-http-backend;
      fastcgi_param GIT_PROJECT_ROOT {base};
      fastcgi_param GIT_HTTP_EXPORT_ALL 1;
      fastcgi_param GIT_PROTOCOL $http_git_protocol;
      fastcgi_param GIT_CONFIG_NOSYSTEM 1;
      fastcgi_param PATH_INFO $uri;
      fastcgi_param QUERY_STRING $args;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param REMOTE_USER $remote_user;
      fastcgi_param REMOTE_ADDR $remote_addr;
    }}
  }}
}}
",
            exec_path = exec_path.trim(),
            base = self.base.display(),
            home = self.home.display(),
        ))
    }
}

fn until(process: &mut Process, accepts: impl Fn() -> bool) -> Result<()> {
    eventually("the web server accepts connections", || {
        if process.ended().is_some() {
            return Some(Err(Error::Ended { what: format!("{} ended: {}", process.name(), process.printed()) }));
        }
        accepts().then_some(Ok(()))
    })?
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(Error::io(format!("cannot read {}", path.display())))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(Error::io(format!("cannot write {}", path.display())))
}
