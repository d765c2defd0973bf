//! The shapes of methods: how one call is run to its end, by what it takes and gives.
//!
//! A shape holds the user's function and its codecs. It runs on the calling thread; panics are its caller's to catch.

use std::marker::PhantomData;
use std::sync::Arc;

use super::context::ServicerContext;
use super::elsewhere::{self, Answers};
use super::handler::{Behaviour, Cardinality};
use super::requests::RequestIterator;
use super::sending::send_one;
use super::slot::Slot;
use super::stream::ServerStream;
use crate::codec::Codec;
use crate::reactor::user;
use crate::status::Status;

/// A function from a request to an iterator of responses, which may borrow the context.
///
/// Implemented for every such function and closure; a bound, not something to implement.
pub trait StreamingFn<'a, In, Resp>:
    Fn(In, &'a ServicerContext) -> Result<<Self as StreamingFn<'a, In, Resp>>::Responses, Status>
{
    /// What it returns.
    type Responses: IntoIterator<Item = Result<Resp, Status>>;
}

impl<'a, In, Resp, F, I> StreamingFn<'a, In, Resp> for F
where
    F: Fn(In, &'a ServicerContext) -> Result<I, Status>,
    I: IntoIterator<Item = Result<Resp, Status>>,
{
    type Responses = I;
}

/// A method of a service type that answers with an iterator of responses, which may borrow
/// the service and the context.
///
/// Implemented for every such function; a bound, not something to implement.
pub trait StreamingMethod<'a, S: ?Sized + 'a, In, Resp>:
    Fn(
    &'a S,
    In,
    &'a ServicerContext,
) -> Result<<Self as StreamingMethod<'a, S, In, Resp>>::Responses, Status>
{
    /// What it returns.
    type Responses: IntoIterator<Item = Result<Resp, Status>>;
}

impl<'a, S: ?Sized + 'a, In, Resp, F, I> StreamingMethod<'a, S, In, Resp> for F
where
    F: Fn(&'a S, In, &'a ServicerContext) -> Result<I, Status>,
    I: IntoIterator<Item = Result<Resp, Status>>,
{
    type Responses = I;
}

type Types<Req, Resp> = PhantomData<fn(Req) -> Resp>;

pub(super) struct UnaryUnary<F, Q, P, Req, Resp> {
    pub(super) behaviour: F,
    pub(super) request: Q,
    pub(super) response: P,
    pub(super) types: Types<Req, Resp>,
}

impl<F, Q, P, Req, Resp> Behaviour for UnaryUnary<F, Q, P, Req, Resp>
where
    Req: 'static,
    Resp: 'static,
    F: Fn(Req, &ServicerContext) -> Result<Resp, Status> + Send + Sync,
    Q: Codec<Req>,
    P: Codec<Resp>,
{
    fn run(&self, context: &ServicerContext, _slot: &mut Option<Slot>) {
        let outcome =
            single(context, &self.request).and_then(|request| (self.behaviour)(request, context));
        context.call().answer(&self.response, outcome);
    }
}

pub(super) struct UnaryStream<F, Q, Req, Resp> {
    pub(super) behaviour: F,
    pub(super) request: Q,
    pub(super) response: Arc<Answers<Resp>>,
    pub(super) types: Types<Req, Resp>,
}

impl<F, Q, Req, Resp> Behaviour for UnaryStream<F, Q, Req, Resp>
where
    Req: 'static,
    Resp: 'static,
    F: for<'a> StreamingFn<'a, Req, Resp> + Send + Sync,
    Q: Codec<Req>,
{
    fn run(&self, context: &ServicerContext, slot: &mut Option<Slot>) {
        let context = &context.answering(self.response.clone());
        let outcome =
            single(context, &self.request).and_then(|request| (self.behaviour)(request, context));
        send_all(context, outcome, &*self.response.0, slot);
    }
}

pub(super) struct StreamUnary<F, Q, P, Req, Resp> {
    pub(super) behaviour: F,
    pub(super) request: Arc<Q>,
    pub(super) response: P,
    pub(super) types: Types<Req, Resp>,
}

impl<F, Q, P, Req, Resp> Behaviour for StreamUnary<F, Q, P, Req, Resp>
where
    Req: 'static,
    Resp: 'static,
    F: Fn(RequestIterator<Req>, &ServicerContext) -> Result<Resp, Status> + Send + Sync,
    Q: Codec<Req>,
    P: Codec<Resp>,
{
    fn run(&self, context: &ServicerContext, _slot: &mut Option<Slot>) {
        let requests = RequestIterator::new(context.call().clone(), self.request.clone());
        context.call().answer(&self.response, (self.behaviour)(requests, context));
    }
}

pub(super) struct StreamStream<F, Q, Req, Resp> {
    pub(super) behaviour: F,
    pub(super) request: Arc<Q>,
    pub(super) response: Arc<Answers<Resp>>,
    pub(super) types: Types<Req, Resp>,
}

impl<F, Q, Req, Resp> Behaviour for StreamStream<F, Q, Req, Resp>
where
    Req: 'static,
    Resp: 'static,
    F: for<'a> StreamingFn<'a, RequestIterator<Req>, Resp> + Send + Sync,
    Q: Codec<Req>,
{
    fn run(&self, context: &ServicerContext, slot: &mut Option<Slot>) {
        let context = &context.answering(self.response.clone());
        let requests = RequestIterator::new(context.call().clone(), self.request.clone());
        send_all(context, (self.behaviour)(requests, context), &*self.response.0, slot);
    }
}

pub(super) struct UnaryStreamOf<S: ?Sized, F, Q, Req, Resp> {
    pub(super) service: Arc<S>,
    pub(super) method: F,
    pub(super) request: Q,
    pub(super) response: Arc<Answers<Resp>>,
    pub(super) types: Types<Req, Resp>,
}

impl<S, F, Q, Req, Resp> Behaviour for UnaryStreamOf<S, F, Q, Req, Resp>
where
    S: ?Sized + Send + Sync,
    Req: 'static,
    Resp: 'static,
    F: for<'a> StreamingMethod<'a, S, Req, Resp> + Send + Sync,
    Q: Codec<Req>,
{
    fn run(&self, context: &ServicerContext, slot: &mut Option<Slot>) {
        let context = &context.answering(self.response.clone());
        let outcome = single(context, &self.request)
            .and_then(|request| (self.method)(&self.service, request, context));
        send_all(context, outcome, &*self.response.0, slot);
    }
}

pub(super) struct StreamStreamOf<S: ?Sized, F, Q, Req, Resp> {
    pub(super) service: Arc<S>,
    pub(super) method: F,
    pub(super) request: Arc<Q>,
    pub(super) response: Arc<Answers<Resp>>,
    pub(super) types: Types<Req, Resp>,
}

impl<S, F, Q, Req, Resp> Behaviour for StreamStreamOf<S, F, Q, Req, Resp>
where
    S: ?Sized + Send + Sync,
    Req: 'static,
    Resp: 'static,
    F: for<'a> StreamingMethod<'a, S, RequestIterator<Req>, Resp> + Send + Sync,
    Q: Codec<Req>,
{
    fn run(&self, context: &ServicerContext, slot: &mut Option<Slot>) {
        let context = &context.answering(self.response.clone());
        let requests = RequestIterator::new(context.call().clone(), self.request.clone());
        let outcome = (self.method)(&self.service, requests, context);
        send_all(context, outcome, &*self.response.0, slot);
    }
}

pub(super) struct ByHand<F, Q, P, Req, Resp> {
    pub(super) cardinality: Cardinality,
    pub(super) behaviour: F,
    pub(super) request: Arc<Q>,
    pub(super) response: Arc<P>,
    /// For who asks for another way to answer.
    pub(super) answers: Arc<elsewhere::ByHand>,
    pub(super) types: Types<Req, Resp>,
}

impl<F, Q, P, Req, Resp> Behaviour for ByHand<F, Q, P, Req, Resp>
where
    Req: 'static,
    Resp: 'static,
    F: Fn(&mut ServerStream<Req, Resp>, &ServicerContext) -> Result<(), Status> + Send + Sync,
    Q: Codec<Req>,
    P: Codec<Resp>,
{
    fn run(&self, context: &ServicerContext, slot: &mut Option<Slot>) {
        let context = &context.answering(self.answers.clone());
        let requests = RequestIterator::new(context.call().clone(), self.request.clone());
        let mut stream = ServerStream::new(
            self.cardinality,
            context.clone(),
            requests,
            self.response.clone(),
            slot.take(),
        );
        let outcome = (self.behaviour)(&mut stream, context);
        stream.returned(outcome);
    }
}

fn single<Req: 'static>(context: &ServicerContext, codec: &dyn Codec<Req>) -> Result<Req, Status> {
    let call = context.call();
    let request = call.single_request()?;
    user::run_or_end(|| call.read(codec, request), || call.request_codec_panicked())
        .map_err(|status| call.undecodable(status))
}

/// The handler has returned: sends what the iterator gives, then the status, unless more comes from elsewhere. Stops pulling once
/// the call is over.
fn send_all<I, Resp: 'static>(
    context: &ServicerContext,
    returned: Result<I, Status>,
    codec: &dyn Codec<Resp>,
    slot: &mut Option<Slot>,
) where
    I: IntoIterator<Item = Result<Resp, Status>>,
{
    let asked = context.call().handover().returned();
    let send = |response: Result<Resp, Status>| send_one(context, &response?, codec);
    // The iterator is gone before its call is over.
    let outcome = returned.and_then(|responses| responses.into_iter().try_for_each(send));
    if asked && outcome.is_ok() {
        elsewhere::returned(context, slot);
    } else {
        context.call().finish(outcome);
    }
}
