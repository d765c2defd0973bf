//! What a client says, sends and takes.

use crate::service::{BIDI, Code, ECHO, SUM, Status};
use crate::support::LONG;
use crate::support::frames::{DATA, Ended, Listener, Peer, message};
use crate::{broken_gzip, flagged, gunzip, gzip, messages, noise, raw_deflate, text, zlib};
use bytes::Bytes;
use grpc_threads::{
    CallFuture, CallOptions, Channel, ChannelBuilder, Compression, ConfigErrorKind, ResultError,
};

/// A channel, and the peer that it is connected to.
struct Wire {
    channel: Channel,
    listener: Listener,
    peer: Option<Peer>,
}

impl Wire {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(set: impl FnOnce(ChannelBuilder) -> ChannelBuilder) -> Self {
        let listener = Listener::new();
        let channel = set(Channel::builder(&listener.target())).connect_lazily().unwrap();
        Self { channel, listener, peer: None }
    }

    fn peer(&mut self) -> &mut Peer {
        self.peer.get_or_insert_with(|| self.listener.accept())
    }

    fn begin(&self, options: &CallOptions, request: &[u8]) -> CallFuture<Bytes> {
        let method = self.channel.raw_unary_unary(ECHO).unwrap().options(options);
        method.future(&Bytes::copy_from_slice(request))
    }

    /// Sends a request and answers it: what was sent, its flags, and what came of it.
    fn call(
        &mut self,
        options: &CallOptions,
        request: &[u8],
    ) -> (Option<String>, Vec<(u8, Vec<u8>)>) {
        let mut future = self.begin(options, request);
        let seen = self.answer(&[], &message(b""));
        future.result(Some(LONG)).unwrap();
        seen
    }

    /// Reads a request, and answers with these fields and this body.
    fn answer(
        &mut self,
        extra: &[(&str, &str)],
        body: &[u8],
    ) -> (Option<String>, Vec<(u8, Vec<u8>)>) {
        let peer = self.peer();
        let head = peer.wait_request();
        let mut sent = Ended::default();
        loop {
            let frame = peer.wait_for(|frame| frame.stream == head.stream && frame.kind == DATA);
            sent.body.extend_from_slice(&frame.payload);
            if frame.ends_stream() {
                break;
            }
        }
        let mut fields = vec![(":status", "200"), ("content-type", "application/grpc")];
        fields.extend_from_slice(extra);
        peer.headers(head.stream, &fields, false);
        for part in body.chunks(16_384) {
            peer.data(head.stream, part, false);
        }
        peer.respond_trailers(head.stream, 0);
        (head.field("grpc-encoding"), messages(&sent.body))
    }

    /// What the client makes of an answer.
    fn outcome(&mut self, extra: &[(&str, &str)], body: &[u8]) -> Result<Bytes, Status> {
        let mut future = self.begin(&CallOptions::new(), b"x");
        self.answer(extra, body);
        future.result(Some(LONG)).map_err(Status::from)
    }

    fn outcome_in(&mut self, encoding: &str, body: &[u8]) -> Result<Bytes, Status> {
        self.outcome(&[("grpc-encoding", encoding)], body)
    }
}

fn by_gzip() -> CallOptions {
    CallOptions::new().compression(Compression::Gzip)
}

#[test]
fn every_request_says_what_is_taken_gzip_first_and_without_blanks() {
    let mut wire = Wire::new();
    let _future = wire.begin(&CallOptions::new(), b"x");
    let head = wire.peer().wait_request();
    assert_eq!(head.field("grpc-accept-encoding").as_deref(), Some("gzip,deflate"));
    assert_eq!(head.field("grpc-encoding"), None, "nothing is compressed unless it is asked for");

    let mut wire = Wire::with(|builder| builder.accept_compression([]));
    let _future = wire.begin(&by_gzip(), b"x");
    let head = wire.peer().wait_request();
    assert_eq!(head.field("grpc-accept-encoding").as_deref(), Some("identity"));
    assert_eq!(head.field("grpc-encoding").as_deref(), Some("gzip"), "it may be sent all the same");

    let order = [Compression::Deflate, Compression::Gzip];
    let mut wire = Wire::with(|builder| builder.accept_compression(order));
    let _future = wire.begin(&CallOptions::new(), b"x");
    let head = wire.peer().wait_request();
    assert_eq!(head.field("grpc-accept-encoding").as_deref(), Some("deflate,gzip"));
}

