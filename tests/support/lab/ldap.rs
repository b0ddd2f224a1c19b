//! A real directory: slapd with TLS required, and with a password policy where one is asked for. Its files are its own.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::ca::Ca;
use super::{Server, free_port};

pub(crate) const BASE: &str = "dc=lab,dc=test";
pub(crate) const ROTATOR: &str = "cn=rotator,dc=lab,dc=test";
/// May read what the rotator reads, and write nothing.
pub(crate) const READER: &str = "cn=reader,dc=lab,dc=test";
const ROTATOR_PASSWORD: &str = "rotator-password";

/// A directory that runs.
pub(crate) struct Directory {
    folder: TempDir,
    pub(crate) tls_port: u16,
    pub(crate) plain_port: u16,
    pub(crate) ca: PathBuf,
    server: Server,
}

impl Directory {
    /// Starts one; `policy` has the attributes of its password policy, if it is to have one.
    pub(crate) fn start(policy: Option<&str>) -> Self {
        let folder = tempfile::Builder::new().prefix("handover-ldap-").tempdir().expect("a folder");
        let dir = folder.path();
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        let tls = Ca::make(&dir.join("tls"));
        std::fs::create_dir(dir.join("db")).expect("a folder");
        let overlay = match policy {
            Some(_) => format!("overlay ppolicy\nppolicy_default cn=policy,{BASE}\n"),
            None => String::new(),
        };
        let settings = format!(
            "include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
moduleload argon2
TLSCACertificateFile {ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
security ssf=128
password-hash {{ARGON2}}
database mdb
suffix {BASE}
rootdn cn=admin,{BASE}
rootpw root-password
directory {dir}/db
{overlay}access to attrs=userPassword
  by dn.exact={ROTATOR} write
  by dn.exact={READER} read
  by anonymous auth
  by * none
access to dn.children=ou=services,{BASE} attrs=description,pwdAccountLockedTime
  by dn.exact={ROTATOR} write
  by dn.exact={READER} read
  by * none
access to *
  by dn.exact={ROTATOR} read
  by dn.exact={READER} read
  by * none
",
            ca = tls.ca.display(),
            certificate = tls.certificate.display(),
            key = tls.key.display(),
            dir = dir.display(),
        );
        std::fs::write(dir.join("slapd.conf"), settings).expect("is written");
        std::fs::write(dir.join("rotator.txt"), ROTATOR_PASSWORD).expect("is written");
        let secret = slappasswd(ROTATOR_PASSWORD);
        let policy = policy.map_or_else(String::new, |attributes| {
            format!(
                "dn: cn=policy,{BASE}\nobjectClass: device\nobjectClass: pwdPolicy\ncn: policy\npwdAttribute: userPassword\n{attributes}\n\n"
            )
        });
        let mut tree = format!(
            "dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: lab\no: lab\n\n\
             dn: ou=services,{BASE}\nobjectClass: organizationalUnit\nou: services\n\n{policy}"
        );
        for dn in [ROTATOR, READER] {
            let name = dn.split([',', '=']).nth(1).unwrap_or_default();
            tree += &format!(
                "dn: {dn}\nobjectClass: device\nobjectClass: simpleSecurityObject\ncn: {name}\nuserPassword: {secret}\n\n"
            );
        }
        let directory = dir.to_path_buf();
        add_offline(&directory, &tree);
        let (tls_port, plain_port) = (free_port(), free_port());
        let addresses = format!("ldaps://127.0.0.1:{tls_port} ldap://127.0.0.1:{plain_port}");
        let mut command = Command::new("/usr/sbin/slapd");
        command.args(["-d", "stats", "-h", &addresses, "-f"]).arg(dir.join("slapd.conf"));
        let mut server = Server::start("slapd", &mut command, dir.join("slapd.log"));
        server.listens(tls_port);
        server.listens(plain_port);
        Self { ca: tls.ca, folder, tls_port, plain_port, server }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn bind_password_file(&self) -> PathBuf {
        self.dir().join("rotator.txt")
    }

    pub(crate) fn said(&self) -> String {
        self.server.said()
    }

    /// The options of a provider of kind `ldap` here.
    pub(crate) fn options(&self, url: &str, bind_dn: &str, more: &str) -> String {
        format!(
            "{{url: \"{url}\", ca_file: {}, bind_dn: \"{bind_dn}\", bind_password: {{file: {}}}, \
             dn: \"uid={{login}},ou=services,{BASE}\"{more}}}",
            self.ca.display(),
            self.bind_password_file().display()
        )
    }

    pub(crate) fn tls_url(&self) -> String {
        format!("ldaps://127.0.0.1:{}", self.tls_port)
    }

    pub(crate) fn plain_url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.plain_port)
    }

