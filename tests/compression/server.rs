//! What a server takes, says and sends: rows C1 to C21 of how other libraries do it, and § `doc/compression.md`.

use crate::service::*;
use crate::support::frames::{Ended, Peer, message};
use crate::{broken_gzip, flagged, gunzip, gzip, messages, noise, raw_deflate, text, zlib};
use bytes::Bytes;
use grpc_threads::{Compression, ConfigErrorKind, Server, ServerOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const ZIP: &str = "/test.Test/Zip";
const ZIPS: &str = "/test.Test/Zips";

/// Answers with what was sent, compressed.
fn zip() -> Method {
    let zip = unary(|request, context| {
        context.set_compression(Compression::Gzip)?;
        Ok(request)
    });
    ("Zip", zip)
}

/// The same for streams; of a request `plain` the response goes out as it is.
fn zips() -> Method {
    let zips = by_hand(|stream, context| {
        context.set_compression(Compression::Gzip)?;
        while let Some(request) = stream.recv()? {
            if request.starts_with(b"plain") {
                context.disable_next_message_compression();
            }
            stream.send(&request)?;
        }
        Ok(())
    });
    ("Zips", zips)
}

fn served() -> Served {
    Served::with(4, [zip(), zips()])
}

fn with_options(options: ServerOptions) -> Served {
    let server = Server::builder().options(options).build().unwrap();
    Served::start(server, "127.0.0.1:0", [zip(), zips()])
}

/// One request, body and all.
fn ask(peer: &mut Peer, path: &str, extra: &[(&str, &str)], body: &[u8]) -> Ended {
    let stream = peer.open(path, extra);
    for part in body.chunks(16_384) {
        peer.data(stream, part, false);
    }
    peer.data(stream, b"", true);
    peer.wait_end(stream)
}

fn sent(peer: &mut Peer, encoding: &str, flag: u8, payload: &[u8]) -> Ended {
    ask(peer, ECHO, &[("grpc-encoding", encoding)], &flagged(flag, payload))
}

fn code(ended: &Ended) -> Code {
    let trailer = |name: &str| ended.trailer(name);
    Code::from_i32(trailer("grpc-status").expect("a status").parse().unwrap())
}

fn told(ended: &Ended) -> String {
    ended.trailer("grpc-message").unwrap_or_default()
}

#[test]
fn every_head_says_what_is_taken_gzip_first_and_without_blanks() {
    let served = served();
    let mut peer = Peer::connect(served.address());
    for (path, body) in [(ECHO, message(b"x")), (ZIP, message(b"x")), (BIDI, message(b"x"))] {
        let ended = ask(&mut peer, path, &[], &body);
        assert_eq!(ended.head("grpc-accept-encoding").as_deref(), Some("gzip,deflate"), "{path}");
        assert_eq!(ended.head("grpc-encoding"), None, "{path}");
    }
}

#[test]
fn gzip_and_the_zlib_form_of_deflate_are_taken_and_no_form_for_another() {
    let served = served();
    let mut peer = Peer::connect(served.address());
    for (encoding, packed) in [("gzip", gzip(&text())), ("deflate", zlib(&text()))] {
        let ended = sent(&mut peer, encoding, 1, &packed);
        assert_eq!(messages(&ended.body), [(0, text())], "{encoding}");
    }
    for (encoding, packed) in
        [("deflate", raw_deflate(&text())), ("deflate", gzip(&text())), ("gzip", zlib(&text()))]
    {
        let ended = sent(&mut peer, encoding, 1, &packed);
        assert_eq!(code(&ended), Code::Internal, "{encoding}");
        assert!(told(&ended).contains(encoding), "{}", told(&ended));
    }
}

#[test]
fn an_unknown_encoding_is_unimplemented_before_the_handler_and_what_is_taken_is_named() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let count = unary(move |request, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(request)
    });
    let served = Served::with(2, [("Counted", count)]);
    let mut peer = Peer::connect(served.address());
    for name in ["br", "GZIP", "x-gzip", "gzip, identity", ""] {
        for flag in [0, 1] {
            let body = flagged(flag, &gzip(b"x"));
            let ended = ask(&mut peer, "/test.Test/Counted", &[("grpc-encoding", name)], &body);
            assert_eq!(code(&ended), Code::Unimplemented, "{name}");
            assert_eq!(ended.headers.len(), 1, "trailers only");
            assert_eq!(ended.head("grpc-accept-encoding").as_deref(), Some("gzip,deflate"));
            assert!(told(&ended).contains(&format!("{name:?}")), "{}", told(&ended));
        }
    }
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    peer.assert_alive();
}

