//! What handlers of a server wait in, and interceptors around them.

use super::service::*;
use super::support::LONG;
use super::{Bed, large};
use bytes::Bytes;
use grpc_threads::{CallOptions, InterceptedCall, Payload, ServerNext};
use std::sync::{Arc, mpsc};

/// What a handler blocks in, or an interceptor around it.
#[derive(Clone, Copy)]
pub(super) enum HandlersWait {
    OnStream(fn(&mut ServerStream<Bytes, Bytes>) -> Result<(), Status>),
    OnIterator(fn(RequestIterator<Bytes>, &ServicerContext) -> Result<(), Status>),
    Around(fn(&mut InterceptedCall<'_>, ServerNext<'_>) -> Result<(), Status>),
}

fn handlers_waits() -> Vec<(&'static str, HandlersWait)> {
    use HandlersWait::{Around, OnIterator, OnStream};
    vec![
        ("ServerStream::recv", OnStream(|stream| stream.recv().map(drop))),
        (
            "ServerStream::recv_timeout",
            OnStream(|stream| Ok(stream.recv_timeout(LONG * 2).map(drop)?)),
        ),
        (
            "ServerStream::requests",
            OnStream(|stream| stream.requests().next().transpose().map(drop)),
        ),
        (
            "ServerStream::send",
            OnStream(|stream| {
                loop {
                    stream.send(&large())?;
                }
            }),
        ),
        (
            "RequestIterator::next",
            OnIterator(|mut requests, _| requests.next().transpose().map(drop)),
        ),
        ("RequestIterator::recv", OnIterator(|mut requests, _| requests.recv().map(drop))),
        (
            "RequestIterator::recv_timeout",
            OnIterator(|mut requests, _| Ok(requests.recv_timeout(LONG * 2).map(drop)?)),
        ),
        (
            "ResponseSender::send",
            OnIterator(|_, context| {
                let (mut sender, _responses) = context.response_channel::<Bytes>()?;
                loop {
                    sender.send(&large())?;
                }
            }),
        ),
        (
            "ResponseSender::send_timeout",
            OnIterator(|_, context| {
                let (mut sender, _responses) = context.response_channel::<Bytes>()?;
                loop {
                    sender.send_timeout(&large(), LONG * 2)?;
                }
            }),
        ),
        (
            "InterceptedCall::respond",
            Around(|call, _| {
                loop {
                    call.respond(Payload::new(large()))?;
                }
            }),
        ),
        (
            "InterceptedCall::respond_all",
            Around(|call, _| call.respond_all(std::iter::repeat_with(large).map(Payload::new))),
        ),
        ("ServerNext::run", Around(|call, next| next.run(call))),
        (
            "ServerNext::run_with",
            Around(|call, next| next.run_with(call, by_hand(|stream, _| stream.recv().map(drop)))),
        ),
    ]
}

/// A server whose method `Waits` is this wait, which tells when it begins and how it ends.
pub(super) fn waiting(wait: HandlersWait) -> (Served, mpsc::Receiver<Result<(), Status>>) {
    let (told, ended) = mpsc::channel();
    let telling = move |wait: &mut dyn FnMut() -> Result<(), Status>| {
        told.send(Ok(())).unwrap();
        let outcome = wait();
        told.send(outcome.clone()).unwrap();
        outcome
    };
    let builder = Server::builder().thread_pool(ThreadPool::new(2));
    let (builder, handler) = match wait {
        HandlersWait::OnStream(wait) => {
            (builder, by_hand(move |stream, _| telling(&mut || wait(stream))))
        }
        HandlersWait::OnIterator(wait) => {
            let run = move |requests: RequestIterator<Bytes>, context: &ServicerContext| {
                let mut requests = Some(requests);
                let mut run = || requests.take().map_or(Ok(()), |it| wait(it, context));
                telling(&mut run).map(|()| std::iter::empty::<Result<Bytes, Status>>())
            };
            let method = grpc_threads::stream_stream_rpc_method_handler_with(run, Raw, Raw);
            (builder, method)
        }
        HandlersWait::Around(wait) => {
            let run = move |call: &mut InterceptedCall<'_>, next: ServerNext<'_>| {
                let mut next = Some(next);
                telling(&mut || next.take().map_or(Ok(()), |next| wait(call, next)))
            };
            (builder.interceptor(run), by_hand(|stream, _| stream.recv().map(drop)))
        }
    };
    (Served::start(builder.build().unwrap(), "127.0.0.1:0", [("Waits", handler)]), ended)
}

/// Has a handler wait in each, `end` end it, and looks whether it returns with an error.
pub(super) fn each_handler(options: &CallOptions, end: fn(&Bed, Duplexed)) {
    for (name, wait) in handlers_waits() {
        let (served, ended) = waiting(wait);
        let channel = served.channel();
        let method = channel.raw_stream_stream("/test.Test/Waits").unwrap().options(options);
        let call = method.open();
        ended.recv_timeout(LONG).unwrap().expect("it begins");
        let bed = Bed { served, channel, running: Arc::default() };
        end(&bed, call);
        let outcome = ended.recv_timeout(LONG);
        assert!(matches!(outcome, Ok(Err(_))), "{name}: {outcome:?}");
    }
}

pub(super) type Duplexed = grpc_threads::Duplex<Bytes, Bytes>;

/// OK for a wait that has timed out, and nothing else.
pub(super) fn end_of<T>(waited: Result<T, ResultError>) -> Result<(), Status> {
    match waited {
        Err(ResultError::TimedOut) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Err(Status::internal("it did not wait")),
    }
}
