//! The server of `tests/peers`, where the same is written in Python over grpcio: messages are bytes, and metadata says
//! what a method has to do.
//!
//! `cargo run --example peer_server -- --port=0` prints where it listens, and ends when its input does.

mod common {
    pub(crate) mod flags;
}

use std::collections::HashMap;
use std::error::Error;
use std::io::Read;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use common::flags::Flags;
use grpc_threads::metadata::Value;
use grpc_threads::{
    Code, Metadata, Raw, RequestIterator, RpcMethodHandler, Server, ServerOptions, Service,
    ServicerContext, Status, ThreadPool, stream_stream_rpc_method_handler_with,
    stream_unary_rpc_method_handler_with, unary_stream_rpc_method_handler_with,
    unary_unary_rpc_method_handler_with,
};

type Requests = RequestIterator<Bytes>;
type Reply = Result<Bytes, Status>;

fn main() -> Result<(), Box<dyn Error>> {
    let flags = Flags::parse(
        "Serves peers.Peer on 127.0.0.1 until its input ends.",
        &[
            ("port", "where to listen; 0, the default, for any free port"),
            ("max_send", "the longest reply, in bytes"),
        ],
    );
    let options =
        ServerOptions::default().max_send_message_size(flags.value("max_send", usize::MAX));
    let server = Server::builder().thread_pool(ThreadPool::new(64)).options(options).build()?;
    server.add_service(peer())?;
    let port = server.add_insecure_port(&format!("127.0.0.1:{}", flags.value("port", 0u16)))?;
    server.start()?;
    println!("listening on 127.0.0.1:{port}");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    server.stop(Duration::from_secs(10)).wait(Duration::from_secs(20))?;
    Ok(())
}

fn peer() -> Service {
    let ends = Ends::default();
    let (for_wait, for_hold, for_seen) = (ends.clone(), ends.clone(), ends);
    Service::new("peers.Peer")
        .method("Echo", unary(echo))
        .method("Sized", unary(sized))
        .method("Fail", unary(fail))
        .method("Raise", unary(raise))
        .method("Much", unary(much))
        .method("Remaining", unary(remaining))
        .method("Who", unary(who))
        .method("Cancel", unary(cancel))
        .method("Wait", unary(move |request, context| wait(&request, context, &for_wait)))
        .method("Seen", unary(move |request, _| Ok(for_seen.of(&text(&request)?).into())))
        .method("FailAfter", unary_stream_rpc_method_handler_with(fail_after, Raw, Raw))
        .method("Hold", hold(for_hold))
        .method("Collect", stream_unary_rpc_method_handler_with(collect, Raw, Raw))
        .method("Early", stream_unary_rpc_method_handler_with(early, Raw, Raw))
        .method("Chat", stream_stream_rpc_method_handler_with(chat, Raw, Raw))
}

fn unary<F>(behaviour: F) -> RpcMethodHandler
where
    F: Fn(Bytes, &ServicerContext) -> Reply + Send + Sync + 'static,
{
    unary_unary_rpc_method_handler_with(behaviour, Raw, Raw)
}

/// How many calls ended before their handlers did, and (with " begins") how many began to wait, by the token they
/// brought.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<HashMap<String, u32>>>);

impl Ends {
    fn count(&self, context: &ServicerContext) {
        self.note(asked(context, "x-token").unwrap_or_default().to_owned());
    }

    fn count_begin(&self, context: &ServicerContext) {
        self.note(format!("{} begins", asked(context, "x-token").unwrap_or_default()));
    }

    fn note(&self, token: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(token).or_default() += 1;
    }

    fn of(&self, token: &str) -> String {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.get(token).copied().unwrap_or_default().to_string()
    }
}

fn echo(request: Bytes, context: &ServicerContext) -> Reply {
    echo_metadata(context)?;
    Ok(request)
}

fn chat(
    requests: Requests,
    context: &ServicerContext,
) -> Result<impl Iterator<Item = Reply> + use<>, Status> {
    echo_metadata(context)?;
    Ok(requests)
}

fn sized(request: Bytes, _: &ServicerContext) -> Reply {
    Ok((0..=250).cycle().take(number(&request)?).collect())
}

fn fail(_: Bytes, context: &ServicerContext) -> Reply {
    end_as_asked(context)?;
    Ok(Bytes::from_static(b"ok"))
}

fn fail_after(
    _: Bytes,
    context: &ServicerContext,
) -> Result<impl Iterator<Item = Reply> + use<>, Status> {
    let count = asked(context, "x-count").map_or(Ok(0), |text| number(text.as_bytes()))?;
    let context = context.clone();
    let mut replies = (0..count).map(|reply| Ok(reply.to_string().into()));
    let mut end = Some(move || end_as_asked(&context).err().map(Err));
    Ok(std::iter::from_fn(move || replies.next().or_else(|| end.take().and_then(|end| end()))))
}

