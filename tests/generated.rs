//! What generated code does when it runs: the route guide of the examples, over a real socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use grpc_threads::{CallOptions, Channel, Code, Server, ServicerContext, Status, ThreadPool};
use prost::Message;
use routeguide::{
    Feature, Point, Rectangle, RouteGuide, RouteGuideServer, RouteGuideStub, RouteNote,
};

mod routeguide {
    include!("../examples/generated/routeguide.rs");
}

/// Two of the four methods; the others are left out.
#[derive(Default)]
struct Guide {
    names: Vec<String>,
    calls: AtomicUsize,
}

impl Guide {
    fn with(names: &[&str]) -> Self {
        Self { names: names.iter().map(|&name| name.to_owned()).collect(), ..Self::default() }
    }
}

impl RouteGuide for Guide {
    fn get_feature(&self, point: Point, _: &ServicerContext) -> Result<Feature, Status> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(Feature { name: "here".into(), location: Some(point) })
    }

    /// Borrows the service and the context.
    fn list_features(
        &self,
        _: Rectangle,
        context: &ServicerContext,
    ) -> Result<impl Iterator<Item = Result<Feature, Status>>, Status> {
        Ok(self.names.iter().map(|name| {
            let name = format!("{name} for {}", context.method());
            Ok(Feature { name, location: None })
        }))
    }
}

/// A server, and a channel to it.
fn pair<S: RouteGuide>(service: RouteGuideServer<S>) -> (Server, Channel) {
    let server = grpc_threads::server(ThreadPool::new(2));
    server.add_service(service).unwrap();
    let port = server.add_insecure_port("127.0.0.1:0").unwrap();
    server.start().unwrap();
    (server, grpc_threads::insecure_channel(&format!("127.0.0.1:{port}")).unwrap())
}

fn note(message: &str) -> RouteNote {
    RouteNote { location: None, message: message.into() }
}

#[test]
fn a_stub_calls_a_servers_trait() {
    let (_server, channel) = pair(RouteGuideServer::new(Guide::with(&["a", "b"])));
    let stub = RouteGuideStub::new(&channel);
    let point = Point { latitude: 1, longitude: 2 };
    let feature = stub.get_feature.call(&point).unwrap();
    assert_eq!((&feature.name[..], feature.location), ("here", Some(point)));
    let features = stub.list_features.call(&Rectangle::default()).unwrap();
    let names: Vec<_> = features.map(|feature| feature.unwrap().name).collect();
    let path = "/routeguide.RouteGuide/ListFeatures";
    assert_eq!(names, [format!("a for {path}"), format!("b for {path}")]);
}

#[test]
fn methods_that_are_left_out_are_unimplemented() {
    let (_server, channel) = pair(RouteGuideServer::new(Guide::default()));
    let stub = RouteGuideStub::new(&channel);
    let status = stub.record_route.call([Point::default()]).unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let status = stub.route_chat.open().recv().unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[test]
fn a_shared_service_is_a_service() {
    let guide = Arc::new(Guide::with(&["shared"]));
    let (_server, channel) = pair(RouteGuideServer::new(Arc::clone(&guide)));
    let stub = RouteGuideStub::new(&channel);
    stub.get_feature.call(&Point::default()).unwrap();
    assert_eq!(guide.calls.load(Ordering::Relaxed), 1);
    assert_eq!(stub.list_features.call(&Rectangle::default()).unwrap().count(), 1);
}

#[test]
fn methods_can_be_written_by_hand() {
    let server = RouteGuideServer::new(Guide::with(&["hand"]))
        .get_feature_with(|guide, stream, _| {
            let location = stream.recv()?;
            stream.send(&Feature { name: guide.names[0].clone(), location })
        })
        .route_chat_with(|_, stream, context| {
            while let Some(note) = stream.recv()? {
                stream.send(&note)?;
                stream.send(&note)?;
            }
            Err(context.abort(Code::DataLoss, "by hand"))
        });
    let (_server, channel) = pair(server);
    let stub = RouteGuideStub::new(&channel);
    assert_eq!(stub.get_feature.call(&Point::default()).unwrap().name, "hand");
    let mut chat = stub.route_chat.open();
    chat.send(&note("x")).unwrap();
    assert_eq!(chat.recv().unwrap().unwrap().message, "x");
    assert_eq!(chat.recv().unwrap().unwrap().message, "x");
    chat.done_writing().unwrap();
    let status = chat.recv().unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::DataLoss, "by hand"));
}

#[test]
fn a_server_bounds_its_messages() {
    let server = RouteGuideServer::new(Guide::with(&["a"])).max_receive_message_size(2);
    let (_server, channel) = pair(server);
    let stub = RouteGuideStub::new(&channel);
    stub.get_feature.call(&Point { latitude: 1, longitude: 0 }).unwrap();
    let status = stub.get_feature.call(&Point { latitude: 1, longitude: 1 }).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);

    let server = RouteGuideServer::new(Guide::with(&["a"])).max_send_message_size(8);
    let (_server, channel) = pair(server);
    let features = RouteGuideStub::new(&channel).list_features.call(&Rectangle::default()).unwrap();
    let status = features.map(|feature| feature.unwrap_err()).next().unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted);
}

