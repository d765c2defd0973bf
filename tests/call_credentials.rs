//! What calls prove: tokens and plugins, of one call and of a channel, over connections that may carry them.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use grpc_threads::{
    AuthMetadataContext, AuthMetadataReply, CallCredentials, CallOptions, Connectivity, UnaryUnary,
    access_token_call_credentials, composite_call_credentials, composite_channel_credentials,
    local_channel_credentials, local_server_credentials, metadata_call_credentials,
    metadata_call_credentials_later, secure_channel, stream_unary_rpc_method_handler_with,
};
use service::*;
use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use support::frames::{self, Listener};
use support::logged::{self, logged};
use support::{LONG, eventually, timed, within};

const WHO: &str = "/test.Test/Who";
const SHORT: Duration = Duration::from_millis(50);

/// What the calls to it proved: all values of `authorization`.
fn who(context: &ServicerContext) -> Bytes {
    let all = context.invocation_metadata().get_all("authorization");
    let all: Vec<_> = all.filter_map(|value| value.as_str()).collect();
    all.join(", ").into()
}

fn served() -> Served {
    let streamed = stream_unary_rpc_method_handler_with(
        |requests: RequestIterator<Bytes>, context: &ServicerContext| {
            requests.for_each(drop);
            Ok(who(context))
        },
        Raw,
        Raw,
    );
    let by_stream = grpc_threads::unary_stream_rpc_method_handler_with(
        |_: Bytes, context: &ServicerContext| Ok([Ok::<_, Status>(who(context))].into_iter()),
        Raw,
        Raw,
    );
    let both = by_hand(|stream, context| {
        stream.send(&who(context))?;
        while stream.recv()?.is_some() {}
        Ok(())
    });
    Served::with(
        4,
        [
            ("Who", unary(|_, context| Ok(who(context)))),
            ("Auth", unary(|_, context| Ok(format!("{:?}", context.auth_context()).into()))),
            ("Streamed", streamed),
            ("ByStream", by_stream),
            ("Both", both),
        ],
    )
}

/// A channel that may carry call credentials.
fn local(target: &str) -> Channel {
    secure_channel(target, &local_channel_credentials()).unwrap()
}

/// A server, and a channel that is connected to it.
fn connected() -> (Served, Channel) {
    let served = served();
    let channel = local(&served.target());
    channel.wait_ready(None).unwrap();
    (served, channel)
}

fn token(text: &str) -> CallCredentials {
    access_token_call_credentials(text).unwrap()
}

fn authorization(text: &str) -> Metadata {
    Metadata::new().with("authorization", text).unwrap()
}

/// A plugin that gives `plugin-1`, `plugin-2` and so on, and how often it was asked.
fn counting() -> (CallCredentials, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let credentials = metadata_call_credentials(move |_: &AuthMetadataContext| {
        let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
        Ok(authorization(&format!("plugin-{number}")))
    });
    (credentials, count)
}

/// A plugin that tells when it is asked, and answers when it is let.
fn held_up() -> (CallCredentials, Receiver<()>, Sender<()>) {
    let (told, asked) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let (told, gate) = (Mutex::new(told), Mutex::new(gate));
    let credentials = metadata_call_credentials(move |_: &AuthMetadataContext| {
        let _ = told.lock().unwrap().send(());
        let _ = gate.lock().unwrap().recv_timeout(LONG);
        Ok(authorization("late"))
    });
    (credentials, asked, go)
}

/// A plugin that answers later: what it is asked comes out.
fn later() -> (CallCredentials, Receiver<(AuthMetadataContext, AuthMetadataReply)>) {
    let (told, asked) = mpsc::channel();
    let told = Mutex::new(told);
    let credentials = metadata_call_credentials_later(move |context, reply| {
        told.lock().unwrap().send((context, reply)).unwrap();
    });
    (credentials, asked)
}

fn method(channel: &Channel) -> UnaryUnary<Bytes, Bytes> {
    channel.raw_unary_unary(WHO).unwrap()
}

/// A channel to a peer that runs `script`.
fn against(script: impl FnOnce(Listener) + Send + 'static) -> (Channel, JoinHandle<()>) {
    let listener = Listener::new();
    (local(&listener.target()), thread::spawn(move || script(listener)))
}

