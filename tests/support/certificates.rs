//! An authority of the tests' own, and what it signs.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// Signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate in PEM form.
    pub(crate) pem: String,
}

/// A certificate and its key, each in PEM form.
pub(crate) struct Certified {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// A key of nobody's, and the same encrypted with [`ENCRYPTED_KEY_PASSWORD`].
const PLAIN_KEY: &str = include_str!("../fixtures/client.key");
const ENCRYPTED_KEY: &str = include_str!("../fixtures/client.encrypted.key");
pub(crate) const ENCRYPTED_KEY_PASSWORD: &str = "of-this-key";

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = valid(2040);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate of a server that is called from this machine by these names or addresses.
    pub(crate) fn server(&self, names: &[&str]) -> Certified {
        self.sign(named(names, 2040), &KeyPair::generate().unwrap())
    }

    /// The same, of a year long ago.
    pub(crate) fn expired(&self, names: &[&str]) -> Certified {
        self.sign(named(names, 2021), &KeyPair::generate().unwrap())
    }

    /// A certificate of a client that this is the name of.
    pub(crate) fn client(&self, name: &str) -> Certified {
        self.sign(of_client(name), &KeyPair::generate().unwrap())
    }

    /// The same, whose key is that which there is an encrypted form of.
    pub(crate) fn client_with_encrypted_key(&self, name: &str) -> Certified {
        let signed = self.sign(of_client(name), &KeyPair::from_pem(PLAIN_KEY).unwrap());
        Certified { key: ENCRYPTED_KEY.to_owned(), ..signed }
    }

    fn sign(&self, params: CertificateParams, key: &KeyPair) -> Certified {
        let certificate = params.signed_by(key, &self.issuer).unwrap().pem();
        Certified { certificate, key: key.serialize_pem() }
    }
}

fn named(names: &[&str], until: i32) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
    params.distinguished_name.push(DnType::CommonName, "server");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn of_client(name: &str) -> CertificateParams {
    let mut params = valid(2040);
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn valid(until: i32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
    params
}
