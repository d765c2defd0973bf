//! As much of X.509 as is told to people and to handlers: whom a certificate names, who issued it, and what kind of key
//! it has. RFC 5280 §4, X.690 §8.
//!
//! Nothing is decided here about trust: that is webpki's, which shows neither the text of a subject nor the order
//! of the alternative names. What is read comes from peers, so every step may fail, nothing is indexed, and what cannot be
//! read is absent. Borrows; allocates for texts only.

use reader::{
    BIT_STRING, BOOLEAN, CONTEXT, IDENTIFIER, INTEGER, OCTET_STRING, Reader, SEQUENCE, dotted,
};

mod key;
mod name;
mod reader;

pub(super) use key::KeyKind;
pub(super) use name::{AlternativeName, Name};

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

struct Extension<'a> {
    id: &'a [u8],
    critical: bool,
    value: &'a [u8],
}

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
        let issuer = Name::of_content(inner.take(SEQUENCE)?);
        let dates = Reader(inner.take(SEQUENCE)?);
        let subject = Name::of_content(inner.take(SEQUENCE)?);
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

/// MD5 and SHA-1 with RSA, SHA-1 with ECDSA.
const OLD_SIGNATURES: [&[u8]; 3] = [
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4],
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5],
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1],
];
