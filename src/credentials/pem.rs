//! PEM text (RFC 7468) to the blocks in it, strictly: what cannot be read is an error that names the argument, the block
//! and what to do. A reader that passes over what it does not know gives no certificates at all, and that shows much
//! later, as an unknown issuer.
//!
//! What stands between blocks is passed over, as `openssl x509 -text` writes there. Marks need not stand at the
//! beginning of a line, so files that were indented, or put together without a newline between them, are read. Pure:
//! octets in, blocks out. No error says anything of what stands inside of a block: it may be a key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::{ConfigError, ConfigErrorKind};

/// What a block says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `CERTIFICATE`, or its older name `X509 CERTIFICATE`.
    Certificate,
    /// `X509 CRL`.
    RevocationList,
    /// `PRIVATE KEY`: PKCS#8.
    Pkcs8,
    /// `RSA PRIVATE KEY`: PKCS#1.
    Pkcs1,
    /// `EC PRIVATE KEY`: SEC1.
    Sec1,
    /// Any other.
    Other(String),
}

/// One block, decoded.
pub(super) struct Block {
    pub(super) kind: Kind,
    /// Its place among the blocks of the text, from 1.
    pub(super) number: usize,
    pub(super) der: Vec<u8>,
}

/// All blocks of a text, at least one. `what` is the argument (and file) that it was given as.
pub(super) fn read(what: &str, text: &[u8]) -> Result<Vec<Block>, ConfigError> {
    refuse_what_is_no_text(what, text)?;
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((between, after)) = split(rest, BEGIN) {
        refuse_lost_marks(what, between, blocks.len())?;
        let (block, after) = block(what, after, blocks.len() + 1)?;
        blocks.push(block);
        rest = after;
    }
    refuse_lost_marks(what, rest, blocks.len())?;
    if blocks.is_empty() {
        let told = "no PEM in it (no line \"-----BEGIN …-----\")";
        let hint = if looks_like_path(text) {
            "; it looks like a path: give what is in the file, or a `Path`"
        } else {
            ""
        };
        return Err(error(format!("{what}: {told}{hint}")));
    }
    Ok(blocks)
}

/// The certificates of a text, in order; at least one.
pub(super) fn certificates(what: &str, text: &[u8]) -> Result<Vec<Block>, ConfigError> {
    of_kind(what, text, "certificate", |kind| *kind == Kind::Certificate)
}

/// The revocation lists of a text; at least one.
pub(super) fn revocation_lists(what: &str, text: &[u8]) -> Result<Vec<Block>, ConfigError> {
    of_kind(what, text, "revocation list", |kind| *kind == Kind::RevocationList)
}

/// The one key of a text. Certificates and parameters may stand beside it.
pub(super) fn private_key(what: &str, text: &[u8]) -> Result<Block, ConfigError> {
    let is_key = |kind: &Kind| matches!(kind, Kind::Pkcs8 | Kind::Pkcs1 | Kind::Sec1);
    let mut keys = of_kind(what, text, "private key", is_key)?;
    if keys.len() > 1 {
        return Err(error(format!("{what}: {} private keys, where one is needed", keys.len())));
    }
    keys.pop().ok_or_else(|| error(format!("{what}: no private key in it")))
}

/// A certificate as openssl writes it.
pub(super) fn of_certificate(der: &[u8]) -> String {
    let data = STANDARD.encode(der);
    let mut text = String::with_capacity(data.len() + data.len() / LINE + 64);
    text.push_str("-----BEGIN CERTIFICATE-----\n");
    for line in data.as_bytes().chunks(LINE) {
        text.extend(line.iter().copied().map(char::from));
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

pub(super) fn error(text: impl Into<String>) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Credentials, text)
}

fn of_kind(
    what: &str,
    text: &[u8],
    wanted: &str,
    is: impl Fn(&Kind) -> bool,
) -> Result<Vec<Block>, ConfigError> {
    let blocks = read(what, text)?;
    let labels: Vec<_> = blocks.iter().map(|block| block.kind.label().to_owned()).collect();
    let found: Vec<_> = blocks.into_iter().filter(|block| is(&block.kind)).collect();
    if found.is_empty() {
        let swapped = match wanted {
            "certificate" if labels.iter().any(|label| label.ends_with("PRIVATE KEY")) => {
                "; were key and certificates swapped?"
            }
            "private key" if labels.iter().any(|label| label == "CERTIFICATE") => {
                "; were key and certificates swapped?"
            }
            _ => "",
        };
        let labels = labels.iter().take(FEW).map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(error(format!("{what}: no {wanted} in it, but {labels}{swapped}")));
    }
    Ok(found)
}

