use std::sync::Arc;

use bytes::Bytes;
use grpc_threads::{
    Cardinality, Prost, Raw, RequestIterator, ServerStream, ServicerContext, Status,
    stream_rpc_method_handler_with, stream_stream_rpc_method_handler_with,
    stream_unary_rpc_method_handler_with, unary_stream_rpc_method_handler_of,
    unary_stream_rpc_method_handler_with, unary_unary_rpc_method_handler,
};

use crate::common::{
    INTERNAL, NO_ERROR, NOT_FOUND, OK, Pair, RESOURCE_EXHAUSTED, UNIMPLEMENTED, echo, gate, service,
};
use crate::support::frames::{DATA, HEADERS, message};

#[test]
fn w45_a_unary_answer_is_head_message_and_status() {
    let mut pair = Pair::of(2, service().method("Echo", echo()));
    for body in [&b"hello"[..], b"", &[7; 16_000]] {
        let ended = pair.call("Echo", body);
        assert_eq!(ended.headers.len(), 2);
        assert_eq!(ended.head(":status").as_deref(), Some("200"));
        assert!(ended.head("content-type").unwrap().starts_with("application/grpc"));
        assert_eq!(ended.messages(), [body]);
        assert_eq!((ended.status(), ended.reset), (OK, None));
    }
}

#[test]
fn prost_messages_are_the_default() {
    let double = unary_unary_rpc_method_handler(|n: u32, _: &ServicerContext| Ok(n * 2));
    let mut pair = Pair::of(1, service().method("Double", double));
    let ended = pair.call("Double", &[0x08, 21]);
    assert_eq!((ended.messages(), ended.status()), (vec![vec![0x08, 42]], OK));
    // W39: bytes that are no such message.
    let ended = pair.call("Double", &[0x0a, 0xff]);
    assert_eq!((ended.headers.len(), ended.status()), (1, INTERNAL));
}

#[test]
fn w41_exactly_one_request_message() {
    let mut pair = Pair::of(1, service().method("Echo", echo()));
    let none = pair.peer.open("/test.Test/Echo", &[]);
    pair.peer.data(none, b"", true);
    assert_eq!(pair.peer.wait_end(none).status(), UNIMPLEMENTED);
    let two = pair.peer.open("/test.Test/Echo", &[]);
    pair.peer.message(two, b"one", false);
    pair.peer.message(two, b"two", true);
    assert_eq!(pair.peer.wait_end(two).status(), UNIMPLEMENTED);
    // W39: half a message.
    let half = pair.peer.open("/test.Test/Echo", &[]);
    pair.peer.data(half, &message(b"half")[..7], true);
    assert_eq!(pair.peer.wait_end(half).status(), INTERNAL);
    assert_eq!(pair.call("Echo", b"x").status(), OK);
}

#[test]
fn w38_limits_hold_for_method_service_and_server() {
    let service = service()
        .max_receive_message_size(100)
        .max_send_message_size(50)
        .method("Echo", echo())
        .method("Large", echo().max_receive_message_size(200).max_send_message_size(200));
    let mut pair = Pair::of(1, service);
    assert_eq!(pair.call("Echo", &[0; 50]).status(), OK);
    assert_eq!(pair.call("Echo", &[0; 51]).status(), RESOURCE_EXHAUSTED);
    assert_eq!(pair.call("Echo", &[0; 101]).status(), RESOURCE_EXHAUSTED);
    assert_eq!(pair.call("Large", &[0; 200]).status(), OK);
    assert_eq!(pair.call("Large", &[0; 201]).status(), RESOURCE_EXHAUSTED);
}

