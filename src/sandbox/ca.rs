//! The sandbox's own certificate authority: made once, used for the server's certificate and an expired one, and then its
//! key is thrown away, so that nothing else can ever be signed by what `ca.pem` makes people trust.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use chrono::Datelike as _;
use handover_rotation::outcome::{Fault, FaultClass};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::layout::Layout;
use crate::providers::sandbox::files::{self, Lasting, file_fault};

/// The server's side of TLS: the good certificate, and the expired one for the fault.
pub(super) struct Certificates {
    pub(super) good: TlsAcceptor,
    pub(super) expired: TlsAcceptor,
}

/// Loads the certificates, after making them if `ca.pem` is not there. `ca.pem` is written last: it marks the rest whole.
pub(super) fn load_or_make(layout: &Layout) -> Result<Certificates, Fault> {
    if !layout.ca_file().exists() {
        make(layout)?;
    }
    Ok(Certificates { good: acceptor(&layout.tls(), "server")?, expired: acceptor(&layout.tls(), "expired")? })
}

fn make(layout: &Layout) -> Result<(), Fault> {
    let tls = layout.tls();
    files::private_dir(&tls).map_err(|e| file_fault("HO0903", "make", &tls, &e))?;
    let year = chrono::Utc::now().year();
    let trouble = |e: rcgen::Error| fault(format!("cannot make the sandbox's certificates: {e}"));

    let mut params = CertificateParams::new(Vec::<String>::new()).map_err(trouble)?;
    params.distinguished_name.push(DnType::CommonName, "Handover sandbox CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    // The expired certificate must be refused for its own dates, so the authority is older than it.
    params.not_before = date_time_ymd(2010, 1, 1);
    params.not_after = date_time_ymd(year + 20, 1, 1);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().map_err(trouble)?).map_err(trouble)?;

    for (name, from, until) in [("server", year - 1, year + 10), ("expired", 2015, 2016)] {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).map_err(trouble)?;
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().map_err(trouble)?;
        let certificate = params.signed_by(&key, &issuer).map_err(trouble)?;
        write(&tls.join(format!("{name}.key")), &zeroize::Zeroizing::new(key.serialize_pem()))?;
        write(&tls.join(format!("{name}.pem")), &certificate.pem())?;
    }
    write(&layout.ca_file(), &issuer.pem())
}

fn write(path: &Path, text: &str) -> Result<(), Fault> {
    files::replace(path, text.as_bytes(), Lasting::PowerCut).map_err(|e| file_fault("HO0903", "write", path, &e.into()))
}

fn acceptor(tls: &Path, name: &str) -> Result<TlsAcceptor, Fault> {
    let read = |path: &Path| fs::read(path).map_err(|e| file_fault("HO0905", "read", path, &e));
    let (certificate, key) = (tls.join(format!("{name}.pem")), tls.join(format!("{name}.key")));
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&read(&certificate)?)
        .collect::<Result<_, _>>()
        .map_err(|e| fault(format!("{} is no certificate: {e}", certificate.display())))?;
    let private = PrivateKeyDer::from_pem_slice(&zeroize::Zeroizing::new(read(&key)?))
        .map_err(|_| fault(format!("{} is no private key", key.display())))?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|e| fault(format!("the certificate {} cannot be used: {e}", certificate.display())))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn fault(message: String) -> Fault {
    Fault::new(FaultClass::Permanent, "HO0905", message)
        .hint("delete ca.pem and tls/ in the sandbox's folder: they are made anew")
}
