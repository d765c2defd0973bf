//! As much of X.509 as is told to people and to handlers: whom a certificate names, who issued it, and what kind of key
//! it has. RFC 5280 §4, X.690 §8.
//!
//! Nothing is decided here about trust: that is webpki's, which shows neither the text of a subject nor the order
//! of the alternative names. What is read comes from peers, so every step may fail, nothing is indexed, and what cannot be
//! read is absent. Borrows; allocates for texts only.

use std::fmt;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a certificate says, unchecked.
pub(super) struct Certificate<'a> {
    /// 1 to 3.
    pub(super) version: u8,
    pub(super) issuer: Name<'a>,
    pub(super) subject: Name<'a>,
    dates: Reader<'a>,
    key_info: &'a [u8],
    key_algorithm: Reader<'a>,
    key: &'a [u8],
    extensions: Reader<'a>,
}

/// A distinguished name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Name<'a>(&'a [u8]);

/// One of the subject's alternative names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AlternativeName {
    Dns(String),
    Uri(String),
    Email(String),
    Address(IpAddr),
    /// Of a kind that nobody reads here.
    Other,
}

/// The kind of a key, public or private.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// With the bits of its modulus.
    Rsa(usize),
    RsaPss,
    /// On a curve: its usual name, or its identifier.
    Ec(String),
    Ed25519,
    Ed448,
    Other(String),
}

struct Extension<'a> {
    id: &'a [u8],
    critical: bool,
    value: &'a [u8],
}

/// A position in DER.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Reader<'a>(&'a [u8]);

impl<'a> Certificate<'a> {
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let mut outer = Reader(Reader(der).take(SEQUENCE)?);
        let mut inner = Reader(outer.take(SEQUENCE)?);
        // § 4.1.2.1: absent means version 1, 0 is the first.
        let version = match inner.take(CONTEXT) {
            Some(explicit) => Reader(explicit).take(INTEGER)?.last()?.checked_add(1)?,
            None => 1,
        };
        inner.take(INTEGER)?; // the serial number
        inner.take(SEQUENCE)?; // the signature's algorithm
        let issuer = Name(inner.take(SEQUENCE)?);
        let dates = Reader(inner.take(SEQUENCE)?);
        let subject = Name(inner.take(SEQUENCE)?);
        let key_info = inner.take(SEQUENCE)?;
        let mut key = Reader(key_info);
        let key_algorithm = Reader(key.take(SEQUENCE)?);
        let key = key.take(BIT_STRING)?.get(1..)?;
        inner.take(0x81); // unique identifiers, which nobody uses
        inner.take(0x82);
        let extensions = match inner.take(CONTEXT | 3) {
            Some(explicit) => Reader(Reader(explicit).take(SEQUENCE)?),
            None => Reader(&[]),
        };
        Some(Self { version, issuer, subject, dates, key_info, key_algorithm, key, extensions })
    }

    /// Whether the basic constraints say CA:TRUE (§ 4.2.1.9).
    pub(super) fn is_ca(&self) -> bool {
        let constraints = self.extension(BASIC_CONSTRAINTS);
        let first =
            constraints.and_then(|value| Reader(Reader(value).take(SEQUENCE)?).take(BOOLEAN));
        first.is_some_and(|truth| truth != [0])
    }

    /// Whether issuer and subject are the same.
    pub(super) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// The alternative names, in the certificate's order (§ 4.2.1.6).
    pub(super) fn alternative_names(&self) -> Vec<AlternativeName> {
        let names = self.extension(ALTERNATIVE_NAME).and_then(|value| Reader(value).take(SEQUENCE));
        let mut names = Reader(names.unwrap_or_default());
        let mut found = Vec::new();
        while let Some((tag, value)) = names.next() {
            found.push(AlternativeName::of(tag, value));
        }
        found
    }

    /// Those of the alternative names that hosts go by.
    pub(super) fn hosts(&self) -> impl Iterator<Item = AlternativeName> {
        let host = |name: &AlternativeName| {
            matches!(name, AlternativeName::Dns(_) | AlternativeName::Address(_))
        };
        self.alternative_names().into_iter().filter(host)
    }

    /// From when to when it is valid, in seconds since 1970 (§ 4.1.2.5).
    pub(super) fn dates(&self) -> Option<(u64, u64)> {
        let mut dates = self.dates;
        let mut next = || dates.next().and_then(|(tag, text)| seconds(tag, text));
        Some((next()?, next()?))
    }

    /// The kinds of use that the certificate is restricted to (§ 4.2.1.12): as a server's, as a client's. `None`: not
    /// at all.
    pub(super) fn uses(&self) -> Option<(bool, bool)> {
        let mut uses = Reader(Reader(self.extension(EXTENDED_USE)?).take(SEQUENCE)?);
        let mut found = (false, false);
        while let Some(id) = uses.take(IDENTIFIER) {
            found.0 |= id == SERVER_USE || id == ANY_USE;
            found.1 |= id == CLIENT_USE || id == ANY_USE;
        }
        Some(found)
    }

    /// The critical extensions that are none of § 4.2.1's that are understood, as dotted identifiers.
    pub(super) fn unknown_critical(&self) -> Vec<String> {
        let unknown =
            |extension: &Extension<'_>| extension.critical && !UNDERSTOOD.contains(&extension.id);
        self.extensions().filter(unknown).map(|extension| dotted(extension.id)).collect()
    }

    /// The subject's public key with its algorithm, as far as within the outer SEQUENCE.
    pub(super) fn public_key_info(&self) -> &'a [u8] {
        self.key_info
    }

    pub(super) fn key_kind(&self) -> KeyKind {
        KeyKind::of(self.key_algorithm, self.key)
    }

    fn extension(&self, id: &[u8]) -> Option<&'a [u8]> {
        self.extensions().find(|extension| extension.id == id).map(|extension| extension.value)
    }

    fn extensions(&self) -> impl Iterator<Item = Extension<'a>> {
        let mut rest = self.extensions;
        std::iter::from_fn(move || {
            let mut one = Reader(rest.take(SEQUENCE)?);
            let id = one.take(IDENTIFIER)?;
            let critical = one.take(BOOLEAN).is_some_and(|truth| truth != [0]);
            Some(Extension { id, critical, value: one.take(OCTET_STRING)? })
        })
    }
}