fn raise(_: Bytes, _: &ServicerContext) -> Reply {
    panic!("a mistake in the handler")
}

fn collect(requests: Requests, _: &ServicerContext) -> Reply {
    let (mut count, mut size) = (0, 0);
    for request in requests {
        count += 1;
        size += request?.len();
    }
    Ok(format!("{count} {size}").into())
}

fn early(_: Requests, _: &ServicerContext) -> Reply {
    Ok(Bytes::from_static(b"early"))
}

/// Answers with this much metadata, before or after the reply.
fn much(request: Bytes, context: &ServicerContext) -> Reply {
    let request = text(&request)?;
    let (place, size) = request.split_once(' ').ok_or(Status::invalid_argument("two words"))?;
    let value = Metadata::new().with("x-much", &"m".repeat(number(size.as_bytes())?))?;
    match place {
        "initial" => context.send_initial_metadata(&value)?,
        _ => context.set_trailing_metadata(value),
    }
    Ok(Bytes::from_static(b"much"))
}

/// Counts the call under its token: that it begins, and if it ends before the time has passed.
fn wait(request: &[u8], context: &ServicerContext, ends: &Ends) -> Reply {
    let time = Duration::from_millis(number(request)? as u64);
    let (over, end) = channel();
    ends.count_begin(context);
    if !context.add_callback(move || over.send(()).unwrap_or(())) || end.recv_timeout(time).is_ok()
    {
        ends.count(context);
    }
    Ok(Bytes::from_static(b"waited"))
}

/// Never ends by itself. An iterator is not pulled after the end, so that is not seen by going on.
fn hold(ends: Ends) -> RpcMethodHandler {
    let behaviour = move |_: Bytes, context: &ServicerContext| {
        let (over, end) = channel();
        let (ends, counted) = (ends.clone(), context.clone());
        let count = move || {
            ends.count(&counted);
            over.send(()).unwrap_or(());
        };
        if !context.add_callback(count.clone()) {
            count();
        }
        let first = std::iter::once(Ok(Bytes::from_static(b"holding")));
        Ok(first.chain(std::iter::from_fn(move || {
            end.recv_timeout(Duration::from_secs(20)).err().and(None)
        })))
    };
    unary_stream_rpc_method_handler_with(behaviour, Raw, Raw)
}

fn cancel(_: Bytes, context: &ServicerContext) -> Reply {
    context.cancel();
    Ok(Bytes::from_static(b"cancelled"))
}

fn remaining(_: Bytes, context: &ServicerContext) -> Reply {
    Ok(context.time_remaining().map_or("none".into(), |left| left.as_millis().to_string().into()))
}

fn who(_: Bytes, context: &ServicerContext) -> Reply {
    let agent = asked(context, "user-agent").unwrap_or_default();
    Ok(format!("{} {agent}", context.peer()).into())
}

fn end_as_asked(context: &ServicerContext) -> Result<(), Status> {
    context.set_trailing_metadata(chosen(context, "x-trail-")?);
    if asked(context, "x-early").is_some() {
        context.send_initial_metadata(&chosen(context, "x-echo-")?)?;
    }
    let code = asked(context, "x-code").map_or(Ok(0), |text| number(text.as_bytes()))?;
    if code == 0 {
        return Ok(());
    }
    let metadata = context.invocation_metadata();
    let message = text(metadata.get_bin("x-message-bin").unwrap_or_default())?;
    let mut status = Status::new(Code::from_i32(code as i32), message);
    if let Some(details) = metadata.get_bin("x-details-bin") {
        status = status.with_details(details.to_vec());
    }
    Err(status)
}

fn echo_metadata(context: &ServicerContext) -> Result<(), Status> {
    context.send_initial_metadata(&chosen(context, "x-echo-")?)?;
    context.set_trailing_metadata(chosen(context, "x-trail-")?);
    Ok(())
}

/// What the client sent under keys that begin so.
fn chosen(context: &ServicerContext, prefix: &str) -> Result<Metadata, Status> {
    let mut chosen = Metadata::new();
    for (key, value) in context.invocation_metadata() {
        match value {
            _ if !key.starts_with(prefix) => {}
            Value::Ascii(text) => chosen.append(key, text)?,
            Value::Bin(bytes) => chosen.append_bin(key, bytes)?,
        }
    }
    Ok(chosen)
}

fn asked<'a>(context: &'a ServicerContext, key: &str) -> Option<&'a str> {
    context.invocation_metadata().get(key)
}

fn text(bytes: &[u8]) -> Result<String, Status> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Status::invalid_argument("not UTF-8"))
}

fn number(bytes: &[u8]) -> Result<usize, Status> {
    let text = text(bytes)?;
    text.parse().map_err(|_| Status::invalid_argument(format!("{text:?} is no number")))
}
