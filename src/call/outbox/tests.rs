//! A codec that takes its time, or panics: what others do with the outbox meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

use super::*;
use crate::http2::Options;
use crate::http2::types::{Reason, Role};
use crate::link::{Link, LinkEvents, Replies};
use crate::net::{Interest, MemoryPipe, Pipe};
use crate::reactor::client_poller;
use crate::wire::outcome::Ending;

const LONG: Duration = Duration::from_secs(20);

struct Nobody;

impl LinkEvents for Nobody {
    fn up(&self) {}
    fn draining(&self) {}
    fn room(&self) {}
    fn lost(&self, _cause: &str) {}
}

/// An outbox whose peer says nothing, and the peer's end.
fn rig() -> (Arc<Outbox>, Arc<Stream>, MemoryPipe) {
    let (near, far) = MemoryPipe::pair();
    let options = Options::new(Role::Client);
    let poller = client_poller().unwrap();
    let link = Link::client(
        Arc::new(near),
        &options.clone().into(),
        Duration::ZERO,
        Arc::new(Nobody),
        &poller,
    )
    .unwrap();
    // A block of four fields of the static table: GET, http, /, and 200 in the place of an authority. Nobody reads it.
    let stream = link.open(&[0x82, 0x86, 0x84], None, false, 1 << 20, Replies::Many).unwrap();
    let sends = Sends { limit: 1 << 20, encoding: Default::default() };
    (Outbox::new(stream.clone(), sends), stream, far)
}

/// Says that it has begun, and goes on when it is told to.
struct Slow {
    begun: mpsc::Sender<()>,
    go_on: std::sync::Mutex<mpsc::Receiver<()>>,
}

impl Codec<()> for Slow {
    fn encode(&self, _: &(), out: &mut dyn bytes::BufMut) -> Result<(), Status> {
        out.put_slice(b"slow");
        self.begun.send(()).unwrap();
        self.go_on.lock().unwrap().recv().unwrap();
        Ok(())
    }

    fn decode(&self, _: Bytes) -> Result<(), Status> {
        Ok(())
    }
}

struct Quick;

impl Codec<u8> for Quick {
    fn encode(&self, message: &u8, out: &mut dyn bytes::BufMut) -> Result<(), Status> {
        out.put_u8(*message);
        assert_ne!(*message, 13, "as it was asked to");
        Ok(())
    }

    fn decode(&self, _: Bytes) -> Result<u8, Status> {
        Ok(0)
    }
}

/// Does `meanwhile` while a codec is at its message; what became of that.
fn while_a_codec_runs(outbox: &Arc<Outbox>, meanwhile: impl FnOnce()) -> Result<bool, SendError> {
    let ((begun, has_begun), (go, go_on)) = (mpsc::channel(), mpsc::channel());
    let codec = Slow { begun, go_on: std::sync::Mutex::new(go_on) };
    thread::scope(|scope| {
        let sending = scope.spawn(|| outbox.try_send(&codec, &()));
        has_begun.recv_timeout(LONG).unwrap();
        meanwhile();
        go.send(()).unwrap();
        sending.join().unwrap()
    })
}

#[test]
fn nobody_waits_for_a_codec() {
    let (outbox, stream, _far) = rig();
    let sent = while_a_codec_runs(&outbox, || {
        assert!(outbox.has_room());
        outbox.flush();
        outbox.fire(0, clock::now(), &mut Vec::new());
        assert!(outbox.try_send(&Quick, &7).unwrap(), "nor does another message");
    });
    assert!(sent.unwrap());
    let sent = while_a_codec_runs(&outbox, || {
        assert!(stream.finish(Ending::Local(Status::cancelled("")), Reason::CANCEL));
        outbox.close();
    });
    assert!(matches!(sent, Err(SendError::Ended)), "what was half done is dropped: {sent:?}");
    let (outbox, _stream, _far) = rig();
    let sent = while_a_codec_runs(&outbox, || {
        outbox.finish(End::Half);
    });
    assert!(matches!(sent, Err(SendError::Ended)));
}

#[test]
fn what_is_framed_goes_out_while_a_codec_is_at_the_next_message() {
    let (outbox, stream, _far) = rig();
    outbox.buffer.lock().framed = vec![0, 0, 0, 0, 1, 9];
    let sent = while_a_codec_runs(&outbox, || {
        outbox.flush();
        assert!(outbox.buffer.lock().framed.is_empty());
    });
    assert!(sent.unwrap());
    drop(stream);
}

#[test]
fn a_codec_that_panics_leaves_nothing_and_the_next_message_is_whole() {
    let (outbox, _stream, far) = rig();
    let octets = |far: &MemoryPipe| {
        let (mut all, mut some) = (Vec::new(), [0; 4096]);
        let _ = far.wait(Interest { read: true, write: false }, Some(clock::now() + LONG));
        while let Ok(read @ 1..) = far.try_read(&mut some) {
            all.extend_from_slice(&some[..read]);
        }
        all
    };
    let _opening = octets(&far);
    assert!(catch_unwind(AssertUnwindSafe(|| outbox.try_send(&Quick, &13))).is_err());
    assert!(outbox.try_send(&Quick, &14).unwrap());
    outbox.flush();
    let sent = octets(&far);
    // A frame header, and one message of one octet.
    assert_eq!((&sent[..5], &sent[9..]), (&[0, 0, 6, 0, 0][..], &[0, 0, 0, 0, 1, 14][..]));
}

#[test]
fn messages_of_all_lengths_go_out_whole_and_in_order() {
    let (outbox, _stream, far) = rig();
    let lengths = [0, 1, 100, 5_000, FULL - 5, FULL, 3, FULL + FULL / 4, 60_000, 2, 2];
    let reader = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut all, mut some) = (Vec::new(), [0; 4096]);
            loop {
                match far.try_read(&mut some) {
                    Ok(read @ 1..) => all.extend_from_slice(&some[..read]),
                    Ok(0) => return all,
                    _ => {
                        let read = Interest { read: true, write: false };
                        far.wait(read, Some(clock::now() + LONG)).unwrap();
                    }
                }
            }
        });
        for (at, len) in lengths.iter().enumerate() {
            // As if they were framed in a row: some find a buffer that is reserved, some what waits in it.
            outbox.buffer.lock().streak = if at % 2 == 0 { STREAK } else { 0 };
            outbox.push(&crate::codec::Raw, &Bytes::from(vec![at as u8; *len])).unwrap();
        }
        outbox.flush();
        let link = outbox.buffer.lock().stream.clone().unwrap();
        link.link().close(Reason::NO_ERROR, "done");
        reader.join().unwrap()
    });
    let mut data = Vec::new();
    let mut rest = &reader[24..];
    while let Some((head, body)) = rest.split_first_chunk::<9>() {
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        if head[3] == 0 {
            data.extend_from_slice(&body[..len]);
        }
        rest = &body[len..];
    }
    let mut due = Vec::new();
    for (at, len) in lengths.iter().enumerate() {
        framing::put_prefix(&mut due, *len as u32);
        due.extend(vec![at as u8; *len]);
    }
    // What is beyond the first window was not sent.
    assert!(data.len() > 60_000);
    assert_eq!(data, due[..data.len()]);
}