#[test]
fn requests_are_compressed_by_what_the_channel_or_the_call_says() {
    let mut wire = Wire::with(|builder| builder.compression(Compression::Deflate));
    let (encoding, sent) = wire.call(&CallOptions::new(), &text());
    assert_eq!(encoding.as_deref(), Some("deflate"));
    let [(1, packed)] = &sent[..] else { panic!("{sent:?}") };
    assert!(packed.len() < text().len() && packed.starts_with(b"\x78"));
    let (encoding, sent) = wire.call(&by_gzip(), &text());
    assert_eq!((encoding.as_deref(), sent[0].0), (Some("gzip"), 1));
    assert_eq!(gunzip(&sent[0].1), text());
    let none = CallOptions::new().compression(Compression::None);
    assert_eq!(wire.call(&none, &text()), (None, vec![(0, text())]));
}

#[test]
fn empty_requests_and_those_that_do_not_get_smaller_go_out_as_they_are() {
    let mut wire = Wire::new();
    for plain in [Vec::new(), b"0123456789".to_vec(), noise(1_000)] {
        let (encoding, sent) = wire.call(&by_gzip(), &plain);
        assert_eq!((encoding.as_deref(), sent), (Some("gzip"), vec![(0, plain)]));
    }
}

#[test]
fn the_blocking_call_compresses_and_decompresses_as_a_future_does() {
    let mut wire = Wire::new();
    let method = wire.channel.raw_unary_unary(ECHO).unwrap().compression(Compression::Gzip);
    for with_call in [false, true] {
        std::thread::scope(|scope| {
            let caller = scope.spawn(|| match with_call {
                true => method.with_call(&text().into()).map(|(response, _)| response),
                false => method.call(&text().into()),
            });
            let (encoding, sent) =
                wire.answer(&[("grpc-encoding", "deflate")], &flagged(1, &zlib(&text())));
            assert_eq!((encoding.as_deref(), gunzip(&sent[0].1)), (Some("gzip"), text()));
            assert_eq!(caller.join().unwrap().unwrap(), text());
        });
    }
}

#[test]
fn gzip_and_the_zlib_form_of_deflate_are_taken_and_no_form_for_another() {
    let mut wire = Wire::new();
    assert_eq!(wire.outcome_in("gzip", &flagged(1, &gzip(&text()))).unwrap(), text());
    assert_eq!(wire.outcome_in("deflate", &flagged(1, &zlib(&text()))).unwrap(), text());
    let members = [gzip(b"one "), gzip(b""), gzip(b"two")].concat();
    assert_eq!(wire.outcome_in("gzip", &flagged(1, &members)).unwrap(), "one two");
    for (encoding, packed) in
        [("deflate", raw_deflate(&text())), ("deflate", gzip(&text())), ("gzip", zlib(&text()))]
    {
        let status = wire.outcome_in(encoding, &flagged(1, &packed)).unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{encoding}");
    }
}

#[test]
fn gzip_is_taken_whether_or_not_it_was_announced_and_refused_by_name_where_it_is_off() {
    let off = |builder: ChannelBuilder| builder.accept_compression([Compression::Deflate]);
    let mut wire = Wire::with(off);
    for flag in [0, 1] {
        let status = wire.outcome_in("gzip", &flagged(flag, &gzip(b"x"))).unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().contains("grpc-encoding \"gzip\""), "{status}");
    }
    assert_eq!(wire.outcome_in("deflate", &flagged(1, &zlib(b"x"))).unwrap(), "x");
}

#[test]
fn an_unknown_encoding_of_an_answer_is_internal_whatever_its_flags() {
    let mut wire = Wire::new();
    for name in ["br", "GZIP", "x-gzip", "gzip, identity", ""] {
        for flag in [0, 1] {
            let status = wire.outcome_in(name, &flagged(flag, &gzip(b"x"))).unwrap_err();
            assert_eq!(status.code(), Code::Internal);
            assert!(status.message().contains(&format!("{name:?}")), "{status}");
        }
    }
}

