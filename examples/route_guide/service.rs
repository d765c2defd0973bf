//! The server half: what it knows is in [`features`], what it hears stays in its notebook.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use grpc_threads::{RequestIterator, ServicerContext, Status};

use crate::features;
use crate::messages::{Feature, Point, Rectangle, RouteGuide, RouteNote, RouteSummary};

/// What was said about each point so far.
type Notebook = Mutex<HashMap<Point, Vec<RouteNote>>>;

/// The river, and what travellers say about it.
#[derive(Default)]
pub(crate) struct Rhine {
    notebook: Notebook,
}

impl RouteGuide for Rhine {
    fn get_feature(&self, point: Point, _: &ServicerContext) -> Result<Feature, Status> {
        Ok(features::at(point))
    }

    fn list_features(
        &self,
        area: Rectangle,
        _: &ServicerContext,
    ) -> Result<impl Iterator<Item = Result<Feature, Status>>, Status> {
        if area.lo.is_none() || area.hi.is_none() {
            return Err(Status::invalid_argument("a rectangle needs both corners"));
        }
        Ok(features::within(area).map(Ok))
    }

    #[allow(clippy::disallowed_methods, reason = "a user's program reads the clock as it likes")]
    fn record_route(
        &self,
        points: RequestIterator<Point>,
        _: &ServicerContext,
    ) -> Result<RouteSummary, Status> {
        let start = Instant::now();
        let mut summary = RouteSummary::default();
        let mut metres = 0.0;
        let mut last = None;
        for point in points {
            let point = point?;
            summary.point_count += 1;
            summary.feature_count += i32::from(!features::at(point).name.is_empty());
            metres += last.map_or(0.0, |last| distance(last, point));
            last = Some(point);
        }
        summary.distance = metres as i32;
        summary.elapsed_time = start.elapsed().as_secs() as i32;
        Ok(summary)
    }

    /// The iterator borrows the notebook.
    fn route_chat(
        &self,
        notes: RequestIterator<RouteNote>,
        _: &ServicerContext,
    ) -> Result<impl Iterator<Item = Result<RouteNote, Status>>, Status> {
        Ok(notes.flat_map(|note| match note {
            Ok(note) => earlier_notes(&self.notebook, note).into_iter().map(Ok).collect(),
            Err(status) => vec![Err(status)],
        }))
    }
}

fn earlier_notes(notebook: &Notebook, note: RouteNote) -> Vec<RouteNote> {
    let mut notebook = notebook.lock().unwrap_or_else(PoisonError::into_inner);
    let page = notebook.entry(note.location.unwrap_or_default()).or_default();
    let earlier = page.clone();
    page.push(note);
    earlier
}

/// Metres along the great circle (the haversine formula).
fn distance(a: Point, b: Point) -> f64 {
    const EARTH_RADIUS: f64 = 6_371_000.0;
    let radians = |e7: i32| (f64::from(e7) / 1e7).to_radians();
    let half_sine = |from: i32, to: i32| ((radians(to) - radians(from)) / 2.0).sin();
    let across = half_sine(a.longitude, b.longitude).powi(2);
    let h = half_sine(a.latitude, b.latitude).powi(2)
        + radians(a.latitude).cos() * radians(b.latitude).cos() * across;
    2.0 * EARTH_RADIUS * h.sqrt().min(1.0).asin()
}