/// A peer by hand, and a channel that soon tries again when it is lost.
fn listener() -> (Listener, Channel) {
    let listener = Listener::new();
    let channel = Channel::builder(&listener.target())
        .credentials(&local_channel_credentials())
        .reconnect_backoff(SHORT, SHORT);
    (listener, channel.connect_lazily().unwrap())
}

#[test]
fn a_plugin_is_asked_once_for_a_call_of_each_kind() {
    within(LONG, || {
        let served = served();
        let channel = local(&served.target());
        let (plugin, count) = counting();
        let who = method(&channel).credentials(&plugin);
        let nothing = Bytes::new();
        assert_eq!(who.call(&nothing).unwrap(), "plugin-1");
        let (response, call) = who.with_call(&nothing).unwrap();
        assert_eq!((response, call.code()), ("plugin-2".into(), Code::Ok));
        assert_eq!(who.future(&nothing).result(None).unwrap(), "plugin-3");
        let (sender, told) = mpsc::channel();
        who.future(&nothing).on_result(move |result| sender.send(result).unwrap());
        assert_eq!(told.recv().unwrap().unwrap(), "plugin-4");

        let streamed =
            channel.raw_stream_unary("/test.Test/Streamed").unwrap().credentials(&plugin);
        assert_eq!(streamed.call([nothing.clone()]).unwrap(), "plugin-5");
        assert_eq!(streamed.future([nothing.clone()]).result(None).unwrap(), "plugin-6");

        let by_stream =
            channel.raw_unary_stream("/test.Test/ByStream").unwrap().credentials(&plugin);
        let mut responses = by_stream.call(&nothing).unwrap();
        assert_eq!(responses.recv().unwrap().unwrap(), "plugin-7");
        assert_eq!(responses.recv().unwrap(), None);

        let both = channel.raw_stream_stream("/test.Test/Both").unwrap().credentials(&plugin);
        let mut duplex = both.open();
        duplex.send(&nothing).unwrap();
        assert_eq!(duplex.recv().unwrap().unwrap(), "plugin-8");
        duplex.done_writing().unwrap();
        assert_eq!(duplex.recv().unwrap(), None);
        let mut spawned = both.spawn([nothing.clone()]);
        assert_eq!(spawned.recv().unwrap().unwrap(), "plugin-9");
        let mut exchange = both.call([nothing]);
        assert_eq!(exchange.recv().unwrap().unwrap(), "plugin-10");
        assert_eq!(exchange.recv().unwrap(), None);
        assert_eq!(count.load(Ordering::SeqCst), 10);
    });
}

#[test]
fn the_calls_own_metadata_comes_first_then_the_channels_credentials_then_the_calls() {
    within(LONG, || {
        let served = served();
        let (plugin, _) = counting();
        let local = composite_channel_credentials(&local_channel_credentials(), [token("one")]);
        let local = composite_channel_credentials(&local, [plugin]);
        let channel = secure_channel(&served.target(), &local).unwrap();
        let who = method(&channel);
        assert_eq!(who.call(&Bytes::new()).unwrap(), "Bearer one, plugin-1");
        let own = who.header("authorization", "own").unwrap();
        let last = composite_call_credentials([token("two"), token("three")]);
        let all = own.credentials(&last).timeout(LONG);
        let told = all.call(&Bytes::new()).unwrap();
        assert_eq!(told, "own, Bearer one, plugin-2, Bearer two, Bearer three");
        // Those of the call that are said later are said instead; options may be shared.
        let options = CallOptions::new().credentials(&token("four"));
        let told = all.options(&options).future(&Bytes::new()).result(None).unwrap();
        assert_eq!(told, "own, Bearer one, plugin-3, Bearer four");
        let told = all.options(&CallOptions::new().timeout(LONG)).call(&Bytes::new()).unwrap();
        assert_eq!(told, "own, Bearer one, plugin-4, Bearer two, Bearer three");
    });
}

#[test]
fn w69_a_token_goes_along_when_its_call_is_made_again() {
    within(LONG, || {
        let (channel, peer) = against(|listener| {
            let mut peer = listener.accept();
            for refused in [true, false, false] {
                let request = peer.wait_request();
                assert_eq!(request.field("authorization").as_deref(), Some("Bearer t"));
                match refused {
                    true => peer.reset(request.stream, frames::REFUSED_STREAM),
                    false => peer.respond(request.stream, b"yes"),
                }
            }
            peer.drain();
        });
        channel.wait_ready(Some(LONG)).unwrap();
        let who = method(&channel).credentials(&token("t"));
        assert_eq!(who.call(&Bytes::new()).unwrap(), "yes", "made once more with it");
        assert_eq!(who.future(&Bytes::new()).result(None).unwrap(), "yes");
        drop((channel, who));
        peer.join().unwrap();
    });
}

