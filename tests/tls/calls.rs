//! Calls over TLS.

use crate::common::*;
use crate::service::*;
use crate::support::{LONG, pattern};
use bytes::Bytes;
use std::thread;

fn sized(count: usize, size: usize) -> impl Iterator<Item = Bytes> + Send + 'static {
    let body = Bytes::from(pattern(size));
    (0..count).map(move |_| body.clone())
}

/// The four kinds of calls, small ones and large ones.
fn four_kinds(channel: &Channel) {
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    for size in [0, 1, 16_379, 16_384, 65_536, 1 << 20, 4 << 20] {
        let body = Bytes::from(pattern(size));
        assert!(echo.call(&body).unwrap() == body, "{size}");
    }
    let count = channel.raw_unary_stream(COUNT).unwrap().timeout(LONG);
    let answers = count.call(&Bytes::from_static(b"1000 100")).unwrap();
    assert_eq!(answers.map(|answer| answer.unwrap().len()).sum::<usize>(), 100_000);
    let sum = channel.raw_stream_unary(SUM).unwrap().timeout(LONG);
    assert_eq!(sum.call(sized(50, 100_000)).unwrap(), b"50 5000000"[..]);
    let bidi = channel.raw_stream_stream(BIDI).unwrap().timeout(LONG);
    let answers: Vec<_> = bidi.call(sized(100, 50_000)).map(Result::unwrap).collect();
    assert_eq!(answers.len(), 100);
    assert!(answers.iter().all(|answer| *answer == pattern(50_000)));
}

#[test]
fn the_four_kinds_of_calls_work() {
    let secure = Secure::new();
    four_kinds(&secure.channel());
}

#[test]
fn the_four_kinds_of_calls_work_over_tls_1_2_and_1_3_with_others() {
    let secure_port = Secure::new();
    for version in [TLS12, TLS13] {
        let relay = Relay::terminate(secure_port.served.address(), raw_server(&[version], &["h2"]));
        four_kinds(&secure(&relay.target()).connect_lazily().unwrap());
        let relay = Relay::originate(secure_port.address(), raw_client(&[version], &["h2"]));
        four_kinds(&channel(&relay.target()));
    }
}

#[test]
fn a_server_has_secure_and_plain_ports_at_once() {
    let secure = Secure::new();
    assert_eq!(call(&secure.channel()).unwrap(), b"hello"[..]);
    assert_eq!(call(&secure.served.channel()).unwrap(), b"hello"[..]);
}

#[test]
fn clients_show_their_certificates_where_they_are_asked() {
    let secure = Secure::with(&mutual());
    let channel = Channel::builder(&secure.target()).credentials(&with_certificate());
    assert_eq!(call(&channel.connect_lazily().unwrap()).unwrap(), b"hello"[..]);
}