impl<'a> Name<'a> {
    /// Of what is within the outer SEQUENCE.
    #[cfg(test)]
    pub(super) fn of_content(content: &'a [u8]) -> Self {
        Self(content)
    }

    /// What is within the outer SEQUENCE.
    pub(super) fn content(&self) -> &'a [u8] {
        self.0
    }

    /// The first common name's text.
    pub(super) fn common_name(&self) -> Option<String> {
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

/// One attribute of a name; those of one `set` belong together.
struct Attribute<'a> {
    set: usize,
    id: &'a [u8],
    tag: u8,
    value: &'a [u8],
    /// Tag, length and value.
    whole: &'a [u8],
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
    fn of(tag: u8, value: &[u8]) -> Self {
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

impl KeyKind {
    /// Of a private key in PKCS#8, PKCS#1 or SEC1.
    pub(super) fn of_private(der: &[u8]) -> Option<Self> {
        let mut key = Reader(Reader(der).take(SEQUENCE)?);
        key.take(INTEGER)?;
        if let Some(algorithm) = key.take(SEQUENCE) {
            let octets = key.take(OCTET_STRING)?;
            let mut rsa = Reader(Reader(octets).take(SEQUENCE).unwrap_or_default());
            rsa.take(INTEGER); // the version; the modulus comes next, as in a public key
            return Some(Self::of_algorithm(Reader(algorithm), || rsa.take(INTEGER)));
        }
        if let Some(modulus) = key.take(INTEGER) {
            return Some(Self::Rsa(bits(modulus)));
        }
        key.take(OCTET_STRING)?;
        let curve = Reader(key.take(CONTEXT)?).take(IDENTIFIER)?;
        Some(Self::Ec(curve_name(curve)))
    }

    fn of(algorithm: Reader<'_>, key: &[u8]) -> Self {
        let modulus = || Reader(Reader(key).take(SEQUENCE)?).take(INTEGER);
        Self::of_algorithm(algorithm, modulus)
    }

    fn of_algorithm<'a>(
        mut algorithm: Reader<'_>,
        modulus: impl FnOnce() -> Option<&'a [u8]>,
    ) -> Self {
        match algorithm.take(IDENTIFIER).unwrap_or_default() {
            RSA => Self::Rsa(bits(modulus().unwrap_or_default())),
            RSA_PSS => Self::RsaPss,
            EC => Self::Ec(curve_name(algorithm.take(IDENTIFIER).unwrap_or_default())),
            ED25519 => Self::Ed25519,
            ED448 => Self::Ed448,
            other => Self::Other(dotted(other)),
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "an RSA key of {bits} bits"),
            Self::RsaPss => f.write_str("an RSA key for PSS only"),
            Self::Ec(curve) => write!(f, "a key on the curve {curve}"),
            Self::Ed25519 => f.write_str("an Ed25519 key"),
            Self::Ed448 => f.write_str("an Ed448 key"),
            Self::Other(id) => write!(f, "a key of the kind {id}"),
        }
    }
}

