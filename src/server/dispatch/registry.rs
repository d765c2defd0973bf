//! Which method a path names, with Python's precedence: registered methods, then generic
//! handlers in the order of adding.
//!
//! A chain of links that only grows: tables of exact paths, and handlers that must be asked.
//! Looking up takes no lock, so it may run under a connection's. Handlers that must be
//! asked are user code: they are asked on a worker.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, OnceLock};

use crate::sync::Mutex;

use super::method::{Directory, Method};
use crate::error::{ConfigError, ConfigErrorKind};
use crate::reactor::{Keep, ThreadPool};
use crate::server::service::{GenericRpcHandler, HandlerCallDetails, RpcMethodHandler};
use crate::wire::headers::is_method_path;

type Table = HashMap<String, Arc<Method>, BuildHasherDefault<PathHasher>>;

/// The methods of a server.
#[derive(Default)]
pub(in crate::server) struct Registry {
    /// Guards what is registered before the start. Not held over anything.
    pending: Mutex<Table>,
    /// What was registered before the start.
    registered: OnceLock<Table>,
    /// Generic handlers, before and after the start.
    first: OnceLock<Box<Node>>,
}

struct Node {
    kind: Kind,
    next: OnceLock<Box<Node>>,
}

enum Kind {
    Exact(Table),
    Ask(Keep<Box<dyn GenericRpcHandler>>),
}

/// What is known of a path without asking anybody.
pub(super) enum Found<'a> {
    Method(&'a Arc<Method>),
    /// A generic handler may know it.
    Ask,
    Unknown,
}

impl Registry {
    /// Adds methods by name, all or none. After [`Registry::seal`] it is too late.
    pub(in crate::server) fn register(&self, methods: Vec<Arc<Method>>) -> Result<(), ConfigError> {
        let mut pending = self.pending.lock();
        if self.registered.get().is_some() {
            let text = "methods are registered before start(), which was called; generic handlers may come later";
            return Err(ConfigError::new(ConfigErrorKind::State, text));
        }
        let mut names = HashSet::new();
        for path in methods.iter().map(|method| method.path()) {
            check_path(path)?;
            if pending.contains_key(path) || !names.insert(path) {
                let text = format!("{path:?} is registered already");
                return Err(ConfigError::new(ConfigErrorKind::Method, text));
            }
        }
        pending.extend(methods.into_iter().map(|method| (method.path().to_owned(), method)));
        Ok(())
    }

    /// The registered methods are complete.
    pub(in crate::server) fn seal(&self) {
        let mut pending = self.pending.lock();
        let _ = self.registered.set(std::mem::take(&mut *pending));
    }

    /// Adds a table of paths behind all that is there.
    pub(in crate::server) fn push_table(&self, methods: impl IntoIterator<Item = Arc<Method>>) {
        let table = methods.into_iter().map(|method| (method.path().to_owned(), method)).collect();
        self.push(Kind::Exact(table));
    }

    pub(in crate::server) fn push_handler(&self, handler: Box<dyn GenericRpcHandler>) {
        self.push(Kind::Ask(Keep::new(handler)));
    }

    fn push(&self, kind: Kind) {
        let mut node = Box::new(Node { kind, next: OnceLock::new() });
        let mut place = &self.first;
        // Another thread may have filled the place meanwhile: go on behind its node.
        while let Err(back) = place.set(node) {
            node = back;
            match place.get() {
                Some(taken) => place = &taken.next,
                None => return,
            }
        }
    }

    fn nodes(&self) -> impl Iterator<Item = &Node> {
        std::iter::successors(self.first.get(), |node| node.next.get()).map(|node| &**node)
    }

    /// Looks a path up. Exact and case-sensitive: no other spelling reaches a handler (W13).
    pub(super) fn find(&self, path: &str) -> Found<'_> {
        if let Some(method) = self.registered.get().and_then(|table| table.get(path)) {
            return Found::Method(method);
        }
        for node in self.nodes() {
            match &node.kind {
                Kind::Exact(table) => {
                    if let Some(method) = table.get(path) {
                        return Found::Method(method);
                    }
                }
                Kind::Ask(_) => return Found::Ask,
            }
        }
        Found::Unknown
    }

    /// The methods known by name of which calls run, how many of each, and how many of these are answered from elsewhere.
    pub(in crate::server) fn running(&self) -> impl Iterator<Item = (&str, usize, usize)> {
        let all =
            self.methods().map(|method| (method.path(), method.running(), method.elsewhere()));
        all.filter(|(_, running, _)| *running > 0)
    }

    /// The pools that methods have of their own.
    pub(in crate::server) fn own_pools(&self) -> impl Iterator<Item = &ThreadPool> {
        self.methods().filter_map(|method| method.own_pool())
    }

    /// All methods that are known by name.
    fn methods(&self) -> impl Iterator<Item = &Arc<Method>> {
        let generic = self.nodes().filter_map(|node| match &node.kind {
            Kind::Exact(table) => Some(table),
            Kind::Ask(_) => None,
        });
        self.registered.get().into_iter().chain(generic).flat_map(HashMap::values)
    }
}

