//! Names: whom a certificate is about, and who issued it (RFC 5280 § 4.1.2.4, § 4.2.1.6).

use std::fmt;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::reader::{IDENTIFIER, Reader, SEQUENCE, SET, dotted};

/// A distinguished name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::credentials) struct Name<'a>(&'a [u8]);

/// One of the subject's alternative names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::credentials) enum AlternativeName {
    Dns(String),
    Uri(String),
    Email(String),
    Address(IpAddr),
    /// Of a kind that nobody reads here.
    Other,
}

/// One attribute of a name; those of one `set` belong together.
struct Attribute<'a> {
    set: usize,
    id: &'a [u8],
    tag: u8,
    value: &'a [u8],
    /// Tag, length and value.
    whole: &'a [u8],
}

impl<'a> Name<'a> {
    /// Of what is within the outer SEQUENCE.
    pub(in crate::credentials) fn of_content(content: &'a [u8]) -> Self {
        Self(content)
    }

    /// What is within the outer SEQUENCE.
    pub(in crate::credentials) fn content(&self) -> &'a [u8] {
        self.0
    }

    /// The first common name's text.
    pub(in crate::credentials) fn common_name(&self) -> Option<String> {
        let common = self.attributes().into_iter().find(|attribute| attribute.id == COMMON_NAME)?;
        text_of(common.tag, common.value)
    }

    fn attributes(&self) -> Vec<Attribute<'_>> {
        let mut found = Vec::new();
        let mut sets = Reader(self.0);
        for set in std::iter::from_fn(|| sets.take(SET)).zip(0..) {
            let mut attributes = Reader(set.0);
            while let Some(attribute) = attributes.take(SEQUENCE) {
                let mut attribute = Reader(attribute);
                let Some(id) = attribute.take(IDENTIFIER) else { break };
                let whole = attribute.0;
                let Some((tag, value)) = attribute.next() else { break };
                found.push(Attribute { set: set.1, id, tag, value, whole });
            }
        }
        found
    }
}

/// As RFC 2253 has it and grpc, like openssl's `-nameopt RFC2253`, tells it: last first, and ASCII only.
impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attributes = self.attributes();
        let mut last = None;
        for attribute in attributes.iter().rev() {
            if let Some(set) = last {
                f.write_char(if set == attribute.set { '+' } else { ',' })?;
            }
            last = Some(attribute.set);
            let known = ATTRIBUTES.iter().find(|(id, _)| *id == attribute.id);
            match (known, text_of(attribute.tag, attribute.value)) {
                (Some((_, name)), Some(text)) => {
                    write!(f, "{name}=")?;
                    write_escaped(f, &text)?;
                }
                (known, _) => {
                    match known {
                        Some((_, name)) => write!(f, "{name}=#")?,
                        None => write!(f, "{}=#", dotted(attribute.id))?,
                    }
                    attribute.whole.iter().try_for_each(|octet| write!(f, "{octet:02X}"))?;
                }
            }
        }
        Ok(())
    }
}

impl AlternativeName {
    pub(super) fn of(tag: u8, value: &[u8]) -> Self {
        // Octets beyond ASCII have no place in these (§ 4.2.1.6), and are told as they come.
        let text = || value.iter().copied().map(char::from).collect();
        match tag {
            0x81 => Self::Email(text()),
            0x82 => Self::Dns(text()),
            0x86 => Self::Uri(text()),
            0x87 => match (<[u8; 4]>::try_from(value), <[u8; 16]>::try_from(value)) {
                (Ok(four), _) => Self::Address(Ipv4Addr::from(four).into()),
                (_, Ok(sixteen)) => Self::Address(Ipv6Addr::from(sixteen).into()),
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

impl fmt::Display for AlternativeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(text) | Self::Uri(text) | Self::Email(text) => f.write_str(text),
            Self::Address(address) => address.fmt(f),
            Self::Other => f.write_str("other types of SAN"),
        }
    }
}

/// The text of a string of any of X.509's kinds.
fn text_of(tag: u8, value: &[u8]) -> Option<String> {
    match tag {
        // UTF8String
        12 => String::from_utf8(value.to_vec()).ok(),
        // NumericString, PrintableString, T61String (as Latin-1, which is what is in it), IA5String, VisibleString
        18 | 19 | 20 | 22 | 26 => Some(value.iter().copied().map(char::from).collect()),
        // BMPString, UniversalString
        30 => units(value, 2),
        28 => units(value, 4),
        _ => None,
    }
}

/// Characters of a fixed width.
fn units(value: &[u8], width: usize) -> Option<String> {
    let number = |unit: &[u8]| unit.iter().fold(0, |sum, digit| sum << 8 | u32::from(*digit));
    let whole = value.len() % width == 0;
    whole.then(|| value.chunks(width).map(|unit| char::from_u32(number(unit))).collect())?
}

fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let end = text.len().saturating_sub(1);
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => write!(f, "\\{}", char::from(octet)),
            b'#' if at == 0 => f.write_str("\\#"),
            b' ' if at == 0 || at == end => f.write_str("\\ "),
            0x20..=0x7e => f.write_char(char::from(octet)),
            _ => write!(f, "\\{octet:02X}"),
        }?;
    }
    Ok(())
}

const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// The names of attributes (RFC 2253 § 2.3, and openssl's short names beyond those).
const ATTRIBUTES: [(&[u8], &str); 20] = [
    (COMMON_NAME, "CN"),
    (&[0x55, 4, 4], "SN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "street"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 12], "title"),
    (&[0x55, 4, 13], "description"),
    (&[0x55, 4, 15], "businessCategory"),
    (&[0x55, 4, 17], "postalCode"),
    (&[0x55, 4, 41], "name"),
    (&[0x55, 4, 42], "GN"),
    (&[0x55, 4, 43], "initials"),
    (&[0x55, 4, 46], "dnQualifier"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], "emailAddress"),
    (&[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
    (&[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
];
