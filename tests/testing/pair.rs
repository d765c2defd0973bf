//! A channel and a server joined in memory.

use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use grpc_threads::credentials::local_channel_credentials;
use grpc_threads::testing::{self, Pair};
use grpc_threads::{
    Channel, Code, Connectivity, ServeError, Server, ServerOptions, Service, Status,
};

use crate::service::{BIDI, COUNT, ECHO, SUM, pair, pair_with, service, unary};
use crate::support::{LONG, eventually, pattern};

#[test]
fn all_kinds_of_calls_work() {
    let pair = pair();
    let channel = pair.channel();
    let hello = Bytes::from_static(b"hello");
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    assert_eq!(echo.call(&hello).unwrap(), hello);
    let mut count = channel.raw_unary_stream(COUNT).unwrap().call(&hello).unwrap();
    assert_eq!(count.by_ref().map(|n| n.unwrap()[0]).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert!(count.status().is_ok());
    let sum = channel.raw_stream_unary(SUM).unwrap();
    assert_eq!(sum.call([hello.clone(), hello.clone()]).unwrap(), "10");
    let mut talk = channel.raw_stream_stream(BIDI).unwrap().open();
    for word in ["one", "two"] {
        talk.send(&Bytes::from(word)).unwrap();
        assert_eq!(talk.recv().unwrap().unwrap(), word);
    }
    talk.done_writing().unwrap();
    assert_eq!(talk.recv().unwrap(), None);
    assert_eq!(echo.future(&hello).result(None).unwrap(), hello);
}

#[test]
fn metadata_and_the_peers_name_come_across() {
    let pair = pair_with(
        "Who",
        unary(|_, context| {
            let all = context.invocation_metadata();
            assert_eq!(all.get("who"), Some("me"));
            Ok(Bytes::from(context.peer()))
        }),
    );
    let who = pair.channel().raw_unary_unary("/test.Test/Who").unwrap();
    assert_eq!(who.header("who", "me").unwrap().call(&Bytes::new()).unwrap(), "memory:");
}

/// Longer than what a pipe holds, and than the first windows.
#[test]
fn messages_longer_than_the_pipe_come_across() {
    let pair = pair();
    let options = ServerOptions::default().max_receive_message_size(16 << 20);
    let builder = Pair::builder().service(service()).server(Server::builder().options(options));
    let channel = Channel::builder("long").max_receive_message_size(16 << 20);
    let long = builder.channel(channel).start().unwrap();
    let text = Bytes::from(pattern(10 << 20));
    let echo = long.channel().raw_unary_unary(ECHO).unwrap();
    assert_eq!(echo.call(&text).unwrap(), text);
    let echo = pair.channel().raw_unary_unary(ECHO).unwrap();
    assert_eq!(echo.call(&text).unwrap_err().code(), Code::ResourceExhausted, "by the default");
}

#[test]
fn many_threads_share_a_channel() {
    let pair = pair();
    std::thread::scope(|scope| {
        for n in 0..8u8 {
            let echo = pair.channel().raw_unary_unary(ECHO).unwrap();
            scope.spawn(move || {
                for turn in 0..200 {
                    let text = Bytes::from(vec![n; turn]);
                    assert_eq!(echo.call(&text).unwrap(), text);
                }
            });
        }
    });
}

/// A method that says that it runs, and then waits until its call is over.
fn patient() -> (Pair, mpsc::Receiver<bool>) {
    let (tell, told) = mpsc::channel();
    let wait = unary(move |_, context| {
        let _ = tell.send(true);
        eventually(LONG, "the call is over", || !context.is_active());
        let _ = tell.send(false);
        Ok(Bytes::new())
    });
    (pair_with("Wait", wait), told)
}

#[test]
fn a_deadline_ends_a_call_on_both_sides() {
    let (pair, told) = patient();
    let wait = pair.channel().raw_unary_unary("/test.Test/Wait").unwrap();
    let status = wait.timeout(Duration::from_millis(200)).call(&Bytes::new()).unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(told.recv_timeout(LONG).unwrap());
    assert!(!told.recv_timeout(LONG).unwrap(), "the handler is let go");
}

#[test]
fn the_channels_state_is_that_of_a_connection() {
    let pair = pair();
    let channel = pair.channel();
    assert_eq!(channel.state(false), Connectivity::Idle);
    channel.wait_ready(Some(LONG)).unwrap();
    assert_eq!(channel.state(false), Connectivity::Ready);
    assert!(pair.server().stop(Duration::from_secs(1)).wait(LONG).is_ok());
    assert!(channel.wait_for_state_change(Connectivity::Ready, Some(LONG)));
    let status = channel.raw_unary_unary(ECHO).unwrap().call(&Bytes::new()).unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("the server has stopped"), "{status}");
}