#[test]
fn w38_a_stream_of_requests_ends_at_the_one_that_is_too_long() {
    let count = stream_unary_rpc_method_handler_with(
        |requests: RequestIterator<Bytes>, _: &ServicerContext| {
            let all = requests.collect::<Result<Vec<_>, _>>()?;
            Ok(Bytes::from(vec![all.len() as u8]))
        },
        Raw,
        Raw,
    );
    let mut pair = Pair::of(1, service().method("Count", count.max_receive_message_size(10)));
    for end in [false, true] {
        let stream = pair.peer.open("/test.Test/Count", &[]);
        pair.peer.message(stream, &[0; 10], false);
        pair.peer.message(stream, &[0; 11], end);
        assert_eq!(pair.peer.wait_end(stream).status(), RESOURCE_EXHAUSTED);
    }
    assert_eq!(pair.call("Count", &[0; 10]).messages(), [vec![1]]);
}

#[test]
fn a_stream_of_responses_ends_with_the_status() {
    let count = unary_stream_rpc_method_handler_with(
        |up_to: Bytes, _: &ServicerContext| Ok((0..up_to[0]).map(|n| Ok(Bytes::from(vec![n])))),
        Raw,
        Raw,
    );
    let broken = unary_stream_rpc_method_handler_with(
        |_: Bytes, _: &ServicerContext| {
            Ok([Ok(Bytes::from_static(b"a")), Err(Status::not_found("no b"))])
        },
        Raw,
        Raw,
    );
    let refused = unary_stream_rpc_method_handler_with(
        |_: Bytes, _: &ServicerContext| {
            Err::<std::iter::Empty<Result<Bytes, Status>>, _>(Status::not_found("nothing"))
        },
        Raw,
        Raw,
    );
    let service =
        service().method("Count", count).method("Broken", broken).method("Refused", refused);
    let mut pair = Pair::of(1, service);
    let ended = pair.call("Count", &[200]);
    assert_eq!(ended.messages(), (0..200).map(|n| vec![n]).collect::<Vec<_>>());
    assert_eq!(ended.status(), OK);
    assert_eq!(pair.call("Count", &[0]).status(), OK);
    let ended = pair.call("Broken", b"");
    assert_eq!((ended.messages(), ended.status()), (vec![b"a".to_vec()], NOT_FOUND));
    // W46: an immediate error is trailers-only.
    let ended = pair.call("Refused", b"");
    assert_eq!((ended.headers.len(), ended.status()), (1, NOT_FOUND));
}