#[test]
fn what_is_switched_off_is_unimplemented_and_the_rest_is_taken() {
    let served = with_options(ServerOptions::default().accept_compression([Compression::Deflate]));
    let mut peer = Peer::connect(served.address());
    let ended = sent(&mut peer, "gzip", 1, &gzip(b"x"));
    assert_eq!(code(&ended), Code::Unimplemented);
    assert_eq!(ended.head("grpc-accept-encoding").as_deref(), Some("deflate"));
    assert_eq!(code(&sent(&mut peer, "deflate", 1, &zlib(b"x"))), Code::Ok);

    let served = with_options(ServerOptions::default().accept_compression([]));
    let mut peer = Peer::connect(served.address());
    let ended = sent(&mut peer, "gzip", 0, b"x");
    assert_eq!(code(&ended), Code::Unimplemented);
    assert_eq!(ended.head("grpc-accept-encoding").as_deref(), Some("identity"));
    // It still sends what its client takes.
    let ended = ask(&mut peer, ZIP, &[("grpc-accept-encoding", "gzip")], &message(&text()));
    assert_eq!(ended.head("grpc-encoding").as_deref(), Some("gzip"));
}

#[test]
fn flags_above_one_and_a_flag_without_an_encoding_are_internal() {
    let served = served();
    let mut peer = Peer::connect(served.address());
    for flag in [2, 3, 128, 255] {
        assert_eq!(code(&sent(&mut peer, "gzip", flag, &gzip(b"x"))), Code::Internal, "{flag}");
    }
    assert_eq!(code(&sent(&mut peer, "identity", 1, &gzip(b"x"))), Code::Internal);
    assert_eq!(code(&ask(&mut peer, ECHO, &[], &flagged(1, &gzip(b"x")))), Code::Internal);
    peer.assert_alive();
}

#[test]
fn flag_zero_is_right_under_any_encoding_and_a_stream_may_mix() {
    let served = served();
    let mut peer = Peer::connect(served.address());
    for encoding in ["gzip", "deflate", "identity"] {
        assert_eq!(messages(&sent(&mut peer, encoding, 0, b"x").body), [(0, b"x".to_vec())]);
    }
    let mixed =
        [flagged(0, b"a"), flagged(1, &gzip(b"b")), flagged(0, b""), flagged(1, &gzip(b"d"))];
    let ended = ask(&mut peer, BIDI, &[("grpc-encoding", "gzip")], &mixed.concat());
    let got: Vec<_> = messages(&ended.body).into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(got, [&b"a"[..], b"b", b"", b"d"]);
}

#[test]
fn the_same_encoding_said_twice_is_one() {
    let served = served();
    let mut peer = Peer::connect(served.address());
    let twice = [("grpc-encoding", "gzip"), ("grpc-encoding", "gzip")];
    let ended = ask(&mut peer, ECHO, &twice, &flagged(1, &gzip(b"x")));
    assert_eq!(messages(&ended.body), [(0, b"x".to_vec())]);
}

#[test]
fn the_empty_message_may_come_compressed_but_not_as_no_octets() {
    let served = served();
    let mut peer = Peer::connect(served.address());
    assert_eq!(gzip(b"").len(), 20);
    for (encoding, packed) in [("gzip", gzip(b"")), ("deflate", zlib(b""))] {
        let ended = sent(&mut peer, encoding, 1, &packed);
        assert_eq!(messages(&ended.body), [(0, Vec::new())]);
        assert_eq!(code(&sent(&mut peer, encoding, 1, b"")), Code::Internal);
    }
}

