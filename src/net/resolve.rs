//! Names to addresses, off the caller's thread.
//!
//! `getaddrinfo` cannot be interrupted and may hang for half a minute, so it runs on at
//! most [`THREADS`] detached threads; whoever asked keeps its deadline and simply
//! does not listen any more. Literals never leave the caller's thread.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};

use crate::sync::Mutex;

use super::address;
use crate::reactor::{process, threads, user};

const THREADS: usize = 4;
/// Questions that may wait for a resolver thread.
const WAITING: usize = 1_000;

/// What is done with the answer. Runs on a resolver thread, or on the caller's for a
/// literal: be quick.
pub(crate) type Answer = Box<dyn FnOnce(io::Result<Vec<SocketAddr>>) + Send>;

/// Asks the system. Replaced in tests.
type LookUp = fn(&str, u16) -> io::Result<Vec<SocketAddr>>;

struct Question {
    host: String,
    port: u16,
    look_up: LookUp,
    answer: Answer,
}

#[derive(Default)]
struct Desk {
    waiting: VecDeque<Question>,
    threads: usize,
    /// Whose threads these are: a child of this process has none of them.
    generation: u32,
}

/// Guards the questions and the count of threads. A leaf.
static DESK: Mutex<Desk> = Mutex::new(Desk { waiting: VecDeque::new(), threads: 0, generation: 0 });

/// Resolves `host`, a name or an IP literal (IPv6 with or without brackets).
pub(crate) fn resolve(host: &str, port: u16, answer: Answer) {
    resolve_with(host, port, ask_the_system, answer);
}

fn ask_the_system(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

fn resolve_with(host: &str, port: u16, look_up: LookUp, answer: Answer) {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    match address::ipv6(bare) {
        Ok(Some((ip, zone))) => {
            return answer(Ok(vec![SocketAddrV6::new(ip, port, 0, zone).into()]));
        }
        Ok(None) => {}
        Err(why) => return answer(Err(io::Error::new(io::ErrorKind::NotFound, why))),
    }
    if let Ok(ip) = bare.parse::<Ipv4Addr>() {
        return answer(Ok(vec![(ip, port).into()]));
    }
    let question = Question { host: host.to_owned(), port, look_up, answer };
    let mut desk = DESK.lock();
    desk.renew(process::generation());
    if desk.waiting.len() >= WAITING {
        drop(desk);
        let full =
            io::Error::new(io::ErrorKind::ResourceBusy, "too many names wait for resolution");
        return (question.answer)(Err(full));
    }
    desk.waiting.push_back(question);
    if desk.threads >= THREADS {
        return;
    }
    desk.threads += 1;
    drop(desk);
    if let Err(error) = threads::spawn("grpc-resolver", serve) {
        let mut desk = DESK.lock();
        desk.threads -= 1;
        let left =
            if desk.threads == 0 { std::mem::take(&mut desk.waiting) } else { VecDeque::new() };
        drop(desk);
        for question in left {
            (question.answer)(Err(io::Error::new(error.kind(), error.to_string())));
        }
    }
}

impl Desk {
    fn renew(&mut self, generation: u32) {
        if self.generation != generation {
            // Questions of the parent's: it answers and drops them.
            std::mem::forget(std::mem::take(&mut self.waiting));
            (self.threads, self.generation) = (0, generation);
        }
    }
}

/// Answers until nobody asks; then the thread ends.
fn serve() {
    loop {
        let question = {
            let mut desk = DESK.lock();
            let Some(question) = desk.waiting.pop_front() else {
                desk.threads -= 1;
                return;
            };
            question
        };
        let found = (question.look_up)(&question.host, question.port);
        // A thread that died of its answer would be counted for ever.
        let (host, answer) = (question.host, question.answer);
        let _ = user::run(format_args!("what was to be done with the addresses of {host}"), || {
            answer(found)
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    fn ask(host: &str) -> (io::Result<Vec<SocketAddr>>, thread::ThreadId) {
        let (sender, receiver) = channel();
        resolve(
            host,
            80,
            Box::new(move |found| {
                sender.send((found, thread::current().id())).unwrap();
            }),
        );
        receiver.recv().unwrap()
    }

    #[test]
    fn literals_resolve_on_the_callers_thread() {
        for literal in ["127.0.0.1", "::1", "[::1]"] {
            let (found, thread) = ask(literal);
            assert_eq!(found.unwrap().len(), 1, "{literal}");
            assert_eq!(thread, thread::current().id());
        }
    }

    #[test]
    fn names_resolve_elsewhere_and_unknown_ones_are_errors() {
        let (found, thread) = ask("localhost");
        assert!(found.unwrap().iter().all(|address| address.ip().is_loopback()));
        assert_ne!(thread, thread::current().id());
        assert!(ask("no-such-host.invalid").0.is_err());
    }

    #[test]
    fn l12_a_child_has_resolver_threads_of_its_own() {
        let mut desk = Desk { threads: THREADS, ..Desk::default() };
        desk.renew(0);
        assert_eq!(desk.threads, THREADS);
        desk.renew(1);
        assert_eq!((desk.threads, desk.waiting.len()), (0, 0));
    }

    #[test]
    fn a_zone_goes_along_and_an_unknown_one_is_named() {
        let (found, thread) = ask("fe80::1%3");
        assert_eq!(
            found.unwrap(),
            [SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, 3).into()]
        );
        assert_eq!(thread, thread::current().id());
        assert!(ask("fe80::1%no-such-one").0.unwrap_err().to_string().contains("no-such-one"));
    }

    static GATE: Mutex<()> = Mutex::new(());
    static HANGING: AtomicUsize = AtomicUsize::new(0);

    fn hang(_: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        HANGING.fetch_add(1, Ordering::SeqCst);
        drop(GATE.lock());
        HANGING.fetch_sub(1, Ordering::SeqCst);
        Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
    }

    #[test]
    fn l10_hanging_lookups_hold_up_no_caller_and_take_no_more_threads() {
        let gate = GATE.lock();
        let (sender, receiver) = channel();
        for port in 0..THREADS as u16 + 3 {
            let sender = sender.clone();
            // Panics do not cost a thread, either.
            let answer = move |found: io::Result<Vec<SocketAddr>>| {
                sender.send(found.unwrap()[0].port()).unwrap();
                std::panic::resume_unwind(Box::new("on purpose"));
            };
            resolve_with("slow.example", port, hang, Box::new(answer));
        }
        // Other tests may have the threads for a moment.
        while HANGING.load(Ordering::SeqCst) < THREADS {
            thread::yield_now();
        }
        assert!(DESK.lock().threads <= THREADS);
        let (found, thread) = ask("127.0.0.1");
        assert!(found.is_ok());
        assert_eq!(thread, thread::current().id());
        drop(gate);
        let mut ports: Vec<u16> = (0..THREADS + 3).map(|_| receiver.recv().unwrap()).collect();
        ports.sort_unstable();
        assert_eq!(ports, Vec::from_iter(0..THREADS as u16 + 3));
        assert!(ask("localhost").0.is_ok());
    }
}