#[test]
fn a_stop_with_a_grace_lets_a_call_end_and_one_without_does_not() {
    for graceful in [true, false] {
        let (tell, told) = mpsc::channel();
        let (go, gone) = mpsc::channel::<()>();
        let gone = std::sync::Mutex::new(gone);
        let slow = unary(move |request, _| {
            tell.send(()).unwrap();
            let _ = gone.lock().unwrap().recv();
            Ok(request)
        });
        let pair = pair_with("Slow", slow);
        let slow = pair.channel().raw_unary_unary("/test.Test/Slow").unwrap();
        let mut future = slow.future(&Bytes::from_static(b"x"));
        told.recv_timeout(LONG).unwrap();
        let stopped = pair.server().stop(graceful.then_some(LONG));
        let result = if graceful {
            drop(go);
            future.result(Some(LONG)).map_err(Status::from)
        } else {
            let result = future.result(Some(LONG)).map_err(Status::from);
            drop(go);
            result
        };
        stopped.wait(LONG).unwrap();
        match result {
            Ok(answer) => assert!(graceful && answer == "x"),
            Err(status) => assert!(!graceful && status.code() == Code::Unavailable, "{status}"),
        }
    }
}

#[test]
fn a_server_may_be_started_later_and_have_many_channels() {
    let server = grpc_threads::server(grpc_threads::ThreadPool::new(2));
    server.add_service(service()).unwrap();
    let channels = [testing::channel(&server).unwrap(), testing::channel(&server).unwrap()];
    let echo = channels.each_ref().map(|channel| channel.raw_unary_unary(ECHO).unwrap());
    let early = echo[0].call(&Bytes::new()).unwrap_err();
    assert!(early.message().contains("has not been started"), "{early}");
    testing::start(&server).unwrap();
    channels[0].reset_connect_backoff();
    channels[0].wait_ready(Some(LONG)).unwrap();
    for echo in &echo {
        assert_eq!(echo.call(&Bytes::from_static(b"x")).unwrap(), "x");
    }
    let port = server.add_insecure_port("127.0.0.1:0").unwrap();
    let by_port = grpc_threads::insecure_channel(&format!("127.0.0.1:{port}")).unwrap();
    assert_eq!(by_port.raw_unary_unary(ECHO).unwrap().call(&Bytes::new()).unwrap(), "");
}

#[test]
fn what_is_wrong_is_told_by_the_start() {
    let twice = Pair::builder().service(service()).service(service()).start();
    assert!(matches!(twice, Err(ServeError::Config(_))), "{twice:?}");
    let named = testing::pair(Service::new(""));
    assert!(matches!(named, Err(ServeError::Config(_))), "{named:?}");
    let target = Pair::builder().channel(Channel::builder("")).start();
    assert!(matches!(target, Err(ServeError::Config(_))), "{target:?}");
    let local = Channel::builder("local").credentials(&local_channel_credentials());
    let pair = Pair::builder().service(service()).channel(local).start().unwrap();
    assert!(pair.channel().raw_unary_unary(ECHO).unwrap().call(&Bytes::new()).is_ok());
}

#[cfg(feature = "_tls")]
#[test]
fn credentials_of_tls_are_refused() {
    let roots = include_bytes!("../certs/ca.pem");
    let credentials = grpc_threads::ssl_channel_credentials(Some(roots), None, None).unwrap();
    let pair = pair();
    let error =
        testing::connect(pair.server(), Channel::builder("localhost").credentials(&credentials))
            .unwrap_err();
    assert_eq!(error.kind(), grpc_threads::ConfigErrorKind::Option);
}
