//! Certificates for development: commands that make some, and why others are refused.
//!
//! TLS is rustls's here, which is stricter than openssl and grpcio about certificates. Those that a command of a
//! tutorial's makes are often refused; those of the commands below are not, by any of them. They need OpenSSL 3 and
//! bash, and a test of this library's runs them.
//!
//! # One certificate, for one machine
//!
//! Signed with its own key, so it is at once what the server shows and what its clients take as root:
//!
//! ```sh
//! openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=localhost \
//!     -addext basicConstraints=critical,CA:FALSE \
//!     -addext subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1 \
//!     -keyout localhost.key -out localhost.pem
//! ```
//!
//! ```no_run
//! use grpc_threads::credentials::{ssl_channel_credentials, ssl_server_credentials};
//!
//! let key = std::fs::read("localhost.key")?;
//! let chain = std::fs::read("localhost.pem")?;
//! let server = ssl_server_credentials(&[(&key, &chain)], None, false)?;
//! let client = ssl_channel_credentials(Some(&chain), None, None)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # An authority of one's own, for servers and for clients (mutual TLS)
//!
//! The authority, whose certificate everybody takes as root:
//!
//! ```sh
//! openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=Development CA" \
//!     -keyout ca.key -out ca.pem
//! ```
//!
//! A server's. Clients compare the name (or the address) of their target with `subjectAltName`; the common name does
//! not count:
//!
//! ```sh
//! openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server -keyout server.key -out server.csr
//! openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -out server.pem \
//!     -extfile <(echo subjectAltName=DNS:localhost,DNS:server.example,IP:127.0.0.1,IP:::1)
//! ```
//!
//! A client's. What stands in `subjectAltName`, or the common name if there is no such, is what handlers see as
//! [`peer_identities`](super::AuthContext::peer_identities):
//!
//! ```sh
//! openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=client -keyout client.key -out client.csr
//! openssl x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -out client.pem \
//!     -extfile <(echo subjectAltName=DNS:client.example; echo extendedKeyUsage=clientAuth)
//! ```
//!
//! To look at one, and to see whether it fits:
//!
//! ```sh
//! openssl x509 -in server.pem -noout -subject -issuer -dates -ext subjectAltName
//! openssl verify -CAfile ca.pem server.pem client.pem
//! ```
//!
//! To see what a running server shows: `openssl s_client -connect localhost:50051 -alpn h2 -CAfile ca.pem`.
//!
//! # Into the right form
//!
//! Keys without a password, PEM in place of DER, and certificates without what only openssl reads:
//!
//! ```sh
//! # (for the sake of the example, the wrong forms first)
//! openssl pkey -in server.key -aes256 -passout pass:secret -out encrypted.key
//! openssl x509 -in ca.pem -outform DER -out ca.der
//! openssl x509 -in ca.pem -trustout -out trusted.pem
//!
//! openssl pkey -in encrypted.key -passin pass:secret -out plain.key
//! openssl x509 -inform DER -in ca.der -out plain.pem
//! openssl x509 -in trusted.pem -out plain-too.pem
//! ```
//!
//! # What is accepted elsewhere, and not here
//!
//! | certificate | openssl, grpcio | here |
//! |---|---|---|
//! | of an authority (`CA:TRUE`) shown by a server: what `openssl req -x509` makes without more | taken | refused; warned of when it is loaded |
//! | version 1: what `openssl x509 -req` makes without `-extfile` | taken | refused, one's own when it is loaded |
//! | without `subjectAltName` | taken, by the common name | refused |
//! | an address as `DNS:127.0.0.1` | taken by grpcio | refused; `IP:127.0.0.1` is right |
//! | one that another has signed, as the only root ("pinning") | taken by grpcio | refused; a self-signed one that is not `CA:TRUE` can be pinned |
//! | RSA below 2048 bits, signatures with SHA-1 | taken at low security levels | refused |
//! | keys of RSA above 4096 bits, on P-521, for PSS only | partly | not loaded (feature `tls-aws-lc`: P-521 and RSA to 8192 bits are) |
//! | Ed25519 | taken by openssl, **not by grpcio** | taken |
//! | an unknown critical extension | refused by clients | refused, one's own when it is loaded |
//! | a root that has expired | refused | taken: only what it has issued is judged by date |
//! | names in capitals, or a dot at the end of the name of the target | taken | taken |
//!
//! An error of a call says which of these it was. What a server's client has refused is told by the log of the server.
