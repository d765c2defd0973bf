//! The reader of certificates, on good ones and on any octets.

use super::super::der::*;
use super::super::pem;
use super::{cert, der};

#[test]
fn kinds_of_keys_are_told_alike_of_a_certificate_and_of_its_key() {
    for (key, chain, kind) in [
        (&cert!("server.key")[..], &cert!("server.pem")[..], "a key on the curve P-256"),
        (cert!("server-sec1.key"), cert!("server.pem"), "a key on the curve P-256"),
        (cert!("p384.key"), cert!("p384.pem"), "a key on the curve P-384"),
        (cert!("p521.key"), cert!("p521.pem"), "a key on the curve P-521"),
        (cert!("secp256k1.key"), cert!("secp256k1.pem"), "a key on the curve secp256k1"),
        (cert!("rsa.key"), cert!("rsa.pem"), "an RSA key of 2048 bits"),
        (cert!("rsa-pkcs1.key"), cert!("rsa.pem"), "an RSA key of 2048 bits"),
        (cert!("rsa1024.key"), cert!("rsa1024.pem"), "an RSA key of 1024 bits"),
        (cert!("rsa5120.key"), cert!("rsa5120.pem"), "an RSA key of 5120 bits"),
        (cert!("pss.key"), cert!("pss.pem"), "an RSA key for PSS only"),
        (cert!("ed25519.key"), cert!("ed25519.pem"), "an Ed25519 key"),
        (cert!("ed448.key"), cert!("ed448.pem"), "an Ed448 key"),
    ] {
        let key = pem::private_key("it", key).unwrap().der;
        assert_eq!(KeyKind::of_private(&key).unwrap().to_string(), kind);
        assert_eq!(Certificate::read(&der(chain)).unwrap().key_kind().to_string(), kind);
    }
}

#[test]
fn what_is_said_of_certificates_is_what_is_in_them() {
    let read = |pem: &'static [u8]| -> &'static [u8] { Box::leak(der(pem).into_boxed_slice()) };
    let of = |pem| Certificate::read(read(pem)).unwrap();
    assert_eq!((of(cert!("v1.pem")).version, of(cert!("ca.pem")).version), (1, 3));
    assert!(of(cert!("ca.pem")).is_ca() && !of(cert!("server.pem")).is_ca());
    assert!(
        of(cert!("self-leaf.pem")).is_self_issued() && !of(cert!("server.pem")).is_self_issued()
    );
    assert_eq!(of(cert!("server.pem")).issuer.to_string(), "CN=Test CA,O=grpc-threads");
    assert_eq!(of(cert!("server.pem")).uses(), None);
    assert_eq!(of(cert!("for-clients.pem")).uses(), Some((false, true)));
    assert_eq!(of(cert!("critical.pem")).unknown_critical(), ["1.2.3.4.5"]);
    assert!(of(cert!("ca.pem")).unknown_critical().is_empty());
    assert_eq!(of(cert!("many.pem")).hosts().count(), 200);
    assert_eq!(of(cert!("expired.pem")).dates(), Some((1_577_836_800, 1_580_515_200)));
    assert_eq!(of(cert!("not-yet.pem")).dates(), Some((4_102_444_800, 4_891_363_200)));
}

/// Everything that there is to ask.
fn ask(octets: &[u8]) {
    let kind = KeyKind::of_private(octets).map(|kind| kind.to_string());
    is_old_signature(octets);
    let Some(read) = Certificate::read(octets) else { return };
    let texts = [read.subject.to_string(), read.issuer.to_string(), kind.unwrap_or_default()];
    // A name says at most three times as much in hexadecimal or escaped, and a label.
    assert!(texts.iter().all(|text| text.len() <= octets.len() * 30 + 100));
    let names = read.alternative_names();
    assert!(names.len() <= octets.len());
    drop((
        names,
        read.hosts().count(),
        read.unknown_critical(),
        read.uses(),
        read.key_kind(),
        read.dates(),
    ));
    drop((read.is_ca(), read.is_self_issued(), read.subject.common_name()));
}

#[test]
fn no_octets_make_it_panic() {
    let mut state = 1_u64;
    let mut next = move |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let seeds: Vec<_> = [
        &cert!("client.pem")[..],
        cert!("client-odd.pem"),
        cert!("ca.pem"),
        cert!("v1.pem"),
        cert!("rsa.pem"),
    ]
    .map(der)
    .into_iter()
    .chain(
        [&cert!("server-sec1.key")[..], cert!("rsa.key"), cert!("ed448.key")]
            .map(|key| pem::private_key("it", key).unwrap().der),
    )
    .collect();
    let rounds =
        std::env::var("FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(50_000);
    let mut read = 0;
    for round in 0..rounds {
        let mut octets = seeds[round % seeds.len()].clone();
        if round % 10 == 9 {
            octets = (0..next(300)).map(|_| next(256) as u8).collect();
        }
        for _ in 0..next(4) {
            if octets.is_empty() {
                break;
            }
            let at = next(octets.len());
            match next(6) {
                0 => octets.truncate(at),
                1 => drop(octets.remove(at)),
                2 => octets.insert(at, next(256) as u8),
                3 => octets[at] = [0x30, 0x31, 0xa0, 0xa3, 0x80, 0xff, 0x1f, 0][next(8)],
                4 => octets[at] = octets[at].wrapping_add(1),
                _ => octets[at] = next(256) as u8,
            }
        }
        read += usize::from(Certificate::read(&octets).is_some());
        ask(&octets);
    }
    assert!(read > rounds / 10, "{read}");
    for cut in 0..seeds[0].len() {
        ask(&seeds[0][..cut]);
    }
}

#[test]
fn names_are_written_as_rfc_2253_has_them() {
    // § 2.4 and § 3: what is special, at an end, or not ASCII is escaped; unknown types are hexadecimal.
    fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
        [&[tag, value.len() as u8], value].concat()
    }
    let attribute =
        |id: &[u8], tag: u8, value: &[u8]| tlv(0x30, &[tlv(6, id), tlv(tag, value)].concat());
    let common = |tag: u8, value: &[u8]| tlv(0x31, &attribute(&[0x55, 4, 3], tag, value));
    let name = |sets: &[Vec<u8>]| {
        let sets = sets.concat();
        Name::of_content(&sets).to_string()
    };
    assert_eq!(name(&[common(12, b" a b ")]), "CN=\\ a b\\ ");
    assert_eq!(name(&[common(19, b"#a#")]), "CN=\\#a#");
    assert_eq!(name(&[common(12, b"a\n\x7f<>;")]), "CN=a\\0A\\7F\\<\\>\\;");
    assert_eq!(name(&[common(30, &[0, b'a', 0x20, 0xac])]), "CN=a\\E2\\82\\AC");
    assert_eq!(name(&[common(20, &[0xe9])]), "CN=\\C3\\A9");
    assert_eq!(name(&[common(3, &[0])]), "CN=#030100");
    assert_eq!(name(&[common(12, &[0xff])]), "CN=#0C01FF");
    assert_eq!(name(&[tlv(0x31, &attribute(&[0x2a, 3], 12, b"x"))]), "1.2.3=#0C0178");
    let both = [attribute(&[0x55, 4, 3], 12, b"a"), attribute(&[0x55, 4, 5], 12, b"1")].concat();
    assert_eq!(name(&[common(12, b"first"), tlv(0x31, &both)]), "serialNumber=1+CN=a,CN=first");
    assert_eq!(name(&[]), "");
}
