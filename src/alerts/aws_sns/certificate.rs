//! Certificates of SNS: fetched once each, kept, and used to prove signatures. Strangers decide when one is asked for, so that it is
//! bounded how often that leads to a call.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use handover_rotation::outcome::{Fault, FaultClass};
use reqwest::{Method, Url};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::Mutex;
use webpki::EndEntityCert;

use super::super::options::Caller;
use crate::web::Lost;

/// The largest certificate that is looked at.
const MOST_PEM: usize = 32 * 1024;

/// SNS has one certificate at a time, and another one a year later.
const MOST_KEPT: usize = 8;

/// For this long are calls counted.
const PERIOD_MS: u64 = 30_000;

/// How many calls may be made in a period.
const MOST_FETCHED: u32 = 10;

/// The longest signature in base64: that of a key of 8192 bits.
const MOST_SIGNATURE: usize = 1_368;

/// Gets what stands at SNS. The addresses were checked to be there.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// The PEM text of a certificate.
    ///
    /// # Errors
    /// It cannot be had now.
    async fn certificate(&self, url: &Url) -> Result<Vec<u8>, Fault>;

    /// Asks for an address that confirms a subscription.
    ///
    /// # Errors
    /// How the call was lost.
    async fn confirm(&self, url: &Url) -> Result<(), Lost>;
}

#[async_trait]
impl Fetch for Caller {
    async fn certificate(&self, url: &Url) -> Result<Vec<u8>, Fault> {
        let request = self.api.client.request(Method::GET, url.clone());
        let sent = self.send(request, "fetch the certificate that signs messages").await;
        let answer = sent.map_err(|(Lost::Before(fault) | Lost::Maybe(fault))| fault)?;
        match answer.bytes().len() <= MOST_PEM {
            true => Ok(answer.bytes().to_vec()),
            false => Err(self.refusal("its certificate is too large")),
        }
    }

    async fn confirm(&self, url: &Url) -> Result<(), Lost> {
        self.send(self.api.client.request(Method::GET, url.clone()), "confirm a subscription").await.map(drop)
    }
}

pub(super) struct Certificates {
    pub(super) fetch: Box<dyn Fetch>,
    kept: RwLock<BTreeMap<String, CertificateDer<'static>>>,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    /// How many were made since then.
    fetched: u32,
    since_ms: u64,
}

impl Certificates {
    pub(super) fn new(fetch: Box<dyn Fetch>) -> Self {
        Self { fetch, kept: RwLock::default(), calls: Mutex::default() }
    }

    /// Whether the kept certificate at `url` made the signature; `None` where none is kept.
    fn kept(&self, url: &Url, signed: &[u8], signature: &[u8]) -> Option<bool> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.get(url.as_str()).map(|der| made(der, signed, signature))
    }

    /// Whether the certificate at `url` made the signature. Only one that did is kept: strangers cannot push it out, nor does who
    /// needs it wait for a call that they have set off. One call at a time: who waits finds it kept.
    pub(super) async fn verifies(&self, url: &Url, signed: &[u8], signature: &[u8], now_ms: u64) -> Result<bool, Fault> {
        if let Some(good) = self.kept(url, signed, signature) {
            return Ok(good);
        }
        let mut calls = self.calls.lock().await;
        if let Some(good) = self.kept(url, signed, signature) {
            return Ok(good);
        }
        if now_ms.abs_diff(calls.since_ms) > PERIOD_MS {
            (calls.since_ms, calls.fetched) = (now_ms, 0);
        }
        if calls.fetched >= MOST_FETCHED {
            return Err(Fault::new(FaultClass::Temporary, "HO1116", "others were asked for a moment ago"));
        }
        calls.fetched += 1;
        let pem = self.fetch.certificate(url).await?;
        let odd = || Fault::new(FaultClass::Permanent, "HO1116", "what SNS has there is no certificate");
        let der = CertificateDer::from_pem_slice(&pem).map_err(|_| odd())?;
        let good = made(&der, signed, signature);
        if good {
            let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
            if kept.len() >= MOST_KEPT {
                kept.clear();
            }
            kept.insert(url.to_string(), der);
        }
        Ok(good)
    }
}

fn made(der: &CertificateDer<'_>, signed: &[u8], signature: &[u8]) -> bool {
    let algorithm = webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256;
    EndEntityCert::try_from(der).is_ok_and(|certificate| certificate.verify_signature(algorithm, signed, signature).is_ok())
}

/// The bytes of a signature.
pub(super) fn signature(text: &str) -> Option<Vec<u8>> {
    if text.len() > MOST_SIGNATURE {
        return None;
    }
    BASE64_STANDARD.decode(text).ok().filter(|bytes| !bytes.is_empty())
}