#[test]
fn flags_above_one_and_a_flag_without_an_encoding_are_internal() {
    let mut wire = Wire::new();
    let packed = gzip(b"x");
    for flag in [2, 3, 128] {
        let status = wire.outcome_in("gzip", &flagged(flag, &packed)).unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{flag}");
    }
    assert_eq!(wire.outcome(&[], &flagged(1, &packed)).unwrap_err().code(), Code::Internal);
    let identity = wire.outcome_in("identity", &flagged(1, &packed));
    assert_eq!(identity.unwrap_err().code(), Code::Internal);
    assert_eq!(wire.outcome_in("gzip", &flagged(0, b"x")).unwrap(), "x");
}

#[test]
fn the_empty_message_may_come_compressed_but_not_as_no_octets() {
    let mut wire = Wire::new();
    assert_eq!(wire.outcome_in("gzip", &flagged(1, &gzip(b""))).unwrap(), "");
    assert_eq!(wire.outcome_in("gzip", &flagged(0, b"")).unwrap(), "");
    let status = wire.outcome_in("gzip", &flagged(1, b"")).unwrap_err();
    assert_eq!(status.code(), Code::Internal);
}

#[test]
fn bad_data_is_internal_and_costs_the_connection_nothing() {
    let mut wire = Wire::new();
    for (what, packed) in broken_gzip() {
        let status = wire.outcome_in("gzip", &flagged(1, &packed)).unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{what}");
        let told = status.message();
        assert!(told.contains("gzip") && told.contains(ECHO), "{told}");
        let next = wire.outcome_in("gzip", &flagged(1, &gzip(b"next")));
        assert_eq!(next.unwrap(), "next", "{what}");
    }
}

#[test]
fn exactly_the_limit_passes_and_one_more_is_resource_exhausted_over_all_members() {
    let mut wire = Wire::with(|builder| builder.max_receive_message_size(1_000));
    let exact = wire.outcome_in("gzip", &flagged(1, &gzip(&[7; 1_000])));
    assert_eq!(exact.unwrap(), vec![7; 1_000]);
    let members = [gzip(&[7; 500]), gzip(&[8; 501])].concat();
    for packed in [gzip(&[7; 1_001]), members] {
        let status = wire.outcome_in("gzip", &flagged(1, &packed)).unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains("more than 1000 bytes"), "{status}");
    }
    let status = wire.outcome_in("gzip", &flagged(1, &gzip(&noise(1_000)))).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("against 1000 bytes"), "{status}");
}

#[test]
fn the_send_limit_is_for_a_message_before_it_is_compressed() {
    let mut wire = Wire::with(|builder| builder.max_send_message_size(1_000));
    let error = wire.begin(&by_gzip(), &[7; 1_001]).result(Some(LONG)).unwrap_err();
    let ResultError::Rpc(status) = error else { panic!("{error}") };
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("1001 against 1000 bytes"), "{status}");
    // What gets longer goes as it is.
    assert_eq!(wire.call(&by_gzip(), &noise(1_000)).1, [(0, noise(1_000))]);
}

#[test]
fn after_an_answer_that_lists_no_encoding_of_ours_requests_go_on_plain() {
    let mut wire = Wire::with(|builder| builder.compression(Compression::Gzip));
    let mut encoding_after = |lists: &[&str]| {
        let extra: Vec<_> = lists.iter().map(|list| ("grpc-accept-encoding", *list)).collect();
        let mut first = wire.begin(&CallOptions::new(), b"x");
        wire.answer(&extra, &message(b""));
        first.result(Some(LONG)).unwrap();
        let (encoding, sent) = wire.call(&CallOptions::new(), &text());
        assert_eq!(encoding.is_some(), sent[0].0 == 1);
        encoding
    };
    assert_eq!(encoding_after(&[]).as_deref(), Some("gzip"), "absence says nothing");
    assert_eq!(encoding_after(&["identity, deflate, gzip"]).as_deref(), Some("gzip"));
    assert_eq!(encoding_after(&["identity"]), None);
    assert_eq!(encoding_after(&["identity", "gzip"]).as_deref(), Some("gzip"));
    assert_eq!(encoding_after(&["deflate,br"]), None, "deflate was not asked for");
    assert_eq!(encoding_after(&[]), None, "the list that was there last counts");
}