struct Words(Vec<&'static str>);

impl Words {
    fn list(
        &self,
        prefix: Bytes,
        context: &ServicerContext,
    ) -> Result<impl Iterator<Item = Result<Bytes, Status>>, Status> {
        let method = context.method();
        Ok(self.0.iter().map(move |word| {
            let text = format!("{}{word}{}", String::from_utf8_lossy(&prefix), method.len());
            Ok(Bytes::from(text))
        }))
    }
}

#[test]
fn responses_may_borrow_the_service_and_the_context() {
    let words = Arc::new(Words(vec!["a", "b"]));
    let list = unary_stream_rpc_method_handler_of(words, Words::list, Raw, Raw);
    let mut pair = Pair::of(1, service().method("List", list));
    let ended = pair.call("List", b"-");
    assert_eq!(ended.messages(), [b"-a15".to_vec(), b"-b15".to_vec()]);
}

#[test]
fn a_stream_of_requests_is_an_iterator() {
    let join = stream_unary_rpc_method_handler_with(
        |requests: RequestIterator<Bytes>, _: &ServicerContext| {
            let parts = requests.collect::<Result<Vec<_>, _>>()?;
            Ok(Bytes::from(parts.concat()))
        },
        Raw,
        Raw,
    );
    let mut pair = Pair::of(1, service().method("Join", join));
    let stream = pair.peer.open("/test.Test/Join", &[]);
    for part in [&b"a"[..], b"", b"bc"] {
        pair.peer.message(stream, part, false);
    }
    pair.peer.data(stream, b"", true);
    let ended = pair.peer.wait_end(stream);
    assert_eq!((ended.messages(), ended.status()), (vec![b"abc".to_vec()], OK));
    let empty = pair.peer.open("/test.Test/Join", &[]);
    pair.peer.data(empty, b"", true);
    assert_eq!(pair.peer.wait_end(empty).messages(), [b"".to_vec()]);
}

#[test]
fn streams_both_ways_answer_while_the_client_still_sends() {
    let echo = stream_stream_rpc_method_handler_with(
        |requests: RequestIterator<Bytes>, _: &ServicerContext| Ok(requests),
        Raw,
        Raw,
    );
    let mut pair = Pair::of(1, service().method("Echo", echo));
    let stream = pair.peer.open("/test.Test/Echo", &[]);
    for n in 0..10 {
        pair.peer.message(stream, &[n], false);
        let data = pair.peer.wait_for(|frame| frame.kind == DATA && frame.stream == stream);
        assert_eq!(data.payload, message(&[n]));
    }
    pair.peer.data(stream, b"", true);
    assert_eq!(pair.peer.wait_end(stream).status(), OK);
}

#[test]
fn w55_an_early_answer_is_followed_by_a_reset_without_error() {
    let first = stream_unary_rpc_method_handler_with(
        |mut requests: RequestIterator<Bytes>, _: &ServicerContext| {
            requests.next().unwrap_or(Ok(Bytes::new()))
        },
        Raw,
        Raw,
    );
    let mut pair = Pair::of(1, service().method("First", first));
    let stream = pair.peer.open("/test.Test/First", &[]);
    pair.peer.message(stream, b"only", false);
    let ended = pair.peer.wait_end(stream);
    assert_eq!((ended.messages(), ended.status()), (vec![b"only".to_vec()], OK));
    let reset = pair.peer.wait_for(|frame| frame.stream == stream && frame.kind == 3);
    assert_eq!(reset.code(), NO_ERROR);
    pair.peer.assert_alive();
}

#[test]
fn a_handler_by_hand_serves_every_cardinality() {
    let by_hand = |cardinality| {
        stream_rpc_method_handler_with(
            cardinality,
            |stream: &mut ServerStream<Bytes, Bytes>, _: &ServicerContext| {
                let mut last = Bytes::new();
                while let Some(request) = stream.recv()? {
                    last = request;
                }
                stream.send(&last)
            },
            Raw,
            Raw,
        )
    };
    use Cardinality::{StreamStream, StreamUnary, UnaryStream, UnaryUnary};
    let kinds = [UnaryUnary, UnaryStream, StreamUnary, StreamStream];
    let service = kinds
        .into_iter()
        .fold(service(), |service, kind| service.method(format!("{kind:?}"), by_hand(kind)));
    let mut pair = Pair::of(1, service);
    for kind in kinds {
        let ended = pair.call(&format!("{kind:?}"), b"last");
        assert_eq!((ended.messages(), ended.status()), (vec![b"last".to_vec()], OK), "{kind:?}");
    }
    let stream = pair.peer.open("/test.Test/UnaryUnary", &[]);
    pair.peer.message(stream, b"one", false);
    pair.peer.message(stream, b"two", true);
    assert_eq!(pair.peer.wait_end(stream).status(), UNIMPLEMENTED);
}

#[test]
fn a_handler_by_hand_gives_as_many_responses_as_its_cardinality_says() {
    let times = |times| {
        stream_rpc_method_handler_with(
            Cardinality::UnaryUnary,
            move |stream: &mut ServerStream<Bytes, Bytes>, _: &ServicerContext| {
                (0..times).try_for_each(|_| stream.send(&Bytes::new()))
            },
            Raw,
            Raw,
        )
    };
    let service = service().method("None", times(0)).method("Two", times(2));
    let mut pair = Pair::of(1, service);
    assert_eq!(pair.call("None", b"").status(), INTERNAL);
    assert_eq!(pair.call("Two", b"").status(), INTERNAL);
}

#[test]
fn a_detached_stream_frees_its_worker_and_ends_when_it_is_finished() {
    let (streams, detached) = std::sync::mpsc::sync_channel(1);
    let later = stream_rpc_method_handler_with(
        Cardinality::UnaryUnary,
        move |stream: &mut ServerStream<Bytes, Bytes>, _: &ServicerContext| {
            let _ = streams.send(stream.detach());
            Ok(())
        },
        Raw,
        Raw,
    );
    let mut pair = Pair::of(1, service().method("Later", later).method("Echo", echo()));
    let stream = pair.peer.request("/test.Test/Later", b"ask");
    let mut held = detached.recv_timeout(crate::support::LONG).unwrap();
    // The only worker is free.
    assert_eq!(pair.call("Echo", b"").status(), OK);
    assert!(held.context().is_active());
    let request = held.recv().unwrap().unwrap();
    held.send(&request).unwrap();
    held.finish(Ok(()));
    let ended = pair.peer.wait_end(stream);
    assert_eq!((ended.messages(), ended.status()), (vec![b"ask".to_vec()], OK));
    // Dropped without an end: cancelled.
    let stream = pair.peer.request("/test.Test/Later", b"ask");
    drop(detached.recv_timeout(crate::support::LONG).unwrap());
    assert_eq!(pair.peer.wait_end(stream).reset, Some(crate::common::CANCEL));
}

#[test]
fn a_slow_sender_holds_no_worker() {
    let mut pair = Pair::of(1, service().method("Echo", echo()));
    let slow = pair.peer.open("/test.Test/Echo", &[]);
    pair.peer.data(slow, &message(b"slow")[..3], false);
    assert_eq!(pair.call("Echo", b"quick").messages(), [b"quick".to_vec()]);
    pair.peer.data(slow, &message(b"slow")[3..], true);
    assert_eq!(pair.peer.wait_end(slow).messages(), [b"slow".to_vec()]);
}

#[test]
fn many_calls_share_a_connection_while_one_handler_blocks() {
    let (waiting, keeper) = gate();
    let wait = crate::common::unary(move |request, _| {
        waiting.pass();
        Ok(request)
    });
    let mut pair = Pair::of(2, service().method("Wait", wait).method("Echo", echo()));
    let blocked = pair.peer.request("/test.Test/Wait", b"");
    keeper.wait();
    for n in 0..100_u8 {
        assert_eq!(pair.call("Echo", &[n]).messages(), [vec![n]]);
    }
    keeper.open.send(()).unwrap();
    assert_eq!(pair.peer.wait_end(blocked).status(), OK);
}

#[test]
fn initial_metadata_goes_out_when_it_is_sent_and_only_once() {
    let (waiting, keeper) = gate();
    let early = crate::common::unary(move |request, context| {
        let metadata = grpc_threads::Metadata::new().with("early", "yes")?;
        context.send_initial_metadata(&metadata)?;
        assert!(context.send_initial_metadata(&metadata).is_err());
        waiting.pass();
        Ok(request)
    });
    let mut pair = Pair::of(1, service().method("Early", early));
    let stream = pair.peer.request("/test.Test/Early", b"x");
    keeper.wait();
    let head = pair.peer.wait_for(|frame| frame.kind == HEADERS && frame.stream == stream);
    assert_eq!(head.field("early").as_deref(), Some("yes"));
    assert!(!head.ends_stream());
    keeper.open.send(()).unwrap();
    let ended = pair.peer.wait_end(stream);
    assert_eq!((ended.messages(), ended.status()), (vec![b"x".to_vec()], OK));
}

#[test]
fn codecs_may_differ_between_request_and_response() {
    let count = grpc_threads::unary_unary_rpc_method_handler_with(
        |text: String, _: &ServicerContext| Ok(Bytes::from(text.len().to_string())),
        Prost,
        Raw,
    );
    let mut pair = Pair::of(1, service().method("Count", count));
    assert_eq!(pair.call("Count", b"\x0a\x03abc").messages(), [b"3".to_vec()]);
}