#[test]
fn all_members_of_a_gzip_stream_are_one_message() {
    let served = served();
    let mut peer = Peer::connect(served.address());
    let members = [gzip(b""), gzip(b"one "), gzip(b"two")].concat();
    assert_eq!(messages(&sent(&mut peer, "gzip", 1, &members).body), [(0, b"one two".to_vec())]);
}

#[test]
fn bad_data_is_internal_and_costs_the_connection_nothing() {
    let served = served();
    let mut peer = Peer::connect(served.address());
    for (what, packed) in broken_gzip() {
        for path in [ECHO, BIDI, SUM] {
            let body = flagged(1, &packed);
            let ended = ask(&mut peer, path, &[("grpc-encoding", "gzip")], &body);
            assert_eq!(code(&ended), Code::Internal, "{what}: {path}");
            let told = told(&ended);
            assert!(told.contains("gzip") && told.contains(path), "{told}");
        }
        let ended = sent(&mut peer, "gzip", 1, &gzip(b"next"));
        assert_eq!(messages(&ended.body), [(0, b"next".to_vec())], "{what}");
    }
    let mut behind = zlib(b"x");
    behind.push(0);
    assert_eq!(code(&sent(&mut peer, "deflate", 1, &behind)), Code::Internal);
}

#[test]
fn in_a_stream_the_messages_before_a_bad_one_are_delivered() {
    let served = served();
    let mut peer = Peer::connect(served.address());
    for (bad, expected) in
        [(b"bad".to_vec(), Code::Internal), (gzip(&vec![0; 5 << 20]), Code::ResourceExhausted)]
    {
        let body = [flagged(1, &gzip(b"a")), flagged(0, b"b"), flagged(1, &bad)].concat();
        let ended = ask(&mut peer, BIDI, &[("grpc-encoding", "gzip")], &body);
        assert_eq!(messages(&ended.body), [(0, b"a".to_vec()), (0, b"b".to_vec())]);
        assert_eq!(code(&ended), expected);
    }
}

#[test]
fn exactly_the_limit_passes_and_one_more_is_resource_exhausted_over_all_members() {
    let served = with_options(ServerOptions::default().max_receive_message_size(1_000));
    let mut peer = Peer::connect(served.address());
    let sizes = |peer: &mut Peer, encoding: &str, packed: &[u8]| {
        let ended = sent(peer, encoding, 1, packed);
        (code(&ended), told(&ended))
    };
    for (encoding, pack) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("deflate", zlib)] {
        assert_eq!(sizes(&mut peer, encoding, &pack(&[7; 1_000])).0, Code::Ok);
        let (code, told) = sizes(&mut peer, encoding, &pack(&[7; 1_001]));
        assert_eq!(code, Code::ResourceExhausted);
        assert!(told.contains("more than 1000 bytes"), "{told}");
    }
    let members = [gzip(&[7; 500]), gzip(&[8; 501])].concat();
    assert_eq!(sizes(&mut peer, "gzip", &members).0, Code::ResourceExhausted);
    // As it comes it may not be longer, either: that is seen first.
    let (code, told) = sizes(&mut peer, "gzip", &gzip(&noise(1_000)));
    assert_eq!(code, Code::ResourceExhausted);
    assert!(told.contains("against 1000 bytes"), "{told}");
}

#[test]
fn the_send_limit_is_for_a_message_before_it_is_compressed() {
    let options = ServerOptions::default().max_send_message_size(1_000);
    let served = with_options(options);
    let mut peer = Peer::connect(served.address());
    let mut of = |message: Vec<u8>| {
        ask(
            &mut peer,
            ZIP,
            &[("grpc-accept-encoding", "gzip")],
            &crate::support::frames::message(&message),
        )
    };
    let ended = of(vec![7; 1_001]);
    assert_eq!(code(&ended), Code::ResourceExhausted);
    assert!(told(&ended).contains("1001 against 1000 bytes"), "{}", told(&ended));
    assert_eq!(code(&of(vec![7; 1_000])), Code::Ok);
    // What gets longer goes as it is.
    assert_eq!(messages(&of(noise(1_000)).body), [(0, noise(1_000))]);
}