#[test]
fn all_calls_of_a_stub_can_share_options() {
    let (_server, channel) = pair(RouteGuideServer::new(Guide::default()));
    let stub = RouteGuideStub::with_options(&channel, CallOptions::new().timeout(Duration::ZERO));
    let status = stub.get_feature.call(&Point::default()).unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let status = stub.route_chat.open().recv().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[test]
fn names_paths_and_descriptors_are_there() {
    assert_eq!(RouteGuideStub::SERVICE_NAME, "routeguide.RouteGuide");
    assert_eq!(RouteGuideServer::SERVICE_NAME, RouteGuideStub::SERVICE_NAME);
    assert_eq!(RouteGuideStub::GET_FEATURE_PATH.as_str(), "/routeguide.RouteGuide/GetFeature");
    assert_eq!(RouteGuideServer::GET_FEATURE_PATH, RouteGuideStub::GET_FEATURE_PATH);

    /// A `FileDescriptorSet` as far as it matters here.
    #[derive(Clone, PartialEq, Message)]
    struct Set {
        #[prost(message, repeated, tag = "1")]
        files: Vec<File>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct File {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, repeated, tag = "6")]
        services: Vec<Named>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Named {
        #[prost(string, tag = "1")]
        name: String,
    }
    let set = Set::decode(routeguide::FILE_DESCRIPTOR_SET).unwrap();
    assert_eq!(set.files[0].name, "route_guide.proto");
    assert_eq!(set.files[0].services[0].name, "RouteGuide");
}

/// Answers later, from another thread.
struct Slow(std::sync::mpsc::SyncSender<grpc_threads::ResponseSender<Feature>>);

impl RouteGuide for Slow {
    fn list_features(
        &self,
        _: Rectangle,
        context: &ServicerContext,
    ) -> Result<impl Iterator<Item = Result<Feature, Status>>, Status> {
        let (sender, responses) = context.response_channel()?;
        self.0.send(sender).map_err(|_| Status::unavailable("nobody answers"))?;
        Ok(responses)
    }
}

#[test]
fn a_method_of_a_trait_may_be_answered_from_elsewhere() {
    let (senders, given) = std::sync::mpsc::sync_channel(1);
    let (_server, channel) = pair(RouteGuideServer::new(Slow(senders)));
    let stub = RouteGuideStub::new(&channel);
    let mut features = stub.list_features.call(&Rectangle::default()).unwrap();
    let mut sender = given.recv().unwrap();
    for name in ["one", "two"] {
        sender.send(&Feature { name: name.into(), location: None }).unwrap();
        assert_eq!(features.next().unwrap().unwrap().name, name);
    }
    sender.finish(Ok(()));
    assert!(features.next().is_none());
}

/// What the options of a `.proto` say of methods.
mod limits {
    include!("codegen/golden/limits.rs");
}

struct Shelf;

impl limits::Shelf for Shelf {
    fn put(&self, item: limits::Item, _: &ServicerContext) -> Result<limits::Item, Status> {
        Ok(limits::Item { text: item.text.repeat(3) })
    }

    fn fetch(&self, item: limits::Item, _: &ServicerContext) -> Result<limits::Item, Status> {
        Ok(item)
    }
}

#[test]
fn limits_of_a_proto_hold_on_both_sides() {
    let server = grpc_threads::server(ThreadPool::new(2));
    let own = ThreadPool::new(1);
    server.add_service(limits::ShelfServer::new(Shelf).fetch_thread_pool(own.clone())).unwrap();
    let port = server.add_insecure_port("127.0.0.1:0").unwrap();
    server.start().unwrap();
    let channel = grpc_threads::insecure_channel(&format!("127.0.0.1:{port}")).unwrap();
    let stub = limits::ShelfStub::new(&channel);
    let item = |text: &str| limits::Item { text: text.to_owned() };
    let patient = stub.put.timeout(Duration::from_secs(20));
    assert_eq!(patient.call(&item("abc")).unwrap(), item("abcabcabc"));
    // 12 octets, which the stub does not send; and the server does not take from others.
    let long = item("0123456789");
    assert_eq!(patient.call(&long).unwrap_err().code(), Code::ResourceExhausted);
    let bare = channel
        .unary_unary_at(limits::ShelfStub::PUT_PATH, grpc_threads::Prost)
        .timeout(Duration::from_secs(20));
    let bare: &grpc_threads::UnaryUnary<limits::Item, limits::Item> = &bare;
    assert_eq!(bare.call(&long).unwrap_err().code(), Code::ResourceExhausted);
    // 7 octets, whose answer of 21 does not fit.
    assert_eq!(bare.call(&item("abcdefg")).unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(stub.fetch.timeout(Duration::from_secs(20)).call(&long).unwrap(), long);
    assert!(own.alive() > 0, "the pool of `fetch` has no thread");
    // No server there: the timeout of the service ends what waits for it, and `fetch` has none.
    let nobody = grpc_threads::insecure_channel("127.0.0.1:1").unwrap();
    let stub = limits::ShelfStub::new(&nobody);
    let waiting = stub.put.wait_for_ready(true);
    assert_eq!(waiting.call(&item("a")).unwrap_err().code(), Code::DeadlineExceeded);
}
