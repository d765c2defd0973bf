//! What is the user's and is held in many places, the last of which may let go of it anywhere: a server's handlers,
//! generic handlers and executor, which its connections hold as well.
//!
//! Its `Drop` is code of the user's, and may take long. A thread that reads sockets does not run it: it leaves that to a
//! worker of its pool, as a job, and where the pool ends, to the last of its threads, once nothing is left to be read.

use super::{Job, Work, engine, user};

/// A value of the user's, kept so that its `Drop` runs where it is in nobody's way, and a panic of it ends there.
pub(crate) struct Keep<T: Send + 'static>(Option<T>);

impl<T: Send> Keep<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// There until this is dropped.
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<T: Send> Drop for Keep<T> {
    fn drop(&mut self) {
        let Some(value) = self.0.take() else { return };
        match engine::read_here() {
            Some(engine) => engine.leave(Job::new(Box::new(Left(value)), false)),
            None => drop_value(value),
        }
    }
}

/// What a thread that reads has left to a worker.
struct Left<T>(T);

impl<T: Send> Work for Left<T> {
    fn run(self: Box<Self>) {
        drop_value(self.0);
    }

    /// The pool has ended: on the thread that ends it, or the last of its own.
    fn reject(self: Box<Self>) {
        drop_value(self.0);
    }
}

fn drop_value<T>(value: T) {
    user::drop_quietly(format_args!("the drop of what a server or a channel held"), value);
}