#[test]
fn a_server_compresses_what_its_client_has_announced_and_says_so_only_then() {
    let served = served();
    let mut peer = Peer::connect(served.address());
    let mut answer = |lists: &[&str]| {
        let extra: Vec<_> = lists.iter().map(|list| ("grpc-accept-encoding", *list)).collect();
        let ended = ask(&mut peer, ZIP, &extra, &message(&text()));
        let [(flag, payload)] = &messages(&ended.body)[..] else { panic!("{ended:?}") };
        let plain = if *flag == 1 { gunzip(payload) } else { payload.clone() };
        assert_eq!(plain, text());
        (*flag, ended.head("grpc-encoding"))
    };
    let gzip = (1, Some("gzip".to_owned()));
    for lists in [&["gzip"][..], &["identity, deflate, gzip"], &["identity", "br,gzip"], &["gzip,"]]
    {
        assert_eq!(answer(lists), gzip, "{lists:?}");
    }
    for lists in
        [&[][..], &["identity"], &["deflate"], &["GZIP"], &["gzip;q=1"], &["x-gzip"], &[""]]
    {
        assert_eq!(answer(lists), (0, None), "{lists:?}");
    }
}

#[test]
fn a_request_is_not_mirrored() {
    let served = served();
    let mut peer = Peer::connect(served.address());
    let extra = [("grpc-encoding", "gzip"), ("grpc-accept-encoding", "gzip")];
    let ended = ask(&mut peer, ECHO, &extra, &flagged(1, &gzip(&text())));
    assert_eq!((messages(&ended.body), ended.head("grpc-encoding")), (vec![(0, text())], None));
}

#[test]
fn empty_answers_and_those_that_do_not_get_smaller_go_out_as_they_are() {
    let served = served();
    let mut peer = Peer::connect(served.address());
    for plain in [Vec::new(), b"0123456789".to_vec(), noise(1_000)] {
        let ended = ask(&mut peer, ZIP, &[("grpc-accept-encoding", "gzip")], &message(&plain));
        assert_eq!(messages(&ended.body), [(0, plain)]);
    }
}

#[test]
fn what_is_sent_is_one_gzip_member_and_nothing_behind() {
    let served = served();
    let mut peer = Peer::connect(served.address());
    for long in [100, 5_000, 200_000] {
        let plain: Vec<u8> = text().into_iter().cycle().take(long).collect();
        let ended = ask(&mut peer, ZIP, &[("grpc-accept-encoding", "gzip")], &message(&plain));
        let [(1, payload)] = &messages(&ended.body)[..] else { panic!("{long}") };
        assert_eq!(gunzip(payload), plain);
    }
}

#[test]
fn disable_next_is_for_exactly_one_message() {
    let served = served();
    let mut peer = Peer::connect(served.address());
    let plain: Vec<u8> = b"plain".repeat(100);
    let all = [plain.clone(), text(), plain.clone(), plain, text(), text()];
    let body: Vec<u8> = all.iter().flat_map(|one| message(one)).collect();
    let ended = ask(&mut peer, ZIPS, &[("grpc-accept-encoding", "gzip")], &body);
    let flags: Vec<_> = messages(&ended.body).iter().map(|(flag, _)| *flag).collect();
    assert_eq!(flags, [0, 1, 0, 0, 1, 1]);
    assert_eq!(ended.head("grpc-encoding").as_deref(), Some("gzip"));
}

#[test]
fn disable_next_goes_for_a_single_answer_and_for_one_after_the_head() {
    let single = unary(|request, context| {
        context.set_compression(Compression::Gzip)?;
        context.disable_next_message_compression();
        Ok(request)
    });
    let headed = by_hand(|stream, context| {
        context.set_compression(Compression::Deflate)?;
        context.send_initial_metadata(&Metadata::new())?;
        context.disable_next_message_compression();
        while let Some(request) = stream.recv()? {
            stream.send(&request)?;
        }
        Ok(())
    });
    let served = Served::with(2, [("Single", single), ("Headed", headed)]);
    let mut peer = Peer::connect(served.address());
    let extra = [("grpc-accept-encoding", "gzip,deflate")];
    let ended = ask(&mut peer, "/test.Test/Single", &extra, &message(&text()));
    assert_eq!(messages(&ended.body), [(0, text())]);
    let ended = ask(&mut peer, "/test.Test/Headed", &extra, &message(&text()).repeat(2));
    let flags: Vec<_> = messages(&ended.body).iter().map(|(flag, _)| *flag).collect();
    assert_eq!((flags, ended.head("grpc-encoding").as_deref()), (vec![0, 1], Some("deflate")));
}

