//! The auth context, beside what a grpcio server says of the same certificates.

use bytes::Bytes;

use super::super::*;
use super::{Met, cert};

fn contexts(client: &ChannelCredentials, server: &ServerCredentials) -> AuthContext {
    let mut met = Met::of(client, "localhost", server);
    met.succeeded();
    let session = &met.server;
    AuthContext::of_tls(&Agreed {
        peer_certificates: session.peer_certificates().unwrap_or_default(),
        resumed: session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        server_name: session.server_name(),
        version: session.protocol_version(),
        group: session.negotiated_key_exchange_group().map(|group| group.name()),
    })
}

fn with(key: &[u8], chain: &[u8]) -> AuthContext {
    let client = ssl_channel_credentials(Some(cert!("ca.pem")), Some(key), Some(chain)).unwrap();
    let server = ServerCredentials::builder()
        .pair(cert!("server.key"), cert!("server.pem"))
        .request_client_certificates(cert!("ca.pem"))
        .build()
        .unwrap();
    contexts(&client, &server)
}

fn texts(values: &[Bytes]) -> Vec<&str> {
    values.iter().map(|value| std::str::from_utf8(value).unwrap()).collect()
}

#[test]
fn the_order_and_the_values_are_those_of_grpcio() {
    let context = with(cert!("client.key"), cert!("client.pem"));
    let pem = std::str::from_utf8(cert!("client.pem")).unwrap();
    let sans = [
        "spiffe://example.org/service",
        "leaf.test",
        "10.0.0.1",
        "leaf@example.org",
        "second.test",
    ];
    let subject = r#"CN=leaf,OU=Test,O=K\C3\A4se \+ S\C3\B6hne\, \"Sons\",C=DE"#;
    let expected: [(&str, &[&str]); 15] = [
        ("transport_security_type", &["ssl"]),
        ("x509_subject", &[subject]),
        ("x509_common_name", &["leaf"]),
        ("x509_pem_cert", &[pem]),
        ("x509_subject_alternative_name", &sans),
        ("peer_uri", &sans[..1]),
        ("peer_dns", &["leaf.test", "second.test"]),
        ("peer_ip", &["10.0.0.1"]),
        ("peer_email", &["leaf@example.org"]),
        ("security_level", &["TSI_PRIVACY_AND_INTEGRITY"]),
        ("ssl_session_reused", &["false"]),
        ("ssl_requested_server_name", &["localhost"]),
        ("ssl_tls_version", &["TLSv1.3"]),
        ("ssl_negotiated_key_exchange_group", &["X25519"]),
        ("peer_spiffe_id", &sans[..1]),
    ];
    let found: Vec<_> = context.iter().map(|(name, values)| (name, texts(values))).collect();
    let expected: Vec<_> = expected.iter().map(|(name, values)| (*name, values.to_vec())).collect();
    assert_eq!(found, expected);
    assert_eq!(context.peer_identity_key(), Some("x509_subject_alternative_name"));
    assert_eq!(texts(context.peer_identities().unwrap()), sans);
    assert_eq!(context.peer_certificates(), [Bytes::from(super::der(cert!("client.pem")))]);
    assert!(format!("{context:?}").contains("x509_common_name"));
}

#[test]
fn without_any_alternative_name_the_common_name_is_the_identity() {
    let context = with(cert!("client-cn.key"), cert!("client-cn.pem"));
    assert_eq!(context.peer_identity_key(), Some("x509_common_name"));
    assert_eq!(texts(context.peer_identities().unwrap()), ["only-a-name"]);
    assert!(context.get("x509_subject_alternative_name").is_empty());
    assert!(context.get("peer_spiffe_id").is_empty());
}

#[test]
fn two_uris_are_no_spiffe_id_and_other_names_are_counted() {
    let context = with(cert!("client-odd.key"), cert!("client-odd.pem"));
    assert_eq!(texts(context.get("x509_common_name")), [""]);
    assert_eq!(texts(context.get("x509_subject")), ["emailAddress=a@b.c"]);
    assert_eq!(
        texts(context.get("x509_subject_alternative_name")),
        ["2001:db8::1", "other types of SAN", "spiffe://a.b/c", "spiffe://a.b/d"]
    );
    assert_eq!(texts(context.get("peer_uri")), ["spiffe://a.b/c", "spiffe://a.b/d"]);
    assert!(context.get("peer_spiffe_id").is_empty());
    // The kind that comes first in the certificate comes first.
    let order: Vec<_> =
        context.iter().map(|(name, _)| name).filter(|n| n.starts_with("peer_")).collect();
    assert_eq!(order, ["peer_ip", "peer_uri"]);
}

#[test]
fn a_client_without_a_certificate_has_no_identity_and_a_resumed_one_keeps_its_own() {
    let server = ServerCredentials::builder()
        .pair(cert!("server.key"), cert!("server.pem"))
        .request_client_certificates(cert!("ca.pem"))
        .build()
        .unwrap();
    let nobody = contexts(&super::trusting(cert!("ca.pem")), &server);
    let names: Vec<_> = nobody.iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "transport_security_type",
            "security_level",
            "ssl_session_reused",
            "ssl_requested_server_name",
            "ssl_tls_version",
            "ssl_negotiated_key_exchange_group"
        ]
    );
    assert_eq!((nobody.peer_identity_key(), nobody.peer_identities()), (None, None));

    let client = ssl_channel_credentials(
        Some(cert!("ca.pem")),
        Some(cert!("client.key")),
        Some(cert!("client.pem")),
    )
    .unwrap();
    for reused in ["false", "true"] {
        let context = contexts(&client, &server);
        assert_eq!(texts(context.get("ssl_session_reused")), [reused]);
        assert_eq!(context.peer_identities().unwrap().len(), 5);
    }
}