    /// Adds a login, by OpenLDAP's own client, as somebody else would.
    pub(crate) fn add(&self, login: &str, class: &str, password: Option<&str>) {
        let password = password.map_or_else(String::new, |p| format!("userPassword: {}\n", slappasswd(p)));
        let dn = format!("uid={login},ou=services,{BASE}");
        let rest = if class == "inetOrgPerson" {
            format!("objectClass: inetOrgPerson\nuid: {login}\ncn: {login}\nsn: {login}\n")
        } else {
            format!("objectClass: account\nobjectClass: simpleSecurityObject\nuid: {login}\n")
        };
        self.change("ldapadd", &format!("dn: {dn}\n{rest}description: Sends the newsletter\n{password}\n"));
    }

    /// Runs `ldapadd` or `ldapmodify` as the directory's root.
    pub(crate) fn change(&self, program: &str, text: &str) {
        let out = self.client(program, &["-x", "-D", &format!("cn=admin,{BASE}")], "root-password", text);
        assert!(out.0, "{program}: {}\n{text}", out.1);
    }

    /// The same as the rotator or the reader: whether it was done, and what was said.
    pub(crate) fn change_as(&self, dn: &str, program: &str, text: &str) -> (bool, String) {
        self.client(program, &["-x", "-D", dn], ROTATOR_PASSWORD, text)
    }

    /// Whether a client that is not ours may log in.
    pub(crate) fn accepts(&self, login: &str, password: &str) -> bool {
        let dn = format!("uid={login},ou=services,{BASE}");
        let (well, said) = self.client("ldapwhoami", &["-x", "-D", &dn], password, "");
        assert!(well || said.contains("Invalid credentials"), "ldapwhoami: {said}");
        well
    }

    fn client(&self, program: &str, arguments: &[&str], password: &str, input: &str) -> (bool, String) {
        let file = self.dir().join("client.txt");
        std::fs::write(&file, password).expect("is written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("a mode");
        let mut command = Command::new(program);
        command.env("LDAPTLS_CACERT", &self.ca);
        command.args(["-H", &self.tls_url()]).args(arguments);
        command.arg("-y").arg(&file);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the client starts");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("the client reads");
        let out = child.wait_with_output().expect("the client ends");
        (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    }
}

/// The hash of a password, by OpenLDAP's own tool.
pub(crate) fn slappasswd(password: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    std::fs::write(&file, password).expect("is written");
    let out =
        Command::new("/usr/sbin/slappasswd").args(["-h", "{SSHA}", "-T"]).arg(&file).output().expect("slappasswd runs");
    String::from_utf8(out.stdout).expect("a text").trim().to_owned()
}

fn add_offline(dir: &Path, tree: &str) {
    let mut child = Command::new("/usr/sbin/slapadd")
        .arg("-f")
        .arg(dir.join("slapd.conf"))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("slapadd starts");
    child.stdin.take().expect("piped").write_all(tree.as_bytes()).expect("slapadd reads");
    let out = child.wait_with_output().expect("slapadd ends");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// Dovecot's settings for a directory that it binds to.
pub(crate) fn dovecot_settings(directory: &Directory) -> String {
    format!(
        "uris = {}\ntls_ca_cert_file = {}\ntls_require_cert = hard\nldap_version = 3\nauth_bind = yes\n\
         auth_bind_userdn = uid=%u,ou=services,{BASE}\nbase = ou=services,{BASE}\n",
        directory.tls_url(),
        directory.ca.display()
    )
}
