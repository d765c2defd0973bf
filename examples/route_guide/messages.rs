//! The messages and method names of `routeguide.RouteGuide`, as a code generator would write them.

pub(crate) const SERVICE: &str = "routeguide.RouteGuide";
pub(crate) const GET_FEATURE: &str = "/routeguide.RouteGuide/GetFeature";
pub(crate) const LIST_FEATURES: &str = "/routeguide.RouteGuide/ListFeatures";
pub(crate) const RECORD_ROUTE: &str = "/routeguide.RouteGuide/RecordRoute";
pub(crate) const ROUTE_CHAT: &str = "/routeguide.RouteGuide/RouteChat";

/// A place on earth, in ten-millionths of a degree (E7); north and east are positive.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub(crate) struct Point {
    #[prost(int32, tag = "1")]
    pub(crate) latitude: i32,
    #[prost(int32, tag = "2")]
    pub(crate) longitude: i32,
}

/// The rectangle between two opposite corners.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Rectangle {
    #[prost(message, optional, tag = "1")]
    pub(crate) lo: Option<Point>,
    #[prost(message, optional, tag = "2")]
    pub(crate) hi: Option<Point>,
}

/// What is at a point; the name is empty where there is nothing.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Feature {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) location: Option<Point>,
}

/// What somebody says about a point.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RouteNote {
    #[prost(message, optional, tag = "1")]
    pub(crate) location: Option<Point>,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
}

/// A route that was travelled; the distance is in metres, the time in seconds.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct RouteSummary {
    #[prost(int32, tag = "1")]
    pub(crate) point_count: i32,
    #[prost(int32, tag = "2")]
    pub(crate) feature_count: i32,
    #[prost(int32, tag = "3")]
    pub(crate) distance: i32,
    #[prost(int32, tag = "4")]
    pub(crate) elapsed_time: i32,
}
