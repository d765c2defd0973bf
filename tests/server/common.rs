//! Servers to call.

use std::sync::mpsc;

use bytes::Bytes;
use grpc_threads::{
    Raw, RpcMethodHandler, Server, ServerOptions, Service, ServicerContext, Status, ThreadPool,
    unary_unary_rpc_method_handler_with,
};

use crate::support::LONG;
use crate::support::frames::{Ended, Peer};

pub(crate) const OK: Option<u32> = Some(0);
pub(crate) const CANCELLED: Option<u32> = Some(1);
pub(crate) const UNKNOWN: Option<u32> = Some(2);
pub(crate) const DEADLINE_EXCEEDED: Option<u32> = Some(4);
pub(crate) const NOT_FOUND: Option<u32> = Some(5);
pub(crate) const RESOURCE_EXHAUSTED: Option<u32> = Some(8);
pub(crate) const UNIMPLEMENTED: Option<u32> = Some(12);
pub(crate) const INTERNAL: Option<u32> = Some(13);
pub(crate) const UNAVAILABLE: Option<u32> = Some(14);

/// RST_STREAM codes.
pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const CANCEL: u32 = 8;

/// A running server, and a client of it.
pub(crate) struct Pair {
    pub(crate) server: Server,
    pub(crate) port: u16,
    pub(crate) peer: Peer,
}

impl Pair {
    pub(crate) fn of(workers: usize, service: Service) -> Self {
        Self::with(workers, ServerOptions::default(), service)
    }

    pub(crate) fn with(workers: usize, options: ServerOptions, service: Service) -> Self {
        let server = Server::builder().thread_pool(ThreadPool::new(workers)).options(options);
        let server = server.build().unwrap();
        server.add_service(service).unwrap();
        Self::start(server)
    }

    pub(crate) fn start(server: Server) -> Self {
        let port = server.add_insecure_port("127.0.0.1:0").unwrap();
        server.start().unwrap();
        let peer = connect(port);
        Self { server, port, peer }
    }

    /// One call to its end.
    pub(crate) fn call(&mut self, method: &str, body: &[u8]) -> Ended {
        let stream = self.peer.request(&format!("/test.Test/{method}"), body);
        self.peer.wait_end(stream)
    }
}

pub(crate) fn connect(port: u16) -> Peer {
    let peer = Peer::connect(("127.0.0.1", port));
    peer.patience(LONG);
    peer
}

/// A unary method over bytes.
pub(crate) fn unary(
    behaviour: impl Fn(Bytes, &ServicerContext) -> Result<Bytes, Status> + Send + Sync + 'static,
) -> RpcMethodHandler {
    unary_unary_rpc_method_handler_with(behaviour, Raw, Raw)
}

pub(crate) fn echo() -> RpcMethodHandler {
    unary(|request, _| Ok(request))
}

pub(crate) fn service() -> Service {
    Service::new("test.Test")
}

/// A gate a handler waits at, told of by `arrived` and opened by dropping or sending to `open`.
pub(crate) struct Gate {
    arrived: mpsc::SyncSender<()>,
    opened: std::sync::Mutex<mpsc::Receiver<()>>,
}

pub(crate) struct Keeper {
    arrived: mpsc::Receiver<()>,
    pub(crate) open: mpsc::SyncSender<()>,
}

pub(crate) fn gate() -> (Gate, Keeper) {
    let (arrived, arrival) = mpsc::sync_channel(16);
    let (open, opened) = mpsc::sync_channel(16);
    let gate = Gate { arrived, opened: std::sync::Mutex::new(opened) };
    (gate, Keeper { arrived: arrival, open })
}

impl Gate {
    pub(crate) fn pass(&self) {
        let _ = self.arrived.send(());
        let _ = self.opened.lock().unwrap().recv_timeout(LONG);
    }
}

impl Keeper {
    pub(crate) fn wait(&self) {
        self.arrived.recv_timeout(LONG).expect("the handler came to the gate");
    }
}