#[test]
fn over_an_insecure_channel_calls_with_credentials_fail_before_anything_is_done() {
    within(LONG, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let channel = service::channel(&listener.local_addr().unwrap().to_string());
        let (plugin, count) = counting();
        let refused = |status: Status| {
            assert_eq!(status.code(), Code::Unauthenticated, "{status}");
            let text = status.message();
            assert!(text.contains("insecure") && text.contains("secure_channel"), "{text}");
        };
        for credentials in [plugin, token("t")] {
            let who = method(&channel).credentials(&credentials).wait_for_ready(true);
            refused(who.call(&Bytes::new()).unwrap_err());
            refused(who.future(&Bytes::new()).result(None).unwrap_err().into());
            let streamed = channel.raw_stream_unary("/test.Test/Streamed").unwrap();
            refused(streamed.credentials(&credentials).call([Bytes::new()]).unwrap_err());
            let by_stream = channel.raw_unary_stream("/test.Test/ByStream").unwrap();
            let mut responses = by_stream.credentials(&credentials).call(&Bytes::new()).unwrap();
            refused(responses.recv().unwrap_err());
            let both = channel.raw_stream_stream("/test.Test/Both").unwrap();
            let mut duplex = both.credentials(&credentials).open();
            refused(duplex.send(&Bytes::new()).unwrap_err());
            refused(duplex.recv().unwrap_err());
        }
        assert_eq!(count.load(Ordering::SeqCst), 0);
        assert_eq!(channel.state(false), Connectivity::Idle);
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "nothing was connected");
    });
}

#[test]
fn w69_a_call_that_is_made_again_unseen_asks_again() {
    within(LONG, || {
        let (channel, peer) = against(|listener| {
            let mut peer = listener.accept();
            for (asked, last) in [(1, false), (2, true), (3, false), (4, true)] {
                let request = peer.wait_request();
                let expected = format!("plugin-{asked}");
                assert_eq!(request.field("authorization"), Some(expected));
                match last {
                    false => peer.reset(request.stream, frames::REFUSED_STREAM),
                    true => peer.respond(request.stream, b"yes"),
                }
            }
            peer.drain();
        });
        let (plugin, count) = counting();
        let who = method(&channel).credentials(&plugin);
        assert_eq!(who.call(&Bytes::new()).unwrap(), "yes");
        assert_eq!(who.future(&Bytes::new()).result(None).unwrap(), "yes");
        assert_eq!(count.load(Ordering::SeqCst), 4);
        drop((channel, who));
        peer.join().unwrap();
    });
}

#[test]
fn a_plugin_that_hangs_holds_nobody_beyond_the_deadline_and_no_starter_at_all() {
    within(LONG, || {
        let (_served, channel) = connected();
        let (plugin, asked, go) = held_up();
        let who = method(&channel).credentials(&plugin);
        let late = |status: Status| {
            assert_eq!(status.code(), Code::DeadlineExceeded);
            assert!(status.to_string().contains("waiting for its call credentials"), "{status}");
        };
        let (took, result) = timed(|| who.timeout(SHORT).call(&Bytes::new()));
        late(result.unwrap_err());
        assert!(took >= SHORT);
        let mut future = who.timeout(SHORT).future(&Bytes::new());
        late(future.result(None).unwrap_err().into());
        let by_stream = channel.raw_unary_stream("/test.Test/ByStream").unwrap();
        let by_stream = by_stream.credentials(&plugin).timeout(SHORT);
        late(by_stream.call(&Bytes::new()).unwrap().recv().unwrap_err());
        (0..3).for_each(|_| asked.recv().unwrap());

        // These wait without a bound of their own.
        let both = channel.raw_stream_stream("/test.Test/Both").unwrap().credentials(&plugin);
        let mut duplex = both.open();
        asked.recv().unwrap();
        assert!(matches!(duplex.try_send(&Bytes::new()), Err(ResultError::TimedOut)));
        assert!(matches!(duplex.recv_timeout(SHORT), Err(ResultError::TimedOut)));
        assert!(duplex.is_active() && duplex.peer().is_none());
        let mut cancelled = who.future(&Bytes::new());
        asked.recv().unwrap();
        assert!(cancelled.cancel());
        assert!(matches!(cancelled.result(None), Err(ResultError::Cancelled)));
        // Calls without credentials do not wait for those that have some.
        assert_eq!(method(&channel).timeout(LONG).call(&Bytes::new()).unwrap(), "");
        (0..5).for_each(|_| go.send(()).unwrap());
        assert_eq!(duplex.recv().unwrap().unwrap(), "late");
    });
}

