//! The classic route guide, with places along the Rhine: server and client in one program.
//!
//! `cargo run --example route_guide`

mod features;
mod messages;
mod service;

use std::error::Error;
use std::thread;
use std::time::Duration;

use grpc_threads::{Status, ThreadPool};
use messages::{Point, Rectangle, RouteGuideServer, RouteGuideStub, RouteNote};
use service::Rhine;

fn main() -> Result<(), Box<dyn Error>> {
    let server = grpc_threads::server(ThreadPool::new(4));
    server.add_service(RouteGuideServer::new(Rhine::default()))?;
    let port = server.add_insecure_port("127.0.0.1:0")?;
    server.start()?;

    let channel = grpc_threads::insecure_channel(&format!("127.0.0.1:{port}"))?;
    let stub = RouteGuideStub::new(&channel);
    get_feature(&stub)?;
    list_features(&stub)?;
    record_route(&stub)?;
    route_chat(&stub)?;
    server.stop(None).wait(Duration::from_secs(5))?;
    Ok(())
}

/// One request, one response.
fn get_feature(stub: &RouteGuideStub) -> Result<(), Status> {
    println!("-- GetFeature");
    for point in [COLOGNE, NOWHERE] {
        let feature = stub.get_feature.call(&point)?;
        match &feature.name[..] {
            "" => println!("there is nothing at {}", place(point)),
            name => println!("{name} is at {}", place(point)),
        }
    }
    Ok(())
}

/// One request; the responses are an iterator.
fn list_features(stub: &RouteGuideStub) -> Result<(), Status> {
    println!("-- ListFeatures, between Mainz and Koblenz");
    let gorge = Rectangle {
        lo: Some(Point { latitude: 499_000_000, longitude: 75_000_000 }),
        hi: Some(Point { latitude: 504_000_000, longitude: 83_000_000 }),
    };
    for feature in stub.list_features.call(&gorge)? {
        let feature = feature?;
        println!("{} is at {}", feature.name, place(feature.location.unwrap_or_default()));
    }
    Ok(())
}

/// An iterator of requests, pulled on this thread; one response.
fn record_route(stub: &RouteGuideStub) -> Result<(), Status> {
    println!("-- RecordRoute, down the whole river");
    let summary = stub.record_route.call(features::all().filter_map(|feature| feature.location))?;
    println!(
        "{} points, {} of them known places, {} km, {} s",
        summary.point_count,
        summary.feature_count,
        summary.distance / 1000,
        summary.elapsed_time,
    );
    Ok(())
}

/// A stream each way: another thread sends, this one receives.
fn route_chat(stub: &RouteGuideStub) -> Result<(), Status> {
    println!("-- RouteChat");
    let (mut requests, responses) = stub.route_chat.open().split();
    #[allow(clippy::disallowed_methods, reason = "a user's program starts what threads it likes")]
    let sender = thread::spawn(move || {
        let notes = [
            (COLOGNE, "the cathedral was 632 years in the making"),
            (NOWHERE, "nobody here"),
            (COLOGNE, "mind the carnival"),
            (COLOGNE, "twelve Romanesque churches, too"),
        ];
        for (point, message) in notes {
            println!("to the server: {message:?}, at {}", place(point));
            requests.send(&RouteNote { location: Some(point), message: message.into() })?;
        }
        requests.done_writing()
    });
    for note in responses {
        let note = note?;
        println!("said before: {:?}", note.message);
    }
    sender.join().unwrap_or_else(|_| Err(Status::internal("the sending thread has panicked")))
}

const COLOGNE: Point = Point { latitude: 509_375_000, longitude: 69_603_000 };
const NOWHERE: Point = Point { latitude: 530_000_000, longitude: 40_000_000 };

/// In degrees, as people write it.
fn place(point: Point) -> String {
    let (latitude, longitude) = (f64::from(point.latitude) / 1e7, f64::from(point.longitude) / 1e7);
    format!("{latitude:.4} N, {longitude:.4} E")
}
