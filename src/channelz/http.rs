//! A small answerer of HTTP/1.1 for the pages: one connection, one request, one answer.
//!
//! § RFC 9112, as far as a browser that reads pages needs it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::page::page;
use crate::reactor::clock;

/// The longest head of a request, in octets.
const LONGEST_HEAD: usize = 8 << 10;
/// How long all of it may take.
const TIME: Duration = Duration::from_secs(5);
/// How long, and how much, what a client still sends is read behind the answer, so that it is not lost to a reset.
const LINGER: Duration = Duration::from_secs(1);
const LEFT: usize = 64 << 10;

/// Reads one request from a connection, answers it with the [`page`](super::page()) of its path, and closes it.
///
/// It blocks this thread until the answer is out, for 5 s at most, and reads 8 KiB at most: a client that is slower, or says more, is turned away.
/// Only `GET` and `HEAD` are answered. So a thread that calls it for each connection of a listener is all it takes:
///
/// ```no_run
/// use std::net::TcpListener;
/// use grpc_threads::channelz::answer_page;
///
/// let listener = TcpListener::bind("127.0.0.1:8080")?;
/// for connection in listener.incoming() {
///     if let Err(error) = answer_page(&connection?) {
///         eprintln!("a page was not sent: {error}");
///     }
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Whoever can connect can read it: listen on a loopback address, or on one that only operators reach.
///
/// # Errors
/// The socket's: the client has gone, or took too long.
pub fn answer_page(connection: &TcpStream) -> io::Result<()> {
    let timed = Timed { connection, until: clock::now() + TIME };
    let answer = answer(timed.head()?.as_deref());
    timed.send(&answer)?;
    connection.shutdown(Shutdown::Write)?;
    Timed { connection, until: timed.until.min(clock::now() + LINGER) }.drain();
    Ok(())
}

/// A connection, and when its time is over.
struct Timed<'a> {
    connection: &'a TcpStream,
    until: Instant,
}

impl Timed<'_> {
    /// What is left; an error: nothing.
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(clock::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    /// One read. The client's end is nought.
    fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            self.connection.set_read_timeout(Some(self.left()?))?;
            let mut from = self.connection;
            match from.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                result => return result,
            }
        }
    }

    /// The head of the request; `None`: it is too long.
    fn head(&self) -> io::Result<Option<Vec<u8>>> {
        let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
        loop {
            if head.len() > LONGEST_HEAD {
                return Ok(None);
            }
            let read = self.read(&mut buffer)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // The end may lie across two reads.
            let seen = head.len().saturating_sub(3);
            head.extend_from_slice(buffer.get(..read).unwrap_or_default());
            if head.get(seen..).unwrap_or_default().windows(4).any(|four| four == b"\r\n\r\n") {
                return Ok(Some(head));
            }
        }
    }

    fn send(&self, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            self.connection.set_write_timeout(Some(self.left()?))?;
            let mut to = self.connection;
            match to.write(octets) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => octets = octets.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn drain(&self) {
        let (mut left, mut buffer) = (LEFT, [0; 1024]);
        while left > 0 {
            match self.read(&mut buffer) {
                Ok(read) if read > 0 => left = left.saturating_sub(read),
                _ => return,
            }
        }
    }
}

/// What is said to a head; `None`: one that is too long.
fn answer(head: Option<&[u8]>) -> Vec<u8> {
    let said = |status: &str, text: &str| whole(status, "text/plain", text, true);
    let Some(head) = head else {
        return said("431 Request Header Fields Too Large", "the request is too long\n");
    };
    let line = head.split(|octet| *octet == b'\r').next().unwrap_or_default();
    let words: Vec<_> = line.split(|octet| *octet == b' ').collect();
    let [method, path, b"HTTP/1.1" | b"HTTP/1.0"] = words[..] else {
        return said("400 Bad Request", "this is no request of HTTP/1.1\n");
    };
    let with_body = match method {
        b"GET" => true,
        b"HEAD" => false,
        _ => return said("405 Method Not Allowed", "there is nothing but pages to read\n"),
    };
    match std::str::from_utf8(path).ok().and_then(page) {
        Some(html) => whole("200 OK", "text/html", &html, with_body),
        None => whole(
            "404 Not Found",
            "text/plain",
            "there is no such page, any more or at all\n",
            with_body,
        ),
    }
}

fn whole(status: &str, kind: &str, text: &str, with_body: bool) -> Vec<u8> {
    // No page of elsewhere may frame it, and it may load nothing, whatever stands in it.
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\
         Allow: GET, HEAD\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'\r\n\r\n",
        text.len()
    );
    let body = if with_body { text } else { "" };
    [head.as_bytes(), body.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn said(head: &[u8]) -> String {
        String::from_utf8(answer(Some(head))).unwrap()
    }

    #[test]
    fn requests_are_answered_by_what_they_ask() {
        for (head, status) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], "200 OK"),
            (b"GET / HTTP/1.0\r\n\r\n", "200 OK"),
            (b"GET /channel/0 HTTP/1.1\r\n\r\n", "404 Not Found"),
            (b"GET /\xff HTTP/1.1\r\n\r\n", "404 Not Found"),
            (b"POST / HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
            (b"PRI * HTTP/2.0\r\n\r\n", "400 Bad Request"),
            (b"GET  / HTTP/1.1\r\n\r\n", "400 Bad Request"),
            (b"\r\n\r\n", "400 Bad Request"),
            (b"", "400 Bad Request"),
        ] {
            let told = said(head);
            assert!(told.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head:?}: {told}");
            let (head, body) = told.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{told}");
        }
        assert!(answer(None).starts_with(b"HTTP/1.1 431"));
        assert!(said(b"HEAD / HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n"), "no body");
    }

    /// What is answered to these pieces.
    fn answered(pieces: &[&[u8]]) -> io::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        client.set_nodelay(true)?;
        let (server, _) = listener.accept()?;
        for piece in pieces {
            client.write_all(piece)?;
        }
        client.shutdown(Shutdown::Write)?;
        let mut told = String::new();
        answer_page(&server)?;
        drop(server);
        client.read_to_string(&mut told)?;
        Ok(told)
    }

    #[test]
    fn a_request_may_come_in_pieces_and_one_that_is_cut_has_no_answer() {
        assert!(answered(&[b"GET / HT", b"TP/1.1\r", b"\n\r", b"\n"]).unwrap().contains("200 OK"));
        let error = answered(&[b"GET / HTTP/1.1\r\n"]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_request_without_end_is_read_no_further_than_its_limit() {
        let long = vec![b'a'; 10 * LONGEST_HEAD];
        let told = answered(&[b"GET / HTTP/1.1\r\nx: ", &long]).unwrap();
        assert!(told.starts_with("HTTP/1.1 431 "), "{told}");
    }

    #[test]
    fn a_client_that_says_nothing_is_left_when_its_time_is_over() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let soon = Timed { connection: &server, until: clock::now() + Duration::from_millis(20) };
        assert_eq!(soon.head().unwrap_err().kind(), io::ErrorKind::TimedOut);
        let over = Timed { connection: &server, until: clock::now() };
        assert_eq!(over.send(b"x").unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(client);
    }
}