impl Directory for Registry {
    fn ask(&self, details: &HandlerCallDetails<'_>) -> Option<RpcMethodHandler> {
        self.nodes().find_map(|node| match &node.kind {
            Kind::Exact(table) => table.get(details.method)?.handler().cloned(),
            Kind::Ask(handler) => handler.get()?.service(details),
        })
    }
}

/// Whether calls can have this path.
pub(in crate::server) fn check_path(path: &str) -> Result<(), ConfigError> {
    if is_method_path(path.as_bytes()) {
        return Ok(());
    }
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    let meant = match parts[..] {
        [service, method] => {
            meant(&format!("/{service}/{method}"), |path| is_method_path(path.as_bytes()))
        }
        _ => String::new(),
    };
    let text = format!("{path:?} is no method path of the form /package.Service/Method{meant}");
    Err(ConfigError::new(ConfigErrorKind::Method, text))
}

/// Whether a service can have this name, or a method: calls say `/service/method`. What stands behind the last slash is the method.
pub(in crate::server) fn check_name(what: &str, name: &str) -> Result<(), ConfigError> {
    let service = what == "service";
    let legal = |name: &str| {
        (service || !name.contains('/')) && is_method_path(format!("/{name}/{name}").as_bytes())
    };
    if legal(name) {
        return Ok(());
    }
    let like = if service { "package.Service" } else { "Method" };
    let text = format!(
        "{name:?} is no name of a {what}: it is written as in its .proto, such as {like}, of visible ASCII without / ? # %{}",
        meant(name.trim_matches(|c: char| c == '/' || c.is_whitespace()), legal)
    );
    Err(ConfigError::new(ConfigErrorKind::Method, text))
}

/// The end of a text that says what is wrong with a name: what would be right, perhaps.
fn meant(guess: &str, legal: impl Fn(&str) -> bool) -> String {
    if legal(guess) { format!("; {guess:?} may be what is meant") } else { String::new() }
}

/// Eight bytes a step instead of SipHash. Peers choose what is looked up but not what is in
/// the table, so they cannot make the table degenerate.
#[derive(Clone, Copy, Debug, Default)]
struct PathHasher(u64);

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl PathHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    }
}

