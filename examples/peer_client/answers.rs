//! Metadata, status codes, and the answers that a library gives by itself.

use bytes::Bytes;
use grpc_threads::{CallOptions, Code, ConfigError, Metadata};

use super::{Methods, Outcome, Server, bytes, check, check_that, chosen, failure, pattern, text};

const ODD_TEXT: &str = "100 % of \t\r\n bytes, Ünïcödé \u{2603}, \u{1f408}, and a %41 that is none";

/// Every kind of value there is, under keys that begin so.
fn sample(prefix: &str) -> Result<Metadata, ConfigError> {
    let key = |name: &str| format!("{prefix}{name}");
    let printable: String = ('!'..='~').collect();
    let all: Vec<u8> = (0..=255).collect();
    Metadata::new()
        .with(&key("ascii"), "plain")?
        .with(&key("inner"), "two  blanks")?
        .with(&key("printable"), &printable)?
        .with(&key("empty"), "")?
        .with(&key("again"), "1")?
        .with_bin(&key("all-bin"), all)?
        .with(&key("again"), "2,3")?
        .with(&key("again"), "")?
        .with(&key("again"), "1")?
        .with_bin(&key("empty-bin"), b"")?
        .with_bin(&key("again-bin"), b"\x00")?
        .with_bin(&key("again-bin"), b"")?
        .with_bin(&key("again-bin"), b"\xff\xfe")?
        .with_bin(&key("again-bin"), b"abc")?
        .with(&key("a_b.c-d0"), "name")
}

pub(crate) fn metadata(server: &Server) -> Outcome {
    let peer = Methods::of(server)?;
    let (echoed, trailing) = (sample("x-echo-")?, sample("x-trail-")?);
    let options = CallOptions::new().metadata(&echoed).metadata(&trailing);
    let request = Bytes::from_static(b"m");

    let (reply, unary) = peer.unary("Echo").options(&options).with_call(&request)?;
    check("reply", reply, request.clone())?;
    let mut stream = peer.both("Chat").options(&options).spawn([request.clone()]);
    check("replies", stream.by_ref().collect::<Result<Vec<_>, _>>()?, vec![request])?;
    for (kind, call) in [("unary", unary), ("stream", stream.handle())] {
        for (prefix, sent, got) in [
            ("x-echo-", &echoed, call.initial_metadata()),
            ("x-trail-", &trailing, call.trailing_metadata()),
        ] {
            check(&format!("{kind} {prefix}"), chosen(&got, "x-"), chosen(sent, prefix))?;
        }
    }
    Ok(())
}

pub(crate) fn metadata_of_errors(server: &Server) -> Outcome {
    let peer = Methods::of(server)?;
    let (echoed, trailing) = (sample("x-echo-")?, sample("x-trail-")?);
    let asked = Metadata::new().with("x-code", "9")?.with_bin("x-message-bin", b"no")?;
    let options = CallOptions::new().metadata(&echoed).metadata(&trailing).metadata(&asked);
    let fail = peer.unary("Fail").options(&options);
    for (early, fail) in [(false, fail.clone()), (true, fail.header("x-early", "1")?)] {
        let status = failure("the error", fail.call(&Bytes::new()), Code::FailedPrecondition)?;
        check("message", status.message(), "no")?;
        check("trailing", chosen(status.trailing_metadata(), "x-"), chosen(&trailing, ""))?;
        let initial = if early { chosen(&echoed, "") } else { Vec::new() };
        check("initial", chosen(status.initial_metadata(), "x-"), initial)?;
    }
    Ok(())
}

