//! The baton under random schedules: everything that is appended is sent, in order, by one
//! thread at a time, also when the socket fills up.

use shuttle::rand::Rng;
use shuttle::sync::{Arc, Condvar, Mutex};

use super::Baton;

struct Model {
    state: Mutex<State>,
    /// The kernel's side: what was sent, and room for so much more.
    socket: Mutex<Socket>,
    drained: Condvar,
    /// Tells the one who waits for the socket on behalf of everybody.
    stuck: Condvar,
}

struct State {
    baton: Baton,
    pending: Vec<u32>,
    tail: Vec<u32>,
    writers: usize,
    over: bool,
}

struct Socket {
    sent: Vec<u32>,
    room: usize,
    writing: bool,
}

impl Model {
    /// `Link::write`: the caller holds the baton.
    fn write(&self) {
        let mut out = std::mem::take(&mut self.state.lock().unwrap().tail);
        loop {
            let mut state = self.state.lock().unwrap();
            out.append(&mut state.pending);
            if out.is_empty() {
                return state.baton.release();
            }
            drop(state);
            let sent = self.send(&out);
            out.drain(..sent);
            if !out.is_empty() {
                let mut state = self.state.lock().unwrap();
                state.tail = out;
                state.baton.stick();
                self.stuck.notify_all();
                return;
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

    /// The leader or the poller: resumes whenever the socket is writable.
    fn resume_until_over(&self) {
        loop {
            let mut state = self.state.lock().unwrap();
            while state.baton != Baton::Stuck {
                if state.over && state.baton == Baton::Free {
                    return;
                }
                state = self.stuck.wait(state).unwrap();
            }
            drop(state);
            let mut socket = self.socket.lock().unwrap();
            while socket.room == 0 {
                socket = self.drained.wait(socket).unwrap();
            }
            drop(socket);
            if self.state.lock().unwrap().baton.resume() {
                self.write();
            }
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
                    writers: 3,
                    over: false,
                }),
                socket: Mutex::new(Socket { sent: Vec::new(), room: 1, writing: false }),
                drained: Condvar::new(),
                stuck: Condvar::new(),
            });
            let writers: Vec<_> = (0..3u32)
                .map(|writer| {
                    let model = model.clone();
                    shuttle::thread::spawn(move || {
                        for item in 0..3 {
                            model.append(writer * 10 + item);
                        }
                        let mut state = model.state.lock().unwrap();
                        state.writers -= 1;
                        state.over = state.writers == 0;
                        model.stuck.notify_all();
                    })
                })
                .collect();
            let kernel = {
                let model = model.clone();
                shuttle::thread::spawn(move || {
                    for _ in 0..9 {
                        let more = shuttle::rand::thread_rng().gen_range(1..3);
                        model.socket.lock().unwrap().room += more;
                        model.drained.notify_all();
                        shuttle::thread::yield_now();
                    }
                })
            };
            model.resume_until_over();
            for thread in writers {
                thread.join().unwrap();
            }
            kernel.join().unwrap();
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