impl Hasher for PathHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in words.by_ref() {
            self.mix(word.try_into().map_or(0, u64::from_le_bytes));
        }
        let rest = words.remainder();
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        self.mix(u64::from_le_bytes(last) ^ ((bytes.len() as u64) << 56));
    }

    fn finish(&self) -> u64 {
        // The table takes its bits from both ends.
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::codec::Raw;
    use crate::metadata::Metadata;
    use crate::server::dispatch::{Calls, Limits};
    use crate::server::service::{
        ServicerContext, method_handlers_generic_handler, unary_unary_rpc_method_handler_with,
    };

    fn calls() -> Arc<Calls> {
        let limits = Limits {
            receive: usize::MAX,
            send: usize::MAX,
            calls: None,
            compression: Default::default(),
        };
        Calls::new(limits, None, Vec::new(), Arc::default())
    }

    /// A handler known by its receive limit.
    fn handler(mark: usize) -> RpcMethodHandler {
        let echo = |request: Bytes, _: &ServicerContext| Ok(request);
        unary_unary_rpc_method_handler_with(echo, Raw, Raw).max_receive_message_size(mark)
    }

    fn method(path: &str, mark: usize, calls: &Arc<Calls>) -> Arc<Method> {
        Method::new(path.to_owned(), handler(mark), calls)
    }

    fn mark(found: &Found<'_>) -> Option<usize> {
        match found {
            Found::Method(method) => Some(method.receive_limit()),
            Found::Ask | Found::Unknown => None,
        }
    }

    struct Any(usize);

    impl GenericRpcHandler for Any {
        fn service(&self, details: &HandlerCallDetails<'_>) -> Option<RpcMethodHandler> {
            details.method.starts_with("/any.").then(|| handler(self.0))
        }
    }

    #[test]
    fn registered_comes_before_generic_and_the_first_wins() {
        let (calls, registry) = (calls(), Registry::default());
        registry.push_table([method("/a.A/x", 2, &calls), method("/a.A/y", 2, &calls)]);
        registry.push_table([method("/a.A/y", 3, &calls), method("/a.A/z", 3, &calls)]);
        registry.register(vec![method("/a.A/x", 1, &calls)]).unwrap();
        registry.seal();
        assert_eq!(mark(&registry.find("/a.A/x")), Some(1));
        assert_eq!(mark(&registry.find("/a.A/y")), Some(2));
        assert_eq!(mark(&registry.find("/a.A/z")), Some(3));
        assert!(matches!(registry.find("/a.A/w"), Found::Unknown));
        registry.push_table([method("/a.A/w", 4, &calls)]);
        assert_eq!(mark(&registry.find("/a.A/w")), Some(4));
        assert!(registry.register(vec![method("/b.B/x", 1, &calls)]).is_err());
    }

    #[test]
    fn behind_a_handler_that_must_be_asked_nothing_is_known_without_asking() {
        let (calls, registry) = (calls(), Registry::default());
        registry.seal();
        registry.push_table([method("/any.A/known", 1, &calls)]);
        registry.push_handler(Box::new(Any(2)));
        registry.push_handler(Box::new(Any(3)));
        registry.push_table([method("/any.A/x", 4, &calls), method("/b.B/x", 4, &calls)]);
        assert_eq!(mark(&registry.find("/any.A/known")), Some(1));
        let metadata = Metadata::new();
        let ask = |path| {
            assert!(matches!(registry.find(path), Found::Ask));
            let details = HandlerCallDetails { method: path, invocation_metadata: &metadata };
            registry.ask(&details).and_then(|handler| handler.receive_limit)
        };
        assert_eq!(ask("/any.A/x"), Some(2));
        assert_eq!(ask("/b.B/x"), Some(4));
        assert_eq!(ask("/none.N/x"), None);
    }

    #[test]
    fn a_table_handler_tells_its_paths() {
        let table = method_handlers_generic_handler("a.A", [("x", handler(1)), ("y", handler(2))]);
        let mut paths: Vec<_> = table.method_handlers().unwrap().into_keys().collect();
        paths.sort();
        assert_eq!(paths, ["/a.A/x", "/a.A/y"]);
    }

    #[test]
    fn what_is_no_name_is_told_with_what_to_write() {
        for (what, name, words) in [
            ("service", "/a.B", "\"a.B\" may be what is meant"),
            ("service", "a.B/", "\"a.B\" may be"),
            ("service", "", "such as package.Service"),
            ("service", "a b", "visible ASCII"),
            ("method", " Say", "\"Say\" may be"),
            ("method", "Say/It", "no name of a method"),
            ("method", "S\u{e4}y", "such as Method"),
        ] {
            let error = check_name(what, name).unwrap_err();
            assert_eq!(error.kind(), ConfigErrorKind::Method);
            let told = error.to_string();
            assert!(told.contains(&format!("{name:?} is no name of a {what}")), "{told}");
            assert!(told.contains(words), "{told}");
        }
        assert!(check_name("service", "a.B").is_ok() && check_name("service", "x/a.B").is_ok());
        for (path, words) in [
            ("//a.B/Say", "\"/a.B/Say\" may be what is meant"),
            ("a.B/Say", "\"/a.B/Say\" may be"),
            ("Say", "form /package.Service/Method"),
        ] {
            let told = check_path(path).unwrap_err().to_string();
            assert!(told.contains(words) && told.contains(&format!("{path:?}")), "{told}");
        }
    }

    #[test]
    fn threads_that_add_at_once_lose_nothing() {
        let (calls, registry) = (calls(), Registry::default());
        registry.seal();
        #[allow(clippy::disallowed_methods, reason = "the test's own threads")]
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (calls, registry) = (&calls, &registry);
                scope.spawn(move || {
                    for n in 0..50 {
                        registry.push_table([method(&format!("/t{thread}.T/m{n}"), n, calls)]);
                    }
                });
            }
        });
        assert_eq!(registry.methods().count(), 200);
        assert_eq!(mark(&registry.find("/t3.T/m49")), Some(49));
    }

    #[test]
    fn the_hash_tells_paths_apart_that_differ_in_one_place() {
        let hash = |text: &str| {
            let mut hasher = PathHasher::default();
            hasher.write(text.as_bytes());
            hasher.finish()
        };
        let base = "/package.Service/Method";
        let mut seen = HashSet::from([hash(base)]);
        for at in 0..base.len() {
            for octet in [b'a', b'Z', b'0'] {
                let mut other = base.as_bytes().to_vec();
                other[at] = octet;
                let other = String::from_utf8(other).unwrap();
                assert!(other == base || seen.insert(hash(&other)), "{other}");
            }
        }
        assert!(seen.insert(hash("")) && seen.insert(hash("\0")) && seen.insert(hash("\0\0")));
    }
}
