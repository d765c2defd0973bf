//! Values that travel with a call, by their type: [`Extensions`].
//!
//! Owns the table and its lock, a leaf, held over look-ups only. What is in it is the user's, and its `Drop`
//! is the user's code: replaced values go back to their caller, and the table goes where [`Keep`] lets it go.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::reactor::Keep;
use crate::sync::Mutex;

type Table = HashMap<TypeId, Kept>;

/// A value, and the name of its type, for people.
struct Kept(&'static str, Arc<dyn Any + Send + Sync>);

impl Kept {
    fn new<T: Send + Sync + 'static>(value: Arc<T>) -> Self {
        Self(type_name::<T>(), value)
    }

    fn cast<T: Send + Sync + 'static>(self) -> Option<Arc<T>> {
        self.1.downcast().ok()
    }
}

/// Values that travel with a call, one of each type: what an interceptor has found out, for the handler behind it.
///
/// Of a [`ServicerContext`](crate::ServicerContext::extensions). All clones of the context share them; they go with the last of
/// them, or with the call, whichever is later. A call that uses none pays nothing for them.
///
/// ```
/// use grpc_threads::{ServicerContext, Status};
///
/// struct User(String);
///
/// /// Somewhere on the way to the handler.
/// fn authenticate(context: &ServicerContext) {
///     context.extensions().insert(User("ada".into()));
/// }
///
/// fn greet(_: String, context: &ServicerContext) -> Result<String, Status> {
///     let user = context.extensions().get::<User>();
///     let user = user.ok_or_else(|| Status::unauthenticated("who are you?"))?;
///     Ok(format!("Hello {}", user.0))
/// }
/// ```
#[derive(Default)]
pub struct Extensions {
    /// Made with the first value.
    table: OnceLock<Box<Keep<Mutex<Table>>>>,
}

impl Extensions {
    /// Keeps `value` until the call goes; gives back what was kept of its type before. Never waits.
    pub fn insert<T: Send + Sync + 'static>(&self, value: T) -> Option<Arc<T>> {
        let table = self.table.get_or_init(|| Box::new(Keep::new(Mutex::default()))).get()?;
        let before = table.lock().insert(TypeId::of::<T>(), Kept::new(Arc::new(value)));
        before.and_then(Kept::cast)
    }

    /// What is kept of this type, made if it is not there: whether it was made now.
    pub(crate) fn find_or_make<T: Default + Send + Sync + 'static>(
        &self,
    ) -> Option<(Arc<T>, bool)> {
        let table = self.table.get_or_init(|| Box::new(Keep::new(Mutex::default()))).get()?;
        let mut table = table.lock();
        let (before, id) = (table.len(), TypeId::of::<T>());
        let found = table.entry(id).or_insert_with(|| Kept::new(Arc::<T>::default())).1.clone();
        let made = table.len() > before;
        drop(table);
        found.downcast().ok().map(|found| (found, made))
    }

    /// What is kept of this type. Never waits.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let table = self.table.get()?.get()?;
        let found = table.lock().get(&TypeId::of::<T>()).map(|kept| kept.1.clone());
        found.and_then(|found| found.downcast().ok())
    }

    /// Takes out what is kept of this type. Never waits.
    pub fn remove<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let found = self.table.get()?.get()?.lock().remove(&TypeId::of::<T>());
        found.and_then(Kept::cast)
    }
}

/// The names of the types that are kept, sorted; of the values nothing.
impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = match self.table.get().and_then(|table| table.get()) {
            Some(table) => table.lock().values().map(|kept| kept.0).collect(),
            None => Vec::new(),
        };
        names.sort_unstable();
        f.debug_tuple("Extensions").field(&names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_of_each_type_is_kept_and_the_last_wins() {
        let extensions = Extensions::default();
        assert!(extensions.get::<u8>().is_none() && extensions.remove::<u8>().is_none());
        assert!(extensions.table.get().is_none(), "nothing is made for a look");
        assert!(extensions.insert(1_u8).is_none());
        assert!(extensions.insert("text").is_none());
        assert_eq!(extensions.insert(2_u8).as_deref(), Some(&1));
        assert_eq!(extensions.get::<u8>().as_deref(), Some(&2));
        assert_eq!(extensions.get::<&str>().as_deref(), Some(&"text"));
        assert_eq!(extensions.remove::<u8>().as_deref(), Some(&2));
        assert!(extensions.get::<u8>().is_none() && extensions.get::<&str>().is_some());
        assert_eq!(format!("{extensions:?}"), r#"Extensions(["&str"])"#);
        assert!(extensions.find_or_make::<u16>().unwrap().1);
        assert!(!extensions.find_or_make::<u16>().unwrap().1);
        assert_eq!(format!("{extensions:?}"), r#"Extensions(["&str", "u16"])"#);
    }
}
