//! What becomes of credentials whose files change, or whose fetcher gives others.
#![allow(clippy::disallowed_methods, reason = "a beginning for virtual time")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::super::pem::error;
use super::super::rotation::Rotating;
use super::super::*;
use super::{Folder, Met, cert, der, trusting};

const SECOND: Duration = Duration::from_secs(1);

/// A value that is the text of a file, and how often that was read.
fn of_file(path: &Path) -> (Rotating<String>, Arc<AtomicU32>) {
    let reads = Arc::new(AtomicU32::new(0));
    let (counted, read) = (Arc::clone(&reads), path.to_owned());
    let make = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        fs::read_to_string(&read).map_err(|failed| error(failed.to_string()))
    };
    (Rotating::of_files("it", vec![path.to_owned()], make).unwrap(), reads)
}

#[test]
fn a_file_is_looked_at_once_a_second_at_most_and_read_when_it_has_changed() {
    let folder = Folder::new();
    let path = folder.write("a", b"first");
    let (value, reads) = of_file(&path);
    let start = Instant::now();
    assert!(value.is_due(start));
    value.renew(start);
    // Read once more: what was written in the moment of the first look would not show.
    assert_eq!(reads.load(Ordering::Relaxed), 2);
    for ms in [0, 1, 999] {
        let now = start + Duration::from_millis(ms);
        assert!(!value.is_due(now));
        folder.write("a", b"second!");
        value.renew(now);
    }
    assert_eq!((value.current().as_str(), reads.load(Ordering::Relaxed)), ("first", 2));
    assert!(value.is_due(start + SECOND));
    value.renew(start + SECOND);
    assert_eq!(value.current().as_str(), "second!");
    value.renew(start + SECOND * 2);
    assert_eq!(reads.load(Ordering::Relaxed), 4);
    // From now on it is only looked at.
    for seconds in 3..10 {
        value.renew(start + SECOND * seconds);
    }
    assert_eq!(reads.load(Ordering::Relaxed), 4);
}

#[test]
fn a_file_that_is_exchanged_by_a_link_or_gone_for_a_while_is_noticed() {
    let folder = Folder::new();
    let (one, two) = (folder.write("1", b"aaaaa"), folder.write("2", b"bbbbb"));
    let link = folder.file("link");
    std::os::unix::fs::symlink(&one, &link).unwrap();
    let (value, _) = of_file(&link);
    let start = Instant::now();
    (0..3).for_each(|seconds| value.renew(start + SECOND * seconds));
    fs::remove_file(&link).unwrap();
    (3..6).for_each(|seconds| value.renew(start + SECOND * seconds));
    assert_eq!(value.current().as_str(), "aaaaa"); // it stays
    std::os::unix::fs::symlink(&two, &link).unwrap();
    value.renew(start + SECOND * 6);
    assert_eq!(value.current().as_str(), "bbbbb");
}

#[test]
fn a_fixed_value_is_never_due() {
    let value = Rotating::fixed("it", Arc::new(1));
    assert!(!value.is_due(Instant::now()));
    value.renew(Instant::now());
    assert_eq!(*value.current(), 1);
}

#[test]
fn a_fetcher_that_fails_panics_or_gives_nothing_leaves_what_there_was() {
    let results = Mutex::new(vec![
        Err("no file".to_owned()),
        Ok(None),
        Ok(Some(Arc::new(2))),
        Err("no file".to_owned()),
        Ok(Some(Arc::new(3))),
    ]);
    let fetch = move || {
        let mut results = results.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if results.is_empty() {
            panic!("no more");
        }
        results.remove(0)
    };
    let value = Rotating::fetched("it", Arc::new(1), fetch);
    let now = Instant::now();
    for expected in [1, 1, 2, 2, 3] {
        assert!(value.is_due(now));
        value.renew(now);
        assert_eq!(*value.current(), expected);
    }
    assert!(catch_unwind(AssertUnwindSafe(|| value.renew(now))).is_err());
    assert_eq!((*value.current(), value.is_due(now)), (3, true));
}

#[test]
fn a_fetch_that_began_earlier_does_not_undo_a_later_one() {
    static VALUE: OnceLock<Rotating<u32>> = OnceLock::new();
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let fetch = || match CALLS.fetch_add(1, Ordering::Relaxed) {
        0 => {
            // Another handshake fetches while this one does.
            VALUE.get().unwrap().renew(Instant::now());
            Ok(Some(Arc::new(1)))
        }
        _ => Ok(Some(Arc::new(2))),
    };
    let value = VALUE.get_or_init(|| Rotating::fetched("it", Arc::new(0), fetch));
    value.renew(Instant::now());
    assert_eq!((*value.current(), CALLS.load(Ordering::Relaxed)), (2, 2));
}

