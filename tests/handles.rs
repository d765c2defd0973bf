//! What every public handle promises: which threads may have it, and how much it takes.

use std::mem::size_of;

use grpc_threads::metadata::Metadata;
use grpc_threads::*;

/// May be moved to another thread and used from several.
const fn shared<T: Send + Sync + 'static>() {}

/// May be cloned for another thread.
const fn cloned<T: Clone + Send + Sync + 'static>() {}

/// Is small enough to be moved and returned without a thought, in words.
const fn small<T>(words: usize) {
    assert!(size_of::<T>() <= words * size_of::<usize>());
}

// The types of a user's messages and iterators are Send, not more: no handle's promise may depend on theirs.
type Req = String;
type Resp = std::cell::Cell<u8>;

const CLIENT: () = {
    cloned::<Channel>();
    cloned::<UnaryUnary<Req, Resp>>();
    cloned::<UnaryStream<Req, Resp>>();
    cloned::<StreamUnary<Req, Resp>>();
    cloned::<StreamStream<Req, Resp>>();
    cloned::<CallOptions>();
    cloned::<Call>();
    cloned::<MethodPath>();
    shared::<CallFuture<Resp>>();
    shared::<AsCompleted<Resp>>();
    shared::<Waited<Resp>>();
    cloned::<ReturnWhen>();
    shared::<Responses<Resp>>();
    shared::<RequestSender<Req>>();
    shared::<Duplex<Req, Resp>>();
    shared::<ChannelBuilder>();
    shared::<ReadyFuture>();
    shared::<Subscription>();
    small::<Channel>(2);
    small::<Call>(1);
    small::<CallFuture<Resp>>(5);
    small::<Responses<Resp>>(6);
};

const SERVER: () = {
    shared::<Server>();
    shared::<ServerBuilder>();
    shared::<ServicerContext>();
    shared::<ServerStream<Req, Resp>>();
    shared::<RequestIterator<Req>>();
    shared::<ResponseSender<Resp>>();
    shared::<SentElsewhere<Resp>>();
    shared::<Extensions>();
    shared::<Service>();
    shared::<MethodHandlersGenericHandler>();
    cloned::<RpcMethodHandler>();
    cloned::<ServerOptions>();
    cloned::<ThreadPool>();
    cloned::<ThreadPoolBuilder>();
    cloned::<Stopped>();
    cloned::<StillRunning>();
    small::<Server>(4);
    small::<ThreadPool>(1);
    small::<Stopped>(2);
};

const VALUES: () = {
    cloned::<Status>();
    cloned::<Metadata>();
    cloned::<ConfigError>();
    cloned::<ResultError>();
    cloned::<Code>();
    cloned::<Connectivity>();
    shared::<BindError>();
    shared::<ServeError>();
    // The error of nearly every function.
    assert!(size_of::<Status>() == 8);
    small::<Result<(), Status>>(2);
    small::<ResultError>(2);
    small::<Metadata>(6);
};

/// What is checked is checked when this file is compiled.
#[test]
fn handles_may_go_to_other_threads_and_are_small() {
    let ((), (), ()) = (CLIENT, SERVER, VALUES);
}
