//! Tokens that run out: each call carries one, which is fetched when it is needed, kept while it is good, and fetched anew
//! shortly before its end, once for all who wait for it.
//!
//! `cargo run --example token`
//!
//! The tokens look like JWTs, and are signed by nobody: a server of yours checks a signature with a crate for JWTs, and a client
//! of yours asks the token server of your identity provider, by OAuth 2.0 with its refresh token, or with a JWT that it signs by
//! its service account's key (RFC 6749, RFC 7523). Everything around that is as here.
//!
//! It runs over local credentials, which stay on this machine. Across a network, tokens go over TLS only:
//! `ssl_channel_credentials` and `ssl_server_credentials` in their place.

#![allow(clippy::disallowed_methods, reason = "a program has a clock of its own")]

mod common {
    pub(crate) mod helloworld;
}

use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::helloworld::{Greeter, GreeterServer, GreeterStub, HelloReply, HelloRequest};
use grpc_threads::{
    AuthMetadataContext, AuthMetadataPlugin, CallFuture, Code, Metadata, ServicerContext, Status,
    ThreadPool, composite_channel_credentials, local_channel_credentials, local_server_credentials,
    metadata_call_credentials, secure_channel,
};

/// A token and how long it is good for.
struct Token {
    text: String,
    good_for: Duration,
}

/// Gives calls a token, and fetches the next one when it is time.
struct Tokens<F> {
    /// Asks for a token for this audience. It may block: the library has threads for it.
    fetch: F,
    /// The last one, and from when on another is fetched. The lock is held while one is: all calls that need it wait for the
    /// one that fetches, and no second one asks the token server.
    kept: Mutex<Option<(String, Instant)>>,
}

impl<F: Fn(&str) -> Result<Token, Status>> Tokens<F> {
    fn new(fetch: F) -> Self {
        Self { fetch, kept: Mutex::new(None) }
    }

    fn token(&self, audience: &str, now: Instant) -> Result<String, Status> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((text, _)) = kept.as_ref().filter(|(_, until)| now < *until) {
            return Ok(text.clone());
        }
        let Token { text, good_for } = (self.fetch)(audience)?;
        // A call may be under way for a while, and clocks differ: a tenth of its life before its end.
        *kept = now.checked_add(good_for / 10 * 9).map(|until| (text.clone(), until));
        Ok(text)
    }
}

/// What the library asks, once for each attempt at a call.
impl<F> AuthMetadataPlugin for Tokens<F>
where
    F: Fn(&str) -> Result<Token, Status> + Send + Sync + 'static,
{
    fn metadata(&self, context: &AuthMetadataContext) -> Result<Metadata, Status> {
        let token = self.token(context.service_url(), Instant::now())?;
        Ok(Metadata::new().with("authorization", &format!("Bearer {token}"))?)
    }
}

/// Stands for a token server somewhere else, which gives a token for a refresh token.
struct TokenServer {
    given: AtomicU32,
}

impl TokenServer {
    fn refresh(&self, refresh_token: &str, audience: &str) -> Result<Token, Status> {
        if refresh_token != REFRESH_TOKEN {
            return Err(Status::unauthenticated("the refresh token is not good any more"));
        }
        let number = self.given.fetch_add(1, Ordering::Relaxed) + 1;
        println!("  (the token server gives token {number}, for {audience})");
        // Header, claims and signature; a real one has them in base64.
        let text = format!("{{alg:none}}.{{sub:ada,aud:{audience},jti:{number}}}.");
        Ok(Token { text, good_for: LIFE })
    }
}

/// A greeter that greets who the token says is there.
struct KnowsWhom;

impl Greeter for KnowsWhom {
    fn say_hello(&self, _: HelloRequest, context: &ServicerContext) -> Result<HelloReply, Status> {
        let claims = claims(context)?;
        let subject = claim(&claims, "sub").unwrap_or_default();
        let number = claim(&claims, "jti").unwrap_or_default();
        Ok(HelloReply { message: format!("Hello, {subject} with token {number}!") })
    }
}

/// What the caller's token claims. Here the signature would be checked, before anything else.
fn claims(context: &ServicerContext) -> Result<String, Status> {
    let metadata = context.invocation_metadata();
    let token = metadata.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let token = token.ok_or_else(|| Status::unauthenticated("a bearer token is needed"))?;
    let claims = token.split("}.{").nth(1).and_then(|rest| rest.strip_suffix("}."));
    claims.map(str::to_owned).ok_or_else(|| Status::unauthenticated("that is no token"))
}

fn claim<'a>(claims: &'a str, name: &str) -> Option<&'a str> {
    claims.split(',').find_map(|claim| claim.strip_prefix(name)?.strip_prefix(':'))
}

fn main() -> Result<(), Box<dyn Error>> {
    let server = grpc_threads::server(ThreadPool::new(4));
    server.add_service(GreeterServer::new(KnowsWhom))?;
    let port = server.add_secure_port("127.0.0.1:0", &local_server_credentials())?;
    server.start()?;

    let token_server = Arc::new(TokenServer { given: AtomicU32::new(0) });
    let asked = token_server.clone();
    let tokens = Tokens::new(move |audience: &str| asked.refresh(REFRESH_TOKEN, audience));
    let calls = metadata_call_credentials(tokens);
    let credentials = composite_channel_credentials(&local_channel_credentials(), [calls]);
    let channel = secure_channel(&format!("localhost:{port}"), &credentials)?;
    let say_hello = GreeterStub::new(&channel).say_hello.timeout(Duration::from_secs(10));

    println!("A crowd of calls, which all wait for the first token:");
    let mut crowd: Vec<CallFuture<HelloReply>> =
        (0..8).map(|_| say_hello.future(&HelloRequest::default())).collect();
    for call in &mut crowd {
        let reply = call.result(None)?;
        assert_eq!(reply.message, "Hello, ada with token 1!");
    }
    println!(
        "  {} replies, with {} token",
        crowd.len(),
        token_server.given.load(Ordering::Relaxed)
    );

    println!("One call after the other, until the token has run out:");
    let begun = Instant::now();
    loop {
        let reply = say_hello.call(&HelloRequest::default())?;
        if reply.message.ends_with("token 2!") {
            println!("  {}", reply.message);
            break;
        }
        assert!(begun.elapsed() < LIFE * 20, "a token is not used beyond its end");
    }

    println!("A plugin that fails:");
    let stale = Tokens::new(move |audience: &str| token_server.refresh("an old one", audience));
    let stale = say_hello.credentials(&metadata_call_credentials(stale));
    match stale.call(&HelloRequest::default()) {
        Err(status) if status.code() == Code::Unauthenticated => println!("  {status}"),
        other => return Err(format!("that should have failed: {other:?}").into()),
    }

    println!("Tokens over a channel that others can read:");
    let insecure = grpc_threads::insecure_channel(&format!("localhost:{port}"))?;
    let plain = GreeterStub::new(&insecure).say_hello;
    let token = grpc_threads::access_token_call_credentials("anything")?;
    match plain.credentials(&token).call(&HelloRequest::default()) {
        Err(status) if status.code() == Code::Unauthenticated => println!("  {status}"),
        other => return Err(format!("that should have failed: {other:?}").into()),
    }

    channel.close();
    server.stop(Duration::from_secs(1)).wait(Duration::from_secs(5))?;
    Ok(())
}

const REFRESH_TOKEN: &str = "what a login has left behind";
/// Real ones are good for an hour or so.
const LIFE: Duration = Duration::from_millis(300);