#[test]
fn a_fetchers_certificates_are_shown_from_the_next_handshake_on() {
    let configuration = |key: &[u8], chain: &[u8]| {
        ssl_server_certificate_configuration(&[(key, chain)], Some(cert!("ca.pem"))).unwrap()
    };
    let first = configuration(cert!("server.key"), cert!("server.pem"));
    let second = configuration(cert!("rsa.key"), cert!("rsa.pem"));
    let next: Arc<Mutex<Fetched>> = Arc::new(Mutex::new(Ok(None)));
    let fetched = Arc::clone(&next);
    let fetcher = move || std::mem::replace(&mut *fetched.lock().unwrap(), Ok(None));
    let server = dynamic_ssl_server_credentials(first.clone(), fetcher, false).unwrap();
    let client = trusting(cert!("ca.pem"));
    let meet = |given: Fetched| {
        *next.lock().unwrap() = given;
        assert!(server.inside().is_renewal_due(Instant::now()));
        server.inside().renew(Instant::now());
        let mut met = Met::of(&client, "localhost", &server);
        let kind = met.succeeded().client.handshake_kind().unwrap();
        (met.server_leaf().to_vec(), kind)
    };
    use rustls::HandshakeKind::{Full, Resumed};
    let (one, two) = (der(cert!("server.pem")), der(cert!("rsa.pem")));
    assert_eq!(meet(Ok(None)), (one.clone(), Full));
    assert_eq!(meet(Ok(Some(first.clone()))).0, one); // the same stays the same
    assert_eq!(meet(Ok(Some(second.clone()))).0, two);
    assert_eq!(meet(Err("no".into())).0, two);
    assert_eq!(meet(Ok(Some(second.clone()))), (two.clone(), Resumed));
    assert_eq!(meet(Ok(None)).0, two);
    // What was given before may be given again; its sessions are not those of before.
    assert_eq!(meet(Ok(Some(first))), (one, Full));
}

#[test]
fn a_fetched_configuration_without_roots_is_refused_where_certificates_are_demanded() {
    let pairs = [(cert!("server.key"), cert!("server.pem"))];
    let with = ssl_server_certificate_configuration(&pairs, Some(cert!("ca.pem"))).unwrap();
    let without = ssl_server_certificate_configuration(&pairs, None).unwrap();
    assert!(dynamic_ssl_server_credentials(without.clone(), || Ok(None), true).is_err());
    let fetcher = move || Ok(Some(without.clone()));
    let server = dynamic_ssl_server_credentials(with, fetcher, true).unwrap();
    let before = server.inside().server_config();
    server.inside().renew(Instant::now());
    assert!(Arc::ptr_eq(&before, &server.inside().server_config()));
}

#[test]
fn files_of_both_sides_are_read_again() {
    let folder = Folder::new();
    let roots = folder.write("roots.pem", cert!("ca.pem"));
    let key = folder.write("tls.key", cert!("server.key"));
    let chain = folder.write("tls.pem", cert!("server.pem"));
    let server = ServerCredentials::builder()
        .pair(key.as_path(), chain.as_path())
        .require_client_certificates(roots.as_path())
        .build()
        .unwrap();
    let client = ChannelCredentials::builder()
        .roots(roots.as_path())
        .identity(key.as_path(), chain.as_path())
        .build()
        .unwrap();
    let start = Instant::now();
    let at = |seconds: u32| {
        let now = start + SECOND * seconds;
        assert!(client.inside().is_renewal_due(now) && server.inside().is_renewal_due(now));
        client.inside().renew(now);
        server.inside().renew(now);
        Met::of(&client, "localhost", &server)
    };
    let mut met = at(0);
    assert_eq!(met.succeeded().server_leaf(), der(cert!("server.pem")));
    // Half of an exchange: what fits together stays.
    folder.write("tls.pem", cert!("self-leaf.pem"));
    assert_eq!(at(1).succeeded().server_leaf(), der(cert!("server.pem")));
    folder.write("tls.key", cert!("self-leaf.key"));
    folder.write("roots.pem", cert!("self-leaf.pem"));
    let mut met = at(2);
    assert_eq!(met.succeeded().server_leaf(), der(cert!("self-leaf.pem")));
    assert_eq!(met.server.peer_certificates().unwrap()[0].as_ref(), der(cert!("self-leaf.pem")));
    // Credentials without files have nothing to look at.
    assert!(!trusting(cert!("ca.pem")).inside().is_renewal_due(start + SECOND * 9));
}
