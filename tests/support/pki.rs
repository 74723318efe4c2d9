//! Certificates made for one test: whoever signed them, whatever is wrong with them.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};

pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

/// When a certificate is good.
#[derive(Clone, Copy, Debug)]
pub enum Valid {
    Now,
    NotAnyMore,
    NotYet,
}

impl Ca {
    pub fn new(name: &str) -> Ca {
        let key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        ca.distinguished_name.push(DnType::CommonName, name);
        let pem = ca.self_signed(&key).unwrap().pem();
        Ca { issuer: Issuer::new(ca, key), pem }
    }

    /// For a server of this name or address, or for a client.
    pub fn issue(&self, name: &str, valid: Valid) -> Identity {
        let key = KeyPair::generate().unwrap();
        let leaf = leaf(name, valid).signed_by(&key, &self.issuer).unwrap();
        Identity { certificate: leaf.pem(), key: key.serialize_pem() }
    }
}

/// One that vouches for itself.
pub fn self_signed(name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    Identity { certificate: leaf(name, Valid::Now).self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

fn leaf(name: &str, valid: Valid) -> CertificateParams {
    let mut leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
    leaf.use_authority_key_identifier_extension = true;
    leaf.distinguished_name.push(DnType::CommonName, name);
    let (from, to) = match valid {
        Valid::Now => (2020, 2090),
        Valid::NotAnyMore => (2020, 2021),
        Valid::NotYet => (2080, 2090),
    };
    leaf.not_before = date_time_ymd(from, 1, 1);
    leaf.not_after = date_time_ymd(to, 1, 1);
    leaf
}
