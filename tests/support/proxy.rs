//! A TCP proxy that does harm at an exact byte of either direction.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// What happens to one connection.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// From the client to the server.
    pub up: Way,
    /// From the server to the client.
    pub down: Way,
}

/// What happens to one direction of it.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Bytes read at a time.
    pub chunk: usize,
    /// After so many bytes, that.
    pub after: Option<(usize, Harm)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// Both ends see an orderly end of both directions.
    Close,
    /// Both ends see a TCP reset.
    Reset,
    /// The receiver of this direction sees its end; the other direction goes on.
    HalfClose,
    /// Nothing more is read of this direction; everything stays open.
    Stall,
}

impl Plan {
    pub const PASS: Self = Self { up: Way::PASS, down: Way::PASS };

    pub fn up(after: usize, harm: Harm) -> Self {
        Self { up: Way { after: Some((after, harm)), ..Way::PASS }, ..Self::PASS }
    }

    pub fn down(after: usize, harm: Harm) -> Self {
        Self { down: Way { after: Some((after, harm)), ..Way::PASS }, ..Self::PASS }
    }

    /// One byte at a time, both ways.
    pub fn byte_by_byte() -> Self {
        let way = Way { chunk: 1, after: None };
        Self { up: way, down: way }
    }
}

impl Way {
    pub const PASS: Self = Self { chunk: 65_536, after: None };
}

/// A running proxy. Dropping it ends everything that goes through it.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<thread::JoinHandle<()>>,
}

struct Shared {
    target: SocketAddr,
    plans: Mutex<VecDeque<Plan>>,
    links: Mutex<Vec<Arc<Pair>>>,
    closing: AtomicBool,
    accepted: AtomicUsize,
}

struct Pair {
    client: TcpStream,
    server: TcpStream,
    up: AtomicUsize,
    down: AtomicUsize,
    over: Mutex<bool>,
    ended: Condvar,
}

impl Proxy {
    pub fn new(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target,
            plans: Mutex::default(),
            links: Mutex::default(),
            closing: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
        });
        let serving = shared.clone();
        let accepting = start(move || {
            for client in listener.incoming() {
                if serving.closing.load(Ordering::Acquire) {
                    return;
                }
                serving.connect(client.unwrap());
            }
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    pub fn target(&self) -> String {
        self.address.to_string()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection meets this plan; those after it pass.
    pub fn next(&self, plan: Plan) {
        self.shared.plans.lock().unwrap().push_back(plan);
    }

    /// Bytes that passed on the last connection: up, down.
    pub fn passed(&self) -> (usize, usize) {
        let links = self.shared.links.lock().unwrap();
        links.last().map_or((0, 0), |pair| {
            (pair.up.load(Ordering::Acquire), pair.down.load(Ordering::Acquire))
        })
    }

    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Acquire)
    }

    /// Ends all connections of now.
    pub fn cut(&self, harm: Harm) {
        for pair in self.shared.links.lock().unwrap().drain(..) {
            pair.end(harm);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        // Who is still there hears of it by a reset; nothing is left to read.
        self.cut(Harm::Reset);
    }
}

impl Shared {
    fn connect(&self, client: TcpStream) {
        let plan = self.plans.lock().unwrap().pop_front().unwrap_or(Plan::PASS);
        self.accepted.fetch_add(1, Ordering::AcqRel);
        // A target that has gone is told by the end of the connection.
        let Ok(server) = TcpStream::connect(self.target) else { return };
        for socket in [&client, &server] {
            socket.set_nodelay(true).unwrap();
        }
        let pair = Arc::new(Pair {
            client,
            server,
            up: AtomicUsize::new(0),
            down: AtomicUsize::new(0),
            over: Mutex::new(false),
            ended: Condvar::new(),
        });
        let mut links = self.links.lock().unwrap();
        links.retain(|pair| Arc::strong_count(pair) > 1);
        links.push(pair.clone());
        drop(links);
        let other = pair.clone();
        start(move || pair.pass(&pair.client, &pair.server, &pair.up, plan.up));
        start(move || other.pass(&other.server, &other.client, &other.down, plan.down));
    }
}

impl Pair {
    fn pass(&self, mut from: &TcpStream, mut to: &TcpStream, passed: &AtomicUsize, way: Way) {
        let mut buffer = vec![0; way.chunk];
        loop {
            let count = passed.load(Ordering::Acquire);
            let mut most = buffer.len();
            if let Some((limit, harm)) = way.after {
                if count == limit {
                    return self.harm(harm, from, to);
                }
                most = most.min(limit - count);
            }
            match from.read(&mut buffer[..most]) {
                Ok(n) if n > 0 => {
                    // After an orderly close from here, what still comes is read and dropped: closing with unread
                    // bytes would be a reset.
                    if *self.over.lock().unwrap() {
                        continue;
                    }
                    passed.fetch_add(n, Ordering::AcqRel);
                    // An end that no longer listens is not ours to tell of: the other direction does.
                    let _ = to.write_all(&buffer[..n]);
                }
                Ok(_) => {
                    // An end is passed on as an end; the other direction may go on. But a socket that is just
                    // being reset reads as ended, too, and its fellow's turn comes next.
                    let over = self.over.lock().unwrap();
                    if !*over {
                        let _ = to.shutdown(Shutdown::Write);
                    }
                    return;
                }
                Err(_) => return self.end(Harm::Reset),
            }
        }
    }

    fn harm(&self, harm: Harm, mut from: &TcpStream, to: &TcpStream) {
        match harm {
            Harm::HalfClose => {
                let _ = to.shutdown(Shutdown::Write);
            }
            Harm::Stall => {
                let mut over = self.over.lock().unwrap();
                while !*over {
                    over = self.ended.wait(over).unwrap();
                }
            }
            harm => {
                self.end(harm);
                let mut dropped = [0; 4096];
                while from.read(&mut dropped).is_ok_and(|n| n > 0) {}
            }
        }
    }

    fn end(&self, harm: Harm) {
        let mut over = self.over.lock().unwrap();
        *over = true;
        self.ended.notify_all();
        for socket in [&self.client, &self.server] {
            if harm == Harm::Reset {
                disconnect(socket);
            } else {
                let _ = socket.shutdown(Shutdown::Write);
            }
        }
    }
}

/// A TCP reset, at once, whoever else still holds the descriptor: with a lingering time of zero, `connect` with
/// `AF_UNSPEC` sends it, where `shutdown` would send a FIN.
fn disconnect(socket: &TcpStream) {
    let _ = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO));
    if let Err(error) = rustix::net::connect_unspec(socket) {
        eprintln!("no reset, but an end: {error}");
    }
    let _ = socket.shutdown(Shutdown::Both);
}

fn start(body: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    thread::Builder::new().name("proxy".into()).spawn(body).unwrap()
}