impl<'a> Reader<'a> {
    /// The next tag and its value. Tags of more than one octet do not occur in certificates.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (first, mut rest) = rest.split_first()?;
        let mut length = usize::from(*first);
        if length >= 0x80 {
            let octets = length - 0x80;
            if !(1..=4).contains(&octets) {
                return None;
            }
            let (digits, behind) = rest.split_at_checked(octets)?;
            length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            rest = behind;
        }
        let (value, behind) = rest.split_at_checked(length)?;
        self.0 = behind;
        Some((*tag, value))
    }

    /// The next value if it has this tag; if not, nothing is taken.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let (found, value) = ahead.next()?;
        (found == tag).then(|| {
            *self = ahead;
            value
        })
    }
}

/// Whether an algorithm that certificates are signed with, in DER, uses SHA-1 or MD5.
pub(super) fn is_old_signature(algorithm: &[u8]) -> bool {
    Reader(algorithm).take(IDENTIFIER).is_some_and(|id| OLD_SIGNATURES.contains(&id))
}

/// A UTCTime or GeneralizedTime in the forms that § 4.1.2.5 allows, in seconds since 1970; 0 for what is before.
fn seconds(tag: u8, text: &[u8]) -> Option<u64> {
    let digits = text.strip_suffix(b"Z")?;
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0, |sum, digit| {
            digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0'))
        })
    };
    let (year, rest) = match tag {
        23 => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year = number(year)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        24 => {
            let (year, rest) = digits.split_at_checked(4)?;
            (number(year)?, rest)
        }
        _ => return None,
    };
    let mut parts = rest.chunks(2).map(number);
    let mut part = || parts.next().flatten();
    let (month, day, hour, minute, second) = (part()?, part()?, part()?, part()?, part()?);
    if rest.len() != 10 || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    // H. Hinnant, `days_from_civil`: years begin in March.
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    let days = days.saturating_sub(719_468);
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// The bits of a positive INTEGER.
fn bits(integer: &[u8]) -> usize {
    let digits = integer.iter().skip_while(|digit| **digit == 0);
    let length = digits.clone().count();
    let unused = digits.copied().next().map_or(0, u8::leading_zeros);
    (length * 8).saturating_sub(unused as usize)
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

/// An identifier as numbers with dots (X.690 § 8.19).
fn dotted(id: &[u8]) -> String {
    let mut text = String::new();
    let mut arc = 0_u64;
    for octet in id {
        arc = arc << 7 | u64::from(octet & 0x7f);
        if octet & 0x80 != 0 {
            continue;
        }
        let written = if text.is_empty() {
            let root = (arc / 40).min(2);
            write!(text, "{root}.{}", arc - root * 40)
        } else {
            write!(text, ".{arc}")
        };
        // A String takes everything.
        let _ = written;
        arc = 0;
    }
    text
}

fn curve_name(id: &[u8]) -> String {
    let known = CURVES.iter().find(|(curve, _)| *curve == id);
    known.map_or_else(|| dotted(id), |(_, name)| (*name).to_owned())
}

const BOOLEAN: u8 = 1;
const INTEGER: u8 = 2;
const BIT_STRING: u8 = 3;
const OCTET_STRING: u8 = 4;
const IDENTIFIER: u8 = 6;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0]` with something in it; `[1]` and so on follow.
const CONTEXT: u8 = 0xa0;

const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ALTERNATIVE_NAME: &[u8] = &[0x55, 29, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 29, 19];
const EXTENDED_USE: &[u8] = &[0x55, 29, 37];
/// With the key's use, the name constraints and the places of revocation lists: what webpki understands.
const UNDERSTOOD: [&[u8]; 6] = [
    ALTERNATIVE_NAME,
    BASIC_CONSTRAINTS,
    EXTENDED_USE,
    &[0x55, 29, 15],
    &[0x55, 29, 30],
    &[0x55, 29, 31],
];
const ANY_USE: &[u8] = &[0x55, 29, 37, 0];
const SERVER_USE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_USE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const ED448: &[u8] = &[0x2b, 0x65, 0x71];
const CURVES: [(&[u8], &str); 4] = [
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7], "P-256"),
    (&[0x2b, 0x81, 4, 0, 34], "P-384"),
    (&[0x2b, 0x81, 4, 0, 35], "P-521"),
    (&[0x2b, 0x81, 4, 0, 10], "secp256k1"),
];
/// MD5 and SHA-1 with RSA, SHA-1 with ECDSA.
const OLD_SIGNATURES: [&[u8]; 3] = [
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4],
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5],
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1],
];

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
