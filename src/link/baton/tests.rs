//! The baton under random schedules: everything that is appended is sent, in order, by one
//! thread at a time, also when the socket fills up.

use shuttle::rand::Rng;
use shuttle::sync::{Arc, Condvar, Mutex};

use super::Baton;

struct Model {
    state: Mutex<State>,
    /// The kernel's side: what was sent, and room for so much more.
    socket: Mutex<Socket>,
    /// Tells the one who waits for the socket on behalf of everybody.
    edge: Condvar,
}

struct State {
    baton: Baton,
    pending: Vec<u32>,
    tail: Vec<u32>,
}

struct Socket {
    sent: Vec<u32>,
    room: usize,
    writing: bool,
    /// A write came short: the next room is an edge.
    full: bool,
    /// Edges nobody has taken yet. As with an edge-triggered epoll each is reported once.
    edges: usize,
    over: bool,
}

impl Model {
    /// `Link::write`: the caller holds the baton.
    fn write(&self) {
        let mut out = std::mem::take(&mut self.state.lock().unwrap().tail);
        loop {
            let mut state = self.state.lock().unwrap();
            if out.is_empty() {
                out.append(&mut state.pending);
            }
            if out.is_empty() {
                return state.baton.release();
            }
            drop(state);
            let sent = self.send(&out);
            out.drain(..sent);
            if !out.is_empty() {
                let mut state = self.state.lock().unwrap();
                if state.baton.stick() {
                    state.tail = out;
                    return;
                }
            }
        }
    }

    fn send(&self, what: &[u32]) -> usize {
        let mut socket = self.socket.lock().unwrap();
        assert!(!std::mem::replace(&mut socket.writing, true), "two threads write at once");
        drop(socket);
        let mut socket = self.socket.lock().unwrap();
        let taken = socket.room.min(what.len());
        socket.room -= taken;
        socket.sent.extend_from_slice(&what[..taken]);
        socket.writing = false;
        socket.full = taken < what.len();
        taken
    }

    fn append(&self, item: u32) {
        let mut state = self.state.lock().unwrap();
        state.pending.push(item);
        if state.baton.take() {
            drop(state);
            self.write();
        }
    }

    /// A server's poller: told of each edge once, it resumes or nudges.
    fn poll_until_over(&self) {
        loop {
            let mut socket = self.socket.lock().unwrap();
            while socket.edges == 0 && !socket.over {
                socket = self.edge.wait(socket).unwrap();
            }
            if socket.edges == 0 {
                return;
            }
            socket.edges -= 1;
            drop(socket);
            if self.state.lock().unwrap().baton.resume() {
                self.write();
            }
        }
    }

    /// The peer reads: room, and an edge if a writer had met a full socket.
    fn drain(&self, more: usize) {
        let mut socket = self.socket.lock().unwrap();
        socket.room += more;
        if std::mem::replace(&mut socket.full, false) {
            socket.edges += 1;
            self.edge.notify_all();
        }
    }
}

#[test]
fn everything_appended_is_sent_once_and_by_one_thread_at_a_time() {
    shuttle::check_random(
        || {
            let model = Arc::new(Model {
                state: Mutex::new(State {
                    baton: Baton::Free,
                    pending: Vec::new(),
                    tail: Vec::new(),
                }),
                socket: Mutex::new(Socket {
                    sent: Vec::new(),
                    room: 1,
                    writing: false,
                    full: false,
                    edges: 0,
                    over: false,
                }),
                edge: Condvar::new(),
            });
            let poller = {
                let model = model.clone();
                shuttle::thread::spawn(move || model.poll_until_over())
            };
            let writers: Vec<_> = (0..3u32)
                .map(|writer| {
                    let model = model.clone();
                    shuttle::thread::spawn(move || {
                        for item in 0..3 {
                            model.append(writer * 10 + item);
                        }
                    })
                })
                .collect();
            for _ in 0..9 {
                model.drain(shuttle::rand::thread_rng().gen_range(1..3));
                shuttle::thread::yield_now();
            }
            for thread in writers {
                thread.join().unwrap();
            }
            // There is room for everything now: the last edge gets the rest out.
            model.drain(9);
            model.socket.lock().unwrap().over = true;
            model.edge.notify_all();
            poller.join().unwrap();
            let socket = model.socket.lock().unwrap();
            assert_eq!(socket.sent.len(), 9);
            for writer in 0..3 {
                let mine: Vec<u32> =
                    socket.sent.iter().filter(|item| **item / 10 == writer).copied().collect();
                assert_eq!(mine, [writer * 10, writer * 10 + 1, writer * 10 + 2]);
            }
        },
        3_000,
    );
}