#[test]
fn a_call_for_which_no_thread_is_free_to_ask_says_so() {
    within(LONG, || {
        let (_served, channel) = connected();
        let (plugin, asked, go) = held_up();
        let who = method(&channel).credentials(&plugin);
        let stuck: Vec<_> = (0..16).map(|_| who.future(&Bytes::new())).collect();
        (0..16).for_each(|_| asked.recv().unwrap());
        let status = who.timeout(SHORT).call(&Bytes::new()).unwrap_err();
        let words = "all 16 of the channel's are in plugins that have not come back";
        assert!(status.to_string().contains(words), "{status}");
        drop(stuck);
        (0..16).for_each(|_| go.send(()).unwrap());
    });
}

#[test]
fn the_channels_close_ends_calls_that_wait_for_their_credentials() {
    within(LONG, || {
        let served = served();
        for within in [None, Some(SHORT)] {
            let channel = local(&served.target());
            let (plugin, asked, _go) = held_up();
            let who = method(&channel).credentials(&plugin);
            let mut future = who.future(&Bytes::new());
            let blocked = thread::spawn(move || who.call(&Bytes::new()));
            (0..2).for_each(|_| asked.recv().unwrap());
            match within {
                None => channel.close(),
                Some(grace) => channel.close_within(grace),
            }
            let status = blocked.join().unwrap().unwrap_err();
            assert_eq!((status.code(), status.message()), (Code::Cancelled, "Channel closed!"));
            assert!(future.result(None).is_err());
        }
    });
}

