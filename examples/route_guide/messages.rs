//! `routeguide.RouteGuide` and its messages, from `proto/route_guide.proto`.

include!("../generated/routeguide.rs");