pub(crate) fn big_metadata(server: &Server) -> Outcome {
    let peer = Methods::of(server)?;
    let before = peer.who()?;
    let (echo, much) = (peer.unary("Echo"), peer.unary("Much"));
    let big = Metadata::new().with("x-echo-big", &"b".repeat(7400))?;
    let (_, call) = echo.metadata(&big).with_call(&Bytes::new())?;
    check("near 8 KiB", chosen(&call.initial_metadata(), "x-"), chosen(&big, ""))?;
    let big = Metadata::new().with_bin("x-trail-big-bin", pattern(5400))?;
    let (_, call) = echo.metadata(&big).with_call(&Bytes::new())?;
    check("near 8 KiB, of bytes", chosen(&call.trailing_metadata(), "x-"), chosen(&big, ""))?;

    for size in [20_000, 60_000] {
        let result = echo.header("x-big", &"b".repeat(size))?.call(&Bytes::new());
        failure(&format!("{size} of metadata"), result, Code::ResourceExhausted)?;
    }
    for place in ["initial", "trailing"] {
        let result = much.call(&bytes(&format!("{place} 20000")));
        failure(&format!("20000 of {place} metadata"), result, Code::ResourceExhausted)?;
    }
    check("still the same connection", peer.who()?, before)?;
    for place in ["initial", "trailing"] {
        // grpcio sends it whatever we say we take; several times as much is an attack, and ends the connection.
        let result = much.call(&bytes(&format!("{place} 60000"))).map_err(|status| status.code());
        let expected = [Err(Code::ResourceExhausted), Err(Code::Unavailable)];
        check_that(&format!("60000 of {place} metadata: {result:?}"), expected.contains(&result))?;
    }
    peer.unary("Echo").wait_for_ready(true).call(&Bytes::new())?;
    Ok(())
}

pub(crate) fn status_codes(server: &Server) -> Outcome {
    let peer = Methods::of(server)?;
    for number in 0..=16 {
        let code = Code::from_i32(number);
        for message in ["", "plain", ODD_TEXT] {
            let asked = Metadata::new()
                .with("x-code", &number.to_string())?
                .with_bin("x-message-bin", message)?;
            let fail = peer.unary("Fail").metadata(&asked);
            if code == Code::Ok {
                let (reply, call) = fail.with_call(&Bytes::new())?;
                check("OK", (text(&reply), call.code()), ("ok".to_owned(), code))?;
                continue;
            }
            for fail in [fail.clone(), fail.header("x-early", "1")?] {
                let status = failure("unary", fail.call(&Bytes::new()), code)?;
                check("message", status.message(), message)?;
            }
            for count in [0, 1, 100] {
                let fail = peer.replies("FailAfter").metadata(&asked);
                let mut stream = fail.header("x-count", &count.to_string())?.call(&Bytes::new())?;
                for reply in 0..count {
                    check("before the error", stream.recv()?, Some(bytes(&reply.to_string())))?;
                }
                let status = failure(&format!("after {count}"), stream.recv(), code)?;
                check("message of a stream", status.message(), message)?;
            }
        }
    }
    Ok(())
}

pub(crate) fn status_details(server: &Server) -> Outcome {
    let details: Vec<u8> = (0..=255).collect();
    let asked = Metadata::new()
        .with("x-code", "3")?
        .with_bin("x-message-bin", "see details")?
        .with_bin("x-details-bin", &details)?;
    let result = Methods::of(server)?.unary("Fail").metadata(&asked).call(&Bytes::new());
    let status = failure("the error", result, Code::InvalidArgument)?;
    check("details", (status.message(), status.details()), ("see details", &details[..]))
}

pub(crate) fn unimplemented(server: &Server) -> Outcome {
    let peer = Methods::of(server)?;
    let none = Bytes::new();
    failure("a method", peer.unary("Nothing").call(&none), Code::Unimplemented)?;
    let other = peer.channel.raw_unary_unary("/peers.Other/Echo")?;
    failure("a service", other.call(&none), Code::Unimplemented)?;
    let mut stream = peer.both("Nothing").spawn([none.clone(), none]);
    failure("a stream", stream.recv(), Code::Unimplemented).map(drop)
}

pub(crate) fn handler_raises(server: &Server) -> Outcome {
    let result = Methods::of(server)?.unary("Raise").call(&Bytes::new());
    failure("a handler's mistake", result, Code::Unknown).map(drop)
}

/// § W41. grpcio's server ignores a second request to a unary method; that side is not asked here.
pub(crate) fn cardinality(server: &Server) -> Outcome {
    let peer = Methods::of(server)?;
    failure("no request", peer.requests("Echo").call([]), Code::Unimplemented)?;
    for count in [0, 2] {
        let result = peer.unary("FailAfter").header("x-count", &count.to_string())?;
        let result = result.call(&Bytes::new());
        failure(&format!("{count} replies"), result, Code::Unimplemented)?;
    }
    Ok(())
}

pub(crate) fn who(server: &Server) -> Outcome {
    let who = Methods::of(server)?.who()?;
    let (address, agent) = who.split_once(' ').ok_or("no user agent")?;
    check_that(&format!("the address: {address}"), address.starts_with("ipv4:127.0.0.1:"))?;
    check_that(&format!("the user agent: {agent}"), agent.starts_with("grpc-"))
}
