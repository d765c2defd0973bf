//! What PEM text is read, and what is said of the rest.

use super::super::pem::*;
use super::cert;
use crate::error::ConfigErrorKind;

fn count(text: &[u8]) -> usize {
    certificates("roots", text).unwrap().len()
}

#[track_caller]
fn told<T>(result: Result<T, crate::ConfigError>) -> String {
    let error = result.err().expect("an error");
    assert_eq!(error.kind(), ConfigErrorKind::Credentials);
    error.to_string()
}

fn text(pem: &[u8]) -> String {
    String::from_utf8(pem.to_vec()).unwrap()
}

#[test]
fn what_others_read_is_read() {
    let ca = text(cert!("ca.pem"));
    assert_eq!(count(ca.as_bytes()), 1);
    assert_eq!(count(ca.replace('\n', "\r\n").as_bytes()), 1);
    assert_eq!(count(ca.replace('\n', "\r").as_bytes()), 1);
    assert_eq!(count(format!("subject=CN = x\n\nText: before\n{ca}behind\n{ca}").as_bytes()), 2);
    assert_eq!(count(format!("\u{feff}{ca}\u{feff}{ca}").as_bytes()), 2);
    assert_eq!(count(ca.replace("\n", "\n    ").as_bytes()), 1);
    assert_eq!(count(format!("{}{ca}", ca.trim_end()).as_bytes()), 2); // no newline between two files
    assert_eq!(count(cert!("ca-x509.pem")), 1);
    // A key's file often has the certificate in it, and an EC key its parameters before it.
    let both = [&cert!("server.pem")[..], cert!("server-sec1.key")].concat();
    assert_eq!(private_key("private key", &both).unwrap().kind, Kind::Sec1);
    assert_eq!(count(&both), 1);
}

#[test]
fn other_encodings_are_named() {
    let der = super::der(cert!("ca.pem"));
    let told_der = told(certificates("roots", &der));
    assert!(told_der.contains("roots: DER, not PEM (starts with 0x30)"), "{told_der}");
    assert!(told_der.contains("`openssl x509 -inform DER -in F -out G`"), "{told_der}");
    for key in [&cert!("server.key")[..], cert!("ed25519.key"), cert!("rsa-pkcs1.key")] {
        let der = private_key("private key", key).unwrap().der;
        let told = told(private_key("private key", &der));
        assert!(told.contains("`openssl pkey -inform DER"), "{told}");
    }
    let wide = |unit: fn(u16) -> [u8; 2], bom: &[u8]| {
        let units = text(cert!("ca.pem")).encode_utf16().flat_map(unit).collect::<Vec<_>>();
        [bom, &units].concat()
    };
    for text in [
        wide(u16::to_le_bytes, &[0xff, 0xfe]),
        wide(u16::to_be_bytes, &[0xfe, 0xff]),
        wide(u16::to_le_bytes, &[]),
        wide(u16::to_be_bytes, &[]),
    ] {
        assert_eq!(
            told(certificates("roots", &text)),
            "roots: UTF-16 text; save it as UTF-8 or ASCII"
        );
    }
}

#[test]
fn what_is_not_pem_is_refused_and_never_no_certificates() {
    assert_eq!(told(certificates("roots", b"")), "roots: empty");
    assert!(told(certificates("roots", b"0 certificates")).contains("no PEM in it"));
    assert!(told(certificates("roots", b"\n")).contains("no PEM in it"));
    for path in ["ca.pem", "/etc/ssl/certs", "certs/ca.crt\n"] {
        assert!(
            told(certificates("roots", path.as_bytes())).contains("looks like a path"),
            "{path}"
        );
    }
    let trusted = told(certificates("roots", cert!("ca-trusted.pem")));
    assert!(trusted.contains("block 1 is a TRUSTED CERTIFICATE"), "{trusted}");
    assert!(trusted.contains("`openssl x509 -in F -out G`"), "{trusted}");
}

#[test]
fn a_block_that_is_garbled_or_cut_off_is_named_by_its_number() {
    let ca = text(cert!("ca.pem"));
    let of_second = |second: &str| told(certificates("roots", format!("{ca}{second}").as_bytes()));
    let line = ca.lines().nth(2).unwrap();
    assert_eq!(
        of_second(&ca.replacen(line, &line.replacen(&line[4..5], "!", 1), 1)),
        "roots: block 2 (CERTIFICATE) is garbled: not base64"
    );
    assert_eq!(
        of_second(&ca.replacen(line, &line[1..], 1)),
        "roots: block 2 (CERTIFICATE) is garbled: not base64"
    );
    let end = "-----END CERTIFICATE-----";
    let cut = of_second(&ca.replace(end, ""));
    assert_eq!(cut, format!("roots: block 2 (CERTIFICATE) is cut off: its \"{end}\" is missing"));
    assert_eq!(of_second(&format!("{}{ca}", &ca[..200])), cut);
    assert_eq!(of_second(&ca.replace("END CERTIFICATE", "END PRIVATE KEY")), cut);
    assert!(of_second(&ca.replace("-----BEGIN", "----BEGIN")).contains("before block 2 stands"));
    assert!(of_second(&ca[60..]).contains("damaged or alone"));
    assert!(
        of_second("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----").contains("is empty")
    );
    assert!(
        of_second("-----BEGIN ").contains("block 2 is damaged")
            || of_second("-----BEGIN ").contains("cut off")
    );
}

#[test]
fn keys_that_need_a_password_are_named() {
    for key in [&cert!("encrypted-pkcs8.key")[..], cert!("encrypted-pkcs1.key")] {
        let told = told(private_key("private key", key));
        assert_eq!(
            told,
            "private key: the key is encrypted; decrypt it with `openssl pkey -in F -out G`"
        );
    }
}

#[test]
fn an_argument_of_the_wrong_kind_is_named() {
    assert_eq!(
        told(certificates("certificate chain", cert!("server.key"))),
        "certificate chain: no certificate in it, but PRIVATE KEY; were key and certificates swapped?"
    );
    assert_eq!(
        told(private_key("private key", cert!("server.pem"))),
        "private key: no private key in it, but CERTIFICATE; were key and certificates swapped?"
    );
    let two = [&cert!("server.key")[..], cert!("rsa.key")].concat();
    assert_eq!(
        told(private_key("private key", &two)),
        "private key: 2 private keys, where one is needed"
    );
    assert!(
        told(revocation_lists("revocation lists", cert!("ca.pem"))).contains("no revocation list")
    );
}

#[test]
fn no_text_makes_it_panic_or_tells_of_what_is_in_a_block() {
    let mut random = 1_u64;
    let mut next = move |below: usize| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    let whole = [&cert!("server.key")[..], cert!("ca.pem"), cert!("encrypted-pkcs1.key")].concat();
    let secret = whole.split(|octet| *octet == b'\n').nth(1).unwrap();
    let secret = String::from_utf8(secret[8..24].to_vec()).unwrap();
    for _ in 0..5_000 {
        let mut text = whole.clone();
        for _ in 0..=next(3) {
            let at = next(text.len());
            match next(4) {
                0 => text.truncate(at),
                1 => drop(text.remove(at)),
                2 => text.insert(at, next(256) as u8),
                _ => text[at] = next(256) as u8,
            }
            if text.is_empty() {
                break;
            }
        }
        if let Err(error) = read("it", &text) {
            let told = error.to_string();
            assert!(told.len() < 300 && !told.contains(&secret), "{told}");
        }
    }
}