#[test]
fn handlers_see_whom_the_handshake_has_made_sure_of() {
    let secure = Secure::with(&mutual());
    let credentials = with_certificate();
    let target = format!("localhost:{}", secure.port);
    for reused in ["false", "true"] {
        let channel = Channel::builder(&target).credentials(&credentials).connect_lazily();
        let text = who(&channel.unwrap());
        for line in [
            "transport_security_type [b\"ssl\"]",
            "x509_common_name [b\"leaf\"]",
            "security_level [b\"TSI_PRIVACY_AND_INTEGRITY\"]",
            &format!("ssl_session_reused [b\"{reused}\"]"),
            "ssl_requested_server_name [b\"localhost\"]",
            "ssl_tls_version [b\"TLSv1.3\"]",
            "key Some(\"x509_subject_alternative_name\")",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        let properties: Vec<_> = text.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(properties[..2], ["transport_security_type", "x509_subject"]);
    }
    let plain = "transport_security_type [b\"insecure\"]\nsecurity_level [b\"TSI_SECURITY_NONE\"]\n\
        key None\nidentities None\n";
    assert_eq!(who(&secure.served.channel()), plain);
}

/// grpc's own test of its cache for one server. Ours is in the credentials, and for many.
#[test]
fn sessions_are_resumed_with_the_server_that_gave_them_and_with_no_other() {
    let credentials = trusting(CA);
    let reused = |server: &Secure| {
        let channel = Channel::builder(&server.target()).credentials(&credentials);
        let channel = channel.ssl_target_name_override("localhost").connect_lazily().unwrap();
        let text = who(&channel);
        channel.close();
        text.contains("ssl_session_reused [b\"true\"]")
    };
    let first = Secure::new();
    assert_eq!([reused(&first), reused(&first), reused(&first)], [false, true, true]);
    // Another of the same name does not know the session, and gives one of its own.
    let second = Secure::new();
    assert_eq!([reused(&second), reused(&second)], [false, true]);
    assert_eq!([reused(&first), reused(&first)], [false, true]);
    // One that is started anew has other keys.
    drop(first);
    let again = Secure::new();
    assert_eq!([reused(&again), reused(&again)], [false, true]);
    // Other credentials have sessions of their own, whomever they trust.
    let other = Channel::builder(&again.target()).credentials(&trusting(CA));
    let other = other.ssl_target_name_override("localhost").connect_lazily().unwrap();
    assert!(who(&other).contains("ssl_session_reused [b\"false\"]"));
}

#[test]
fn a_session_cache_has_the_size_that_is_asked_for() {
    let server = Secure::new();
    let reused = |credentials: &grpc_threads::ChannelCredentials, name: &str| {
        let channel = Channel::builder(&server.target()).credentials(credentials);
        let channel = channel.ssl_target_name_override(name).connect_lazily().unwrap();
        let text = who(&channel);
        channel.close();
        text.contains("ssl_session_reused [b\"true\"]")
    };
    let with = |sessions: usize| {
        let credentials =
            grpc_threads::ChannelCredentials::builder().roots(CA).session_cache(sessions);
        credentials.build().unwrap()
    };
    let none = with(0);
    assert_eq!([0; 3].map(|_| reused(&none, "localhost")), [false; 3]);
    // Those of one server: the other pushes them out.
    let one = with(8);
    assert_eq!(["localhost", "localhost"].map(|name| reused(&one, name)), [false, true]);
    assert_eq!(["127.0.0.1", "127.0.0.1"].map(|name| reused(&one, name)), [false, true]);
    assert!(!reused(&one, "localhost"));
    let many = with(usize::MAX);
    let names = ["localhost", "127.0.0.1", "localhost", "127.0.0.1"];
    assert_eq!(names.map(|name| reused(&many, name)), [false, false, true, true]);
}

#[test]
fn sixteen_mebibytes_go_both_ways_at_once_past_slow_readers() {
    let secure = Secure::new();
    let bidi = secure.channel().raw_stream_stream(BIDI).unwrap().timeout(LONG);
    let (size, count) = (1 << 20, 16);
    let stream = bidi.open();
    let (mut sender, mut answers) = stream.split();
    let sending = thread::spawn(move || {
        for body in sized(count, size) {
            sender.send(&body).unwrap();
        }
        sender.done_writing().unwrap();
    });
    // Nobody reads until everything that fits on the way is on it.
    thread::park_timeout(std::time::Duration::from_millis(300));
    for at in 0..count {
        assert!(answers.next().unwrap().unwrap() == pattern(size), "{at}");
    }
    assert!(answers.next().is_none());
    sending.join().unwrap();
}

#[test]
fn many_threads_share_a_secure_channel() {
    let secure = Secure::new();
    let channel = secure.channel();
    let threads: Vec<_> = (0..8)
        .map(|who| {
            let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
            thread::spawn(move || {
                for at in 0..200 {
                    let body = Bytes::from(pattern(who * 1000 + at * 37));
                    assert!(echo.call(&body).unwrap() == body);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn futures_are_answered_though_nobody_waits() {
    let secure = Secure::new();
    let echo = secure.channel().raw_unary_unary(ECHO).unwrap().timeout(LONG);
    let futures: Vec<_> =
        (0..100).map(|at| echo.future(&Bytes::from(pattern(at * 1000)))).collect();
    for (at, mut future) in futures.into_iter().enumerate() {
        assert!(future.result(None).unwrap() == pattern(at * 1000), "{at}");
    }
}

/// The certificate is for `localhost`, which a UNIX socket's server is called.
#[test]
fn tls_goes_over_a_unix_socket_and_tells_the_process() {
    let name = format!("unix-abstract:grpc-threads-tls-{}", std::process::id());
    let process = unary(|_, context| {
        let known = context.auth_context();
        Ok(format!("{} {:?}", context.peer(), known.peer_process().map(|peer| peer.pid)).into())
    });
    let served = Served::with(1, [("Process", process)]);
    served.server.add_secure_port(&name, &server_credentials()).unwrap();
    let channel = secure(&name).connect_lazily().unwrap();
    let told = channel.raw_unary_unary("/test.Test/Process").unwrap().timeout(LONG);
    let told = told.call(&Bytes::new()).unwrap();
    assert_eq!(told, format!("unix: Some({})", std::process::id()));
}

#[test]
fn what_protects_a_connection_is_told_with_its_counts() {
    let secure = Secure::new();
    let channel = secure.channel();
    call(&channel).unwrap();
    let near = channel.stats().subchannels[0].sockets[0].clone();
    let security = near.security.unwrap();
    assert_eq!(security.version, "TLSv1.3");
    assert!(security.cipher_suite.unwrap().starts_with("TLS_AES_"));
    assert!(security.remote_certificate.is_some_and(|der| der[0] == 0x30));
    let server = secure.served.server.stats().id;
    let far = grpc_threads::stats::server_sockets(server, 0, 1).unwrap().items.remove(0);
    assert_eq!(far.security.unwrap().remote_certificate, None, "a client shows none unasked");
    assert_eq!((&far.remote, &far.local), (&near.local, &near.remote));
}
