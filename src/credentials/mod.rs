//! What to prove to a peer, and what to trust of it.
//!
//! Owns certificates, keys, roots and per-call tokens as values; knows neither
//! sockets nor a TLS library. Channels and ports are insecure (plain HTTP/2,
//! for trusted networks and tests) unless credentials are given; there are none
//! to give yet, so this module is empty.