/// The block whose label `rest` begins with, and what comes behind it.
fn block<'a>(what: &str, rest: &'a [u8], number: usize) -> Result<(Block, &'a [u8]), ConfigError> {
    let cut = |label: &str| {
        let end = format!("-----END {label}-----");
        error(format!("{what}: block {number} ({label}) is cut off: its \"{end}\" is missing"))
    };
    let (label, rest) = split(rest, DASHES).unwrap_or((rest, b""));
    if label.len() > LONGEST_LABEL || !label.iter().all(|octet| matches!(octet, 0x20..=0x7e)) {
        return Err(error(format!("{what}: the first line of block {number} is damaged")));
    }
    let label = String::from_utf8_lossy(label).into_owned();
    let (body, after) = split(rest, END).ok_or_else(|| cut(&label))?;
    let (end, after) = split(after, DASHES).ok_or_else(|| cut(&label))?;
    if end != label.as_bytes() || split(body, BEGIN).is_some() {
        return Err(cut(&label));
    }
    refuse_label(what, number, &label, body)?;
    let garbled = || error(format!("{what}: block {number} ({label}) is garbled: not base64"));
    let der = STANDARD.decode(without_headers(body)).map_err(|_| garbled())?;
    if der.is_empty() {
        return Err(error(format!("{what}: block {number} ({label}) is empty")));
    }
    Ok((Block { kind: Kind::of(&label), number, der }, after))
}

/// Blocks that nothing but openssl, or nothing without a password, can read.
fn refuse_label(what: &str, number: usize, label: &str, body: &[u8]) -> Result<(), ConfigError> {
    let encrypted = label == "ENCRYPTED PRIVATE KEY"
        || (label.ends_with("PRIVATE KEY") && split(body, b"Proc-Type").is_some());
    if encrypted {
        let remedy = "decrypt it with `openssl pkey -in F -out G`";
        return Err(error(format!("{what}: the key is encrypted; {remedy}")));
    }
    if label == "TRUSTED CERTIFICATE" {
        let remedy = "`openssl x509 -in F -out G` makes a plain one of it";
        let told = "is a TRUSTED CERTIFICATE, which only openssl reads";
        return Err(error(format!("{what}: block {number} {told}; {remedy}")));
    }
    Ok(())
}

fn refuse_what_is_no_text(what: &str, text: &[u8]) -> Result<(), ConfigError> {
    match text {
        [] => Err(error(format!("{what}: empty"))),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => {
            Err(error(format!("{what}: UTF-16 text; save it as UTF-8 or ASCII")))
        }
        [0x30, length, rest @ ..]
            if (0x81..=0x84).contains(length) || usize::from(*length) == rest.len() =>
        {
            let tool = if what.contains("key") { "pkey" } else { "x509" };
            let remedy = format!("`openssl {tool} -inform DER -in F -out G` makes PEM of it");
            Err(error(format!("{what}: DER, not PEM (starts with 0x30); {remedy}")))
        }
        _ => Ok(()),
    }
}

/// A mark whose dashes or whose other half were lost would take a whole block with it, unseen.
fn refuse_lost_marks(what: &str, between: &[u8], before: usize) -> Result<(), ConfigError> {
    let lost = [&b"-END "[..], b"-BEGIN "].into_iter().any(|mark| split(between, mark).is_some());
    if !lost {
        return Ok(());
    }
    let place = format!("before block {}", before + 1);
    let told =
        "a line of the kind \"-----BEGIN …-----\" or \"-----END …-----\" that is damaged or alone";
    Err(error(format!("{what}: {place} stands {told}")))
}

/// One short line with a slash or a file's ending in it.
fn looks_like_path(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let ends = [&b".pem"[..], b".crt", b".cer", b".key"];
    text.len() < 300
        && !text.contains(&b'\n')
        && (text.contains(&b'/') || ends.into_iter().any(|end| text.ends_with(end)))
}

/// The base64 of a body: no white space, no `Name: value` lines.
fn without_headers(body: &[u8]) -> Vec<u8> {
    let lines = body.split(|octet| matches!(octet, b'\n' | b'\r'));
    let data = lines.filter(|line| !line.contains(&b':'));
    data.flatten().copied().filter(|octet| !octet.is_ascii_whitespace()).collect()
}

/// What stands before and behind the first `mark`.
fn split<'a>(text: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let place = text.windows(mark.len()).position(|window| window == mark)?;
    let (before, rest) = text.split_at_checked(place)?;
    Some((before, rest.get(mark.len()..)?))
}

impl Kind {
    fn of(label: &str) -> Self {
        match label {
            "CERTIFICATE" | "X509 CERTIFICATE" => Self::Certificate,
            "X509 CRL" => Self::RevocationList,
            "PRIVATE KEY" => Self::Pkcs8,
            "RSA PRIVATE KEY" => Self::Pkcs1,
            "EC PRIVATE KEY" => Self::Sec1,
            other => Self::Other(other.to_owned()),
        }
    }

    fn label(&self) -> &str {
        match self {
            Self::Certificate => "CERTIFICATE",
            Self::RevocationList => "X509 CRL",
            Self::Pkcs8 => "PRIVATE KEY",
            Self::Pkcs1 => "RSA PRIVATE KEY",
            Self::Sec1 => "EC PRIVATE KEY",
            Self::Other(label) => label,
        }
    }
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
/// Characters of a line of base64 (RFC 7468 § 2).
const LINE: usize = 64;
/// No known label is longer.
const LONGEST_LABEL: usize = 40;
/// So many labels are told.
const FEW: usize = 5;