#[test]
fn a_refused_encoding_is_the_callers_to_deal_with_and_the_next_call_goes_plain() {
    let mut wire = Wire::new();
    let mut refused = wire.begin(&by_gzip(), &text());
    let peer = wire.peer();
    let head = peer.wait_request();
    let fields = [
        (":status", "200"),
        ("content-type", "application/grpc"),
        ("grpc-status", "12"),
        ("grpc-accept-encoding", "identity"),
    ];
    peer.headers(head.stream, &fields, true);
    let error = refused.result(Some(LONG)).unwrap_err();
    assert_eq!(Status::from(error).code(), Code::Unimplemented);
    assert_eq!(wire.call(&by_gzip(), &text()), (None, vec![(0, text())]));
}

#[test]
fn streams_are_compressed_message_by_message_and_disable_next_is_for_exactly_one() {
    let mut wire = Wire::new();
    let method = wire.channel.raw_stream_stream(BIDI).unwrap().compression(Compression::Gzip);
    let mut duplex = method.open();
    duplex.disable_next_message_compression();
    let peer = wire.peer();
    let head = peer.wait_request();
    assert_eq!(head.field("grpc-encoding").as_deref(), Some("gzip"));
    for (at, plain) in [true, false, true, true, false].into_iter().enumerate() {
        if plain && at > 0 {
            duplex.disable_next_message_compression();
        }
        duplex.send(&text().into()).unwrap();
        duplex.flush();
        let frame = peer.wait_for(|frame| frame.stream == head.stream && frame.kind == DATA);
        let [(flag, payload)] = &messages(&frame.payload)[..] else { panic!("{frame:?}") };
        assert_eq!(*flag == 0, plain, "{at}");
        assert_eq!(if plain { payload.clone() } else { gunzip(payload) }, text());
    }
    let fields =
        [(":status", "200"), ("content-type", "application/grpc"), ("grpc-encoding", "gzip")];
    peer.headers(head.stream, &fields, false);
    for (flag, payload) in [(0, b"a".to_vec()), (1, gzip(b"b")), (0, Vec::new()), (1, gzip(b"d"))] {
        peer.data(head.stream, &flagged(flag, &payload), false);
    }
    for expected in ["a", "b", "", "d"] {
        assert_eq!(duplex.recv().unwrap().unwrap(), expected);
    }
    peer.data(head.stream, &flagged(1, b"bad"), false);
    let status = duplex.recv().unwrap_err();
    assert_eq!(status.code(), Code::Internal, "after those before it were delivered");
}

#[test]
fn a_compression_that_nobody_has_is_told_when_it_is_set_up_or_by_the_call() {
    let lz4 = Compression::Custom("lz4");
    let error = Channel::builder("h:1").compression(lz4).connect_lazily().unwrap_err();
    assert_eq!(error.kind(), ConfigErrorKind::Option);
    assert!(error.to_string().contains("no compressor \"lz4\": its compressor()"), "{error}");
    let channel = grpc_threads::insecure_channel("127.0.0.1:1").unwrap();
    let unary = channel.raw_unary_unary(ECHO).unwrap().compression(lz4);
    let request = Bytes::from_static(b"x");
    let status = unary.call(&request).unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    let words = "this channel has no compressor \"lz4\": ChannelBuilder::compressor registers one";
    assert!(status.message().contains(words), "{status}");
    let status = Status::from(unary.future(&request).result(Some(LONG)).unwrap_err());
    assert_eq!(status.code(), Code::Internal);
    let stream = channel.raw_stream_unary(SUM).unwrap().compression(lz4);
    assert_eq!(stream.call([request]).unwrap_err().code(), Code::Internal);
}