#[test]
fn a_plugin_is_asked_when_there_is_a_connection_and_not_before() {
    within(LONG, || {
        let (listener, channel) = listener();
        let (plugin, count) = counting();
        let who = method(&channel).credentials(&plugin).wait_for_ready(true);
        let mut future = who.future(&Bytes::new());
        // A peer that says nothing is no connection yet.
        let silent = listener.accept_raw();
        assert_eq!(count.load(Ordering::SeqCst), 0);
        drop(silent);
        let mut peer = listener.accept();
        let request = peer.wait_request();
        assert_eq!(request.field("authorization").as_deref(), Some("plugin-1"));
        peer.respond(request.stream, b"yes");
        assert_eq!(future.result(Some(LONG)).unwrap(), "yes");
        assert_eq!(count.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_connection_that_is_lost_while_a_plugin_is_asked_costs_a_second_question() {
    within(LONG, || {
        let (listener, channel) = listener();
        let (plugin, asked, go) = held_up();
        let who = method(&channel).credentials(&plugin).wait_for_ready(true);
        let mut future = who.future(&Bytes::new());
        let first = listener.accept();
        asked.recv().unwrap();
        drop(first);
        while channel.state(false) == Connectivity::Ready {
            let _ = channel.wait_for_state_change(Connectivity::Ready, Some(LONG));
        }
        go.send(()).unwrap();
        let mut peer = listener.accept();
        // The next connection may come much later, and what was given be out of date.
        asked.recv().unwrap();
        go.send(()).unwrap();
        let request = peer.wait_request();
        assert_eq!(request.field("authorization").as_deref(), Some("late"));
        peer.respond(request.stream, b"yes");
        assert_eq!(future.result(Some(LONG)).unwrap(), "yes");
    });
}

#[test]
fn a_plugin_may_answer_later_from_any_thread_or_at_once() {
    within(LONG, || {
        let served = served();
        let channel = local(&served.target());
        let (plugin, asked) = later();
        let who = method(&channel).credentials(&plugin);
        let mut first = who.future(&Bytes::new());
        let mut second = who.future(&Bytes::new());
        let (context, reply) = asked.recv().unwrap();
        assert_eq!(context.service_url(), format!("https://{}/test.Test", served.target()));
        assert_eq!(context.method_name(), "Who");
        let (_, other) = asked.recv().unwrap();
        assert!(matches!(first.result(Some(SHORT)), Err(ResultError::TimedOut)));
        other.send(Ok(authorization("other")));
        reply.send(Ok(authorization("reply")));
        let mut both = [first.result(None).unwrap(), second.result(None).unwrap()];
        both.sort();
        assert_eq!(both, ["other", "reply"]);

        let at_once = metadata_call_credentials_later(|_, reply: AuthMetadataReply| {
            reply.send(Ok(authorization("at once")));
        });
        let (plugin, _) = counting();
        let all = composite_call_credentials([at_once.clone(), plugin, at_once, token("t")]);
        let told = method(&channel).credentials(&all).call(&Bytes::new()).unwrap();
        assert_eq!(told, "at once, plugin-1, at once, Bearer t");
    });
}

#[test]
fn an_answer_for_a_call_that_has_ended_is_dropped() {
    within(LONG, || {
        let served = served();
        let channel = local(&served.target());
        let (plugin, asked) = later();
        let who = method(&channel).credentials(&plugin);
        let mut future = who.future(&Bytes::new());
        let (_, reply) = asked.recv().unwrap();
        future.cancel();
        reply.send(Ok(authorization("late")));
        assert!(matches!(future.result(None), Err(ResultError::Cancelled)));
        drop((future, who, channel));
    });
}

#[test]
fn what_goes_wrong_in_a_plugin_ends_its_call_alone() {
    within(LONG, || {
        let served = served();
        let channel = local(&served.target());
        let fails = |credentials: &CallCredentials| {
            let who = method(&channel).credentials(credentials);
            let status = who.call(&Bytes::new()).unwrap_err();
            let future = who.future(&Bytes::new()).result(None).unwrap_err();
            assert_eq!(Status::from(future).code(), status.code());
            let text = status.message().to_owned();
            assert!(text.contains("call credentials"), "{text}");
            (status.code(), text)
        };
        let plugin = |status: Status| {
            metadata_call_credentials(move |_: &AuthMetadataContext| Err(status.clone()))
        };
        let (code, text) = fails(&plugin(Status::unavailable("no token today")));
        assert_eq!(code, Code::Unavailable);
        assert!(text.ends_with("gave no metadata: no token today"), "{text}");
        // gRFC A54: such a code would be taken for the handler's.
        let (code, text) = fails(&plugin(Status::not_found("no such account")));
        assert_eq!(code, Code::Internal);
        assert!(text.ends_with("NOT_FOUND: no such account"), "{text}");
        assert_eq!(fails(&plugin(Status::cancelled("no"))).0, Code::Cancelled);

        let panics = metadata_call_credentials(|_: &AuthMetadataContext| panic!("a plugin's"));
        let (code, text) = fails(&panics);
        assert_eq!(code, Code::Unavailable);
        assert!(text.ends_with("the plugin panicked"), "{text}");
        let panics = metadata_call_credentials_later(|_, _reply| panic!("a plugin's"));
        assert!(fails(&panics).1.ends_with("the plugin panicked"));
        let drops = metadata_call_credentials_later(|_, _| {});
        let (code, text) = fails(&drops);
        assert_eq!(code, Code::Unavailable);
        assert!(text.contains("dropped its reply without an answer"), "{text}");
        let illegal = metadata_call_credentials(|_: &AuthMetadataContext| {
            Ok(Metadata::new().with("bad key", "s")?)
        });
        let (code, text) = fails(&illegal);
        assert_eq!(code, Code::Internal);
        assert!(text.contains("\"bad key\""), "{text}");

        // The first that fails decides, and those behind it are not asked.
        let (counted, count) = counting();
        let no = plugin(Status::permission_denied("no"));
        let both = composite_call_credentials([no, counted]);
        assert_eq!(fails(&both).0, Code::PermissionDenied);
        assert_eq!(count.load(Ordering::SeqCst), 0);
        assert_eq!(method(&channel).call(&Bytes::new()).unwrap(), "");
    });
}

#[test]
fn a_cancelled_of_the_plugins_is_no_cancel_of_the_callers() {
    within(LONG, || {
        let served = served();
        let plugin =
            metadata_call_credentials(|_: &AuthMetadataContext| Err(Status::cancelled("x")));
        let mut future =
            method(&local(&served.target())).credentials(&plugin).future(&Bytes::new());
        assert!(matches!(future.result(None), Err(ResultError::Rpc(_))));
        assert!(!future.cancelled());
    });
}

#[test]
fn a_crowd_that_waits_for_one_token_takes_few_threads() {
    within(LONG, || {
        let (_served, channel) = connected();
        let (go, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let threads = Arc::new(Mutex::new(HashSet::new()));
        let (met, asked) = (threads.clone(), Arc::new(AtomicUsize::new(0)));
        let count = asked.clone();
        let plugin = metadata_call_credentials(move |_: &AuthMetadataContext| {
            met.lock().unwrap().insert(thread::current().id());
            count.fetch_add(1, Ordering::SeqCst);
            let _ = gate.lock().unwrap().recv();
            Ok(authorization("late"))
        });
        let who = method(&channel).credentials(&plugin);
        let futures: Vec<_> = (0..200).map(|_| who.future(&Bytes::new())).collect();
        eventually(LONG, "as many ask as may", || asked.load(Ordering::SeqCst) == 16);
        let (some, others): (Vec<_>, Vec<_>) =
            futures.into_iter().enumerate().partition(|(number, _)| number % 4 == 0);
        others.into_iter().for_each(|(_, future)| assert!(future.cancel()));
        drop(go);
        for (_, mut future) in some {
            assert_eq!(future.result(None).unwrap(), "late");
        }
        assert_eq!(threads.lock().unwrap().len(), 16);
        // 50 that were wanted, and at most 15 that were under way when they were cancelled.
        let asked = asked.load(Ordering::SeqCst);
        assert!((50..=65).contains(&asked), "{asked}: what is cancelled is not asked for");
    });
}

#[test]
fn thirty_two_channels_on_as_many_threads_share_a_plugin() {
    within(LONG, || {
        let (count, served) = (Arc::new(AtomicUsize::new(0)), served());
        let counted = count.clone();
        let plugin = metadata_call_credentials(move |_: &AuthMetadataContext| {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(authorization("shared"))
        });
        let secure = composite_channel_credentials(&local_channel_credentials(), [plugin]);
        let together = Arc::new(Barrier::new(32));
        let threads: Vec<_> = (0..32)
            .map(|_| {
                let who = method(&secure_channel(&served.target(), &secure).unwrap());
                let together = together.clone();
                thread::spawn(move || {
                    together.wait();
                    for _ in 0..32 {
                        assert_eq!(who.call(&Bytes::new()).unwrap(), "shared");
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(count.load(Ordering::SeqCst), 32 * 32);
    });
}

#[test]
fn a_plugin_may_make_calls_itself() {
    within(LONG, || {
        let served = served();
        let channel = local(&served.target());
        let inner = method(&channel).credentials(&token("inner"));
        let plugin = metadata_call_credentials(move |_: &AuthMetadataContext| {
            let text = inner.timeout(LONG).call(&Bytes::new())?;
            Ok(authorization(std::str::from_utf8(&text).unwrap()))
        });
        let who = method(&channel).credentials(&plugin);
        assert_eq!(who.call(&Bytes::new()).unwrap(), "Bearer inner");
    });
}

#[test]
fn answers_cancels_deadlines_and_a_close_at_once_leave_no_call_without_an_end() {
    within(LONG * 3, || {
        let served = served();
        for round in 0..20_u64 {
            let channel = local(&served.target());
            channel.wait_ready(None).unwrap();
            let (plugin, asked) = later();
            let (counted, _) = counting();
            let both = composite_call_credentials([plugin, counted]);
            let who = method(&channel).credentials(&both);
            let answering = thread::spawn(move || {
                for (_, reply) in asked {
                    reply.send(Ok(authorization("a")));
                }
            });
            let timed = who.timeout(Duration::from_micros(300 * round));
            let calls = |who: &UnaryUnary<Bytes, Bytes>| {
                (0..20).map(|_| who.future(&Bytes::new())).collect::<Vec<_>>()
            };
            let (kept, cancelled, late) = (calls(&who), calls(&who), calls(&timed));
            let (blocked, closing) = (who.clone(), channel.clone());
            let blocked = thread::spawn(move || blocked.call(&Bytes::new()).map(drop));
            let cancelling = thread::spawn(move || {
                cancelled.into_iter().filter(|future| future.cancel()).count()
            });
            if round % 2 == 1 {
                closing.close();
            }
            for mut future in late.into_iter().chain(kept) {
                match future.result(None) {
                    Ok(told) => assert!(told.starts_with(b"a, plugin-"), "{told:?}"),
                    Err(error) => match Status::from(error).code() {
                        Code::Cancelled => assert_eq!(round % 2, 1, "nobody closes it"),
                        code => assert_eq!(code, Code::DeadlineExceeded),
                    },
                }
            }
            let _ = blocked.join().unwrap();
            cancelling.join().unwrap();
            drop((channel, closing, who, timed, both));
            answering.join().unwrap();
        }
    });
}

/// Tells where its last hold went.
struct LastHold(Sender<Option<String>>);

impl Drop for LastHold {
    fn drop(&mut self) {
        let _ = self.0.send(thread::current().name().map(str::to_owned));
    }
}

#[test]
fn a_plugin_is_dropped_by_no_thread_that_reads_connections() {
    within(LONG, || {
        let (channel, peer) = against(|listener| {
            let mut peer = listener.accept();
            let request = peer.wait_request();
            peer.respond(request.stream, b"yes");
            peer.drain();
        });
        let (sender, told) = mpsc::channel();
        let hold = LastHold(sender);
        let plugin = metadata_call_credentials(move |_: &AuthMetadataContext| {
            let _ = &hold;
            Ok(Metadata::new())
        });
        let who = method(&channel).credentials(&plugin);
        let call = who.future(&Bytes::new()).detach();
        drop((plugin, who, channel));
        assert_eq!(call.code(), Code::Ok);
        assert_eq!(told.recv().unwrap().as_deref(), Some("grpc-notifier"));
        peer.join().unwrap();
    });
}

#[test]
fn local_credentials_are_for_loopback_addresses_alone() {
    within(LONG, || {
        let channel = local("ipv4:192.0.2.1:50051");
        let status = method(&channel).timeout(LONG).call(&Bytes::new()).unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        let text = status.message();
        assert!(text.contains("192.0.2.1:50051") && text.contains("loopback"), "{text}");

        let served = served();
        let port = served.server.add_secure_port("0.0.0.0:0", &local_server_credentials()).unwrap();
        for target in
            [format!("ipv4:192.0.2.1:{port},127.0.0.1:{port}"), format!("localhost:{port}")]
        {
            let who = method(&local(&target)).credentials(&token("t")).timeout(LONG);
            assert_eq!(who.call(&Bytes::new()).unwrap(), "Bearer t", "{target}");
        }
        // As grpc tells it.
        let told = local(&format!("localhost:{port}")).raw_unary_unary("/test.Test/Auth").unwrap();
        let told = told.timeout(LONG).call(&Bytes::new()).unwrap();
        assert_eq!(
            told,
            r#"{"transport_security_type": [b"local"], "security_level": [b"TSI_PRIVACY_AND_INTEGRITY"]}"#
        );
        // From an address of this machine that is not a loopback one, as from another machine.
        if let Some(own) = own_address(port) {
            let channel = service::channel(&own.to_string());
            let status = method(&channel).timeout(LONG).call(&Bytes::new()).unwrap_err();
            assert_eq!(status.code(), Code::Unavailable, "{status}");
        }
    });
}

/// An address of this machine that others would use. Nothing is sent.
fn own_address(port: u16) -> Option<SocketAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback()).then(|| SocketAddr::new(ip, port))
}

#[test]
fn tokens_are_told_to_servers_and_to_nobody_else() {
    logged::listen(log::LevelFilter::Trace);
    within(LONG, || {
        const SECRET: &str = "s3cr3t-of-this-test";
        let served = served();
        let plugin = metadata_call_credentials(|_: &AuthMetadataContext| Ok(authorization(SECRET)));
        let credentials = composite_call_credentials([token(SECRET), plugin]);
        let secure =
            composite_channel_credentials(&local_channel_credentials(), [credentials.clone()]);
        let builder = Channel::builder(&served.target()).credentials(&secure);
        let mut told = vec![format!("{builder:?} {secure:?} {credentials:?}")];
        let channel = builder.connect_lazily().unwrap();
        let options = CallOptions::new().credentials(&credentials);
        let who = method(&channel).options(&options);
        let mut future = who.future(&Bytes::new());
        told.push(format!("{channel:?} {options:?} {who:?} {future:?}"));
        let all = format!("Bearer {SECRET}, {SECRET}, Bearer {SECRET}, {SECRET}");
        assert_eq!(future.result(None).unwrap(), all);
        let (response, call) = who.with_call(&Bytes::new()).unwrap();
        assert_eq!(response, all);
        told.push(format!("{call:?} {:?}", call.status()));
        let fails = channel.raw_unary_unary(FAIL).unwrap().credentials(&credentials);
        let status = fails.call(&Bytes::from_static(b"13 no")).unwrap_err();
        told.push(format!("{status:?} {status} {}", status.debug_error_string()));
        let unknown = channel.raw_unary_unary("/test.Test/None").unwrap();
        told.push(format!("{:?}", unknown.credentials(&credentials).call(&Bytes::new())));
        let insecure = method(&service::channel(&served.target())).credentials(&credentials);
        told.push(format!("{:?}", insecure.call(&Bytes::new())));
        let odd = format!("{SECRET}\u{7}");
        told.push(format!("{:?}", access_token_call_credentials(&odd)));
        let odd = metadata_call_credentials(move |_: &AuthMetadataContext| {
            Ok(Metadata::new().with("authorization", &odd)?)
        });
        told.push(format!("{:?}", method(&channel).credentials(&odd).call(&Bytes::new())));
        channel.close();
        drop((channel, served));
        assert!(logged(&["is SHUTDOWN"]), "the log is told of what the channel does");
        told.extend(logged::lines());
        let leaked: Vec<_> = told.iter().filter(|line| line.contains("s3cr3t")).collect();
        assert!(leaked.is_empty(), "{leaked:?}");
    });
}

#[cfg(feature = "_tls")]
#[test]
fn over_tls_calls_of_each_kind_prove_what_they_should() {
    use grpc_threads::{ssl_channel_credentials, ssl_server_credentials};
    within(LONG, || {
        let served = served();
        let (key, chain) = (include_bytes!("certs/server.key"), include_bytes!("certs/server.pem"));
        let credentials = ssl_server_credentials(&[(key, chain)], None, false).unwrap();
        let port = served.server.add_secure_port("127.0.0.1:0", &credentials).unwrap();
        let trusted =
            ssl_channel_credentials(Some(include_bytes!("certs/ca.pem")), None, None).unwrap();
        let secure = composite_channel_credentials(&trusted, [token("channel")]);
        let channel = secure_channel(&format!("localhost:{port}"), &secure).unwrap();
        let url = metadata_call_credentials(|context: &AuthMetadataContext| {
            Ok(authorization(&format!("{} {}", context.service_url(), context.method_name())))
        });
        let expected =
            |method: &str| format!("Bearer channel, https://localhost:{port}/test.Test {method}");
        let who = method(&channel).credentials(&url);
        assert_eq!(who.call(&Bytes::new()).unwrap(), expected("Who"));
        assert_eq!(who.future(&Bytes::new()).result(None).unwrap(), expected("Who"));
        let both = channel.raw_stream_stream("/test.Test/Both").unwrap().credentials(&url);
        assert_eq!(both.spawn([Bytes::new()]).recv().unwrap().unwrap(), expected("Both"));
        let by_stream = channel.raw_unary_stream("/test.Test/ByStream").unwrap().credentials(&url);
        let answers: Vec<_> = by_stream.call(&Bytes::new()).unwrap().map(Result::unwrap).collect();
        assert_eq!(answers, [expected("ByStream")]);
        let streamed = channel.raw_stream_unary("/test.Test/Streamed").unwrap().credentials(&url);
        assert_eq!(streamed.call([Bytes::new()]).unwrap(), expected("Streamed"));
        let plain = method(&channel);
        assert_eq!(plain.call(&Bytes::new()).unwrap(), "Bearer channel");
        let two = composite_call_credentials([token("abc"), token("def")]);
        let all = "Bearer channel, Bearer abc, Bearer def";
        assert_eq!(plain.credentials(&two).call(&Bytes::new()).unwrap(), all);
    });
}