#[test]
fn after_the_head_it_is_too_late_to_choose_and_what_is_unknown_is_an_error() {
    let late = by_hand(|stream, context| {
        let unknown = context.set_compression(Compression::Custom("lz4")).unwrap_err();
        let words =
            "this server has no compressor \"lz4\": ServerBuilder::compressor registers one";
        let told = unknown.code() == Code::Internal && unknown.message().contains(words);
        assert!(told, "{unknown}");
        context.set_compression(Compression::Gzip)?;
        context.set_compression(Compression::None)?;
        stream.send(&Bytes::from_static(b"x"))?;
        let late = context.set_compression(Compression::Gzip).unwrap_err();
        assert_eq!(late.code(), Code::Internal);
        Err(late)
    });
    let served = Served::with(2, [("Late", late)]);
    let mut peer = Peer::connect(served.address());
    let extra = [("grpc-accept-encoding", "gzip")];
    let ended = ask(&mut peer, "/test.Test/Late", &extra, b"");
    assert_eq!((code(&ended), ended.head("grpc-encoding")), (Code::Internal, None));
    assert!(told(&ended).contains("before the initial metadata"), "{}", told(&ended));
}

#[test]
fn what_the_server_has_for_all_answers_goes_where_a_handler_says_nothing() {
    let off = unary(|request, context| {
        context.set_compression(Compression::None)?;
        Ok(request)
    });
    let options = ServerOptions::default().compression(Compression::Deflate);
    let server = Server::builder().options(options).build().unwrap();
    let served = Served::start(server, "127.0.0.1:0", [zip(), ("Off", off)]);
    let mut peer = Peer::connect(served.address());
    let mut encoding = |path: &str, list: &str| {
        let extra = [("grpc-accept-encoding", list)];
        ask(&mut peer, path, &extra, &message(&text())).head("grpc-encoding")
    };
    assert_eq!(encoding(ECHO, "gzip,deflate").as_deref(), Some("deflate"));
    assert_eq!(encoding(BIDI, "gzip,deflate").as_deref(), Some("deflate"));
    assert_eq!(encoding(ECHO, "gzip"), None);
    assert_eq!(encoding(ZIP, "gzip,deflate").as_deref(), Some("gzip"));
    assert_eq!(encoding("/test.Test/Off", "gzip,deflate"), None);
}

#[test]
fn what_cannot_be_is_told_when_the_server_is_built() {
    let lz4 = Compression::Custom("lz4");
    for options in [
        ServerOptions::default().compression(lz4),
        ServerOptions::default().accept_compression([Compression::Gzip, lz4]),
    ] {
        let error = Server::builder().options(options).build().unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Option);
        assert!(error.to_string().contains("\"lz4\""), "{error}");
    }
}

#[test]
fn a_handler_may_ask_how_each_request_came() {
    let how = by_hand(|stream, context| {
        while stream.recv()?.is_some() {
            stream.send(&format!("{}", context.request_was_compressed()).into())?;
        }
        Ok(())
    });
    let served = Served::with(2, [("How", how)]);
    let mut peer = Peer::connect(served.address());
    let body = [flagged(0, b"a"), flagged(1, &gzip(b"b")), flagged(0, b"")].concat();
    let ended = ask(&mut peer, "/test.Test/How", &[("grpc-encoding", "gzip")], &body);
    assert_eq!(ended.messages(), [&b"false"[..], b"true", b"false"]);
}

#[test]
fn content_encoding_is_ignored() {
    let served = served();
    let mut peer = Peer::connect(served.address());
    let ended = ask(&mut peer, ECHO, &[("content-encoding", "gzip")], &message(b"x"));
    assert_eq!(messages(&ended.body), [(0, b"x".to_vec())]);
}
