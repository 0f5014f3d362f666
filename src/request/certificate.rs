//! A verified client certificate, as templates and requirements know it.
//! Pure.
//!
//! *Never:* whether it is to be believed: TLS has verified it.
//! *Source:* RFC 5280 §4.1.2.6, RFC 4514.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};
use serde_json::Value;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer as _, X509Certificate};
use x509_parser::x509::X509Name;

/// Who the certificate of a connection names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    subject: Option<Value>,
    sha256: Value,
}

/// The names under which templates and requirements find it.
const SUBJECT: &str = "client_cert_subject";
const SHA_256: &str = "client_cert_sha256";

impl Certificate {
    /// Reads a certificate; `None` when it is none.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = Some(name_of(certificate.subject())).filter(|name| !name.is_empty());
        Some(Self {
            subject: subject.map(Value::String),
            sha256: Value::String(hex(digest(&SHA256, der).as_ref())),
        })
    }

    /// A certificate that says this.
    #[cfg(test)]
    pub(crate) fn told(subject: &str, sha256: &str) -> Self {
        Self { subject: Some(Value::from(subject)), sha256: Value::from(sha256) }
    }

    /// Whether a name is one of a certificate's.
    pub(crate) fn is_named(name: &str) -> bool {
        matches!(name, SUBJECT | SHA_256)
    }

    /// Looks one of its names up.
    pub(crate) fn find(&self, name: &str) -> Option<&Value> {
        match name {
            SUBJECT => self.subject.as_ref(),
            SHA_256 => Some(&self.sha256),
            _ => None,
        }
    }
}

/// RFC 4514 §2.1, §2.2: the last part first, `+` between the attributes of one part.
fn name_of(name: &X509Name<'_>) -> String {
    let parts: Vec<String> =
        name.iter_rdn().map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+")).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join(",")
}

/// §2.3: a known type by its name and as text, any other by its number and as it is encoded.
fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let kind = attribute.attr_type().to_id_string();
    let known = NAMES.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name);
    match (known, attribute.as_str()) {
        (Some(name), Ok(text)) => format!("{name}={}", escaped(text)),
        (known, _) => {
            let value = attribute.attr_value();
            let class = (value.class() as u8) << 6;
            let form = u8::from(value.header.constructed()) << 5;
            let tag = u8::try_from(value.tag().0).unwrap_or(31);
            let mut coded = vec![class | form | tag];
            match (u8::try_from(value.data.len()), u16::try_from(value.data.len())) {
                (Ok(length @ 0..128), _) => coded.push(length),
                (_, Ok(length)) => coded.extend([&[0x82], &length.to_be_bytes()[..]].concat()),
                (_, Err(_)) => coded.push(0),
            }
            coded.extend_from_slice(value.data);
            format!("{}=#{}", known.unwrap_or(&kind), hex(&coded))
        }
    }
}

/// §3, and what else certificates of persons hold.
const NAMES: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// §2.4; a control character is written as its bytes, so that the text is always one line.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, letter) in text.char_indices() {
        let is_last = at + letter.len_utf8() == text.len();
        match letter {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.extend(['\\', letter]),
            '#' if at == 0 => out.push_str("\\#"),
            ' ' if at == 0 || is_last => out.push_str("\\ "),
            letter if letter.is_control() => {
                for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing into a text cannot fail.
                    let _ = write!(out, "\\{byte:02X}");
                }
            }
            letter => out.push(letter),
        }
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CustomExtension, DnType, DnValue, KeyPair};

    use super::*;

    fn subject(parts: &[(DnType, DnValue)]) -> Option<String> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        params.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 99], vec![5, 0])];
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let certificate = Certificate::read(der.der()).unwrap();
        let sha256 = certificate.find("client_cert_sha256").and_then(Value::as_str).unwrap();
        assert_eq!(sha256, hex(digest(&SHA256, der.der()).as_ref()));
        assert_eq!(certificate.find("sub"), None);
        certificate.find("client_cert_subject").and_then(Value::as_str).map(str::to_owned)
    }

    fn text(text: &str) -> DnValue {
        DnValue::Utf8String(text.to_owned())
    }

    #[test]
    fn a_subject_is_written_as_rfc_4514_says() {
        for (name, written) in [
            ("Zoë", "CN=Zoë"),
            ("Sue, Grabbit and Runn", "CN=Sue\\, Grabbit and Runn"),
            (" #a+b=\"c\" ", "CN=\\ #a\\+b=\\\"c\\\"\\ "),
            ("#x", "CN=\\#x"),
            (" ", "CN=\\ "),
            ("a\\b;c<d>", "CN=a\\\\b\\;c\\<d\\>"),
            ("a\r\nX-Auth-Acr: loa-4", "CN=a\\0D\\0AX-Auth-Acr: loa-4"),
            ("a\u{85}b\0", "CN=a\\C2\\85b\\00"),
        ] {
            assert_eq!(subject(&[(DnType::CommonName, text(name))]).as_deref(), Some(written), "{name:?}");
        }
        let parts = [
            (DnType::CountryName, DnValue::PrintableString("CH".try_into().unwrap())),
            (DnType::OrganizationName, text("Seewil AG")),
            (DnType::CommonName, text("batch")),
        ];
        assert_eq!(subject(&parts).as_deref(), Some("CN=batch,O=Seewil AG,C=CH"));
        // An unknown type keeps its number and its encoding, one in another alphabet too.
        let custom = [(DnType::CustomDnType(vec![1, 2, 3, 4]), text("Hi"))];
        assert_eq!(subject(&custom).as_deref(), Some("1.2.3.4=#0c024869"));
        let wide = [(DnType::CommonName, DnValue::BmpString("Hi".try_into().unwrap()))];
        assert_eq!(subject(&wide).as_deref(), Some("CN=#1e0400480069"));
        assert_eq!(subject(&[]), None);
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        assert_eq!(Certificate::read(b""), None);
        assert_eq!(Certificate::read(&[0x30, 0x82, 0xff, 0xff]), None);
    }
}
