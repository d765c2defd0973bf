//! A server of ours, a proxy in front of it, and a channel to that.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, mpsc};

use bytes::Bytes;
use grpc_threads::{Channel, Metadata, Status};

use super::service::{Served, unary};
use super::support::{LONG, eventually};

/// Says that it has begun, waits until its call is over, and says that, too.
pub(crate) const WAIT: &str = "/test.Test/Wait";
/// Answers with so many octets of metadata in front.
pub(crate) const HEADERS: &str = "/test.Test/Headers";

/// How a proxy is started, and told of a new configuration.
pub(crate) struct Proxy {
    program: &'static str,
    arguments: &'static [&'static str],
    configuration: &'static str,
    reload: &'static str,
}

pub(crate) const NGINX: Proxy = Proxy {
    program: "nginx",
    arguments: &["-c", "CONFIGURATION"],
    configuration: "daemon off; worker_processes 1; pid DIR/pid; error_log stderr error;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/fastcgi;
    uwsgi_temp_path DIR/uwsgi; scgi_temp_path DIR/scgi;
    grpc_read_timeout 2s;
    keepalive_requests 50;
    server { listen 127.0.0.1:PORT http2; location / { grpc_pass grpc://SERVER; } }
}
",
    reload: "HUP",
};

pub(crate) const HAPROXY: Proxy = Proxy {
    program: "haproxy",
    arguments: &["-db", "-q", "-f", "CONFIGURATION"],
    configuration: "defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 2s
frontend all
    bind 127.0.0.1:PORT proto h2
    default_backend ours
backend ours
    server one SERVER proto h2
",
    reload: "USR2",
};

pub(crate) struct Behind {
    pub(crate) channel: Channel,
    served: Option<Served>,
    began: mpsc::Receiver<()>,
    ended: mpsc::Receiver<()>,
    proxy: Child,
    reload: &'static str,
    dir: std::path::PathBuf,
}

impl Behind {
    pub(crate) fn new(proxy: &Proxy) -> Self {
        let (begins, began) = mpsc::channel();
        let (ends, ended) = mpsc::channel();
        let both = Mutex::new((begins, ends));
        let wait = unary(move |_, context| {
            let (over, end) = mpsc::channel();
            let (begins, ends) = both.lock().unwrap().clone();
            begins.send(()).unwrap();
            if context.add_callback(move || over.send(()).unwrap()) {
                end.recv_timeout(LONG).expect("its client is heard of");
            }
            let _ = ends.send(());
            Err(Status::cancelled("over"))
        });
        let headers = unary(|request, context| {
            let len = std::str::from_utf8(&request).unwrap().parse().unwrap();
            let mut metadata = Metadata::new();
            metadata.insert("long", &"v".repeat(len)).unwrap();
            context.send_initial_metadata(&metadata)?;
            Ok(Bytes::new())
        });
        let served = Served::with(8, [("Wait", wait), ("Headers", headers)]);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = std::env::temp_dir().join(format!("{}-{}", proxy.program, std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let configuration = dir.join("configuration");
        let place = |text: &str| {
            text.replace("DIR", dir.to_str().unwrap())
                .replace("PORT", &port.to_string())
                .replace("SERVER", &served.target())
                .replace("CONFIGURATION", configuration.to_str().unwrap())
        };
        std::fs::write(&configuration, place(proxy.configuration)).unwrap();
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let child = Command::new(proxy.program)
            .args(proxy.arguments.iter().map(|argument| place(argument)))
            .env("PATH", path)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", proxy.program));
        eventually(LONG, "the proxy listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        let channel = super::service::channel(&format!("127.0.0.1:{port}"));
        let served = Some(served);
        Self { channel, served, began, ended, proxy: child, reload: proxy.reload, dir }
    }

    /// A call of [`WAIT`] runs.
    pub(crate) fn began(&self) {
        self.began.recv_timeout(LONG).expect("the call runs");
    }

    /// One is over.
    pub(crate) fn heard(&self) {
        self.ended.recv_timeout(LONG).expect("the server hears of the end");
    }

    pub(crate) fn stop_server(&mut self) {
        let served = self.served.take().expect("it runs");
        served.server.stop(None).wait(LONG).unwrap();
    }

    /// The proxy reads its configuration anew.
    pub(crate) fn reload(&self) {
        let signal = format!("-{}", self.reload);
        let told = Command::new("kill").args([&signal, &self.proxy.id().to_string()]).status();
        assert!(told.unwrap().success());
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.proxy.id().to_string()).status();
        let _ = self.proxy.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
