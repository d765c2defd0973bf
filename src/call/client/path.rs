//! The path of a method.

use std::borrow::Cow;
use std::fmt;

use crate::error::{ConfigError, ConfigErrorKind};
use crate::wire::headers::is_method_path;

/// The full path of a method: `/package.Service/Method`. A service's name may hold slashes: what stands behind the last is the
/// method. Servers of this crate answer to the same paths.
///
/// Generated stubs make theirs in a `const`, where the compiler checks them:
///
/// ```
/// use grpc_threads::MethodPath;
///
/// const SAY_HELLO: MethodPath = MethodPath::from_static("/helloworld.Greeter/SayHello");
/// assert_eq!(SAY_HELLO.as_str(), "/helloworld.Greeter/SayHello");
/// ```
///
/// ```compile_fail
/// # use grpc_threads::MethodPath;
/// const NO_METHOD: MethodPath = MethodPath::from_static("helloworld.Greeter");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MethodPath(Cow<'static, str>);

impl MethodPath {
    /// A path known when the program is compiled. Use it in a `const`.
    ///
    /// # Panics
    /// When the text is no method path: in a `const`, an error of the compiler.
    #[must_use]
    pub const fn from_static(path: &'static str) -> Self {
        assert!(is_method_path(path.as_bytes()), "a method path is /package.Service/Method");
        Self(Cow::Borrowed(path))
    }

    /// A path known when the program runs.
    ///
    /// # Errors
    /// When it does not begin with `/`, has no second `/` with a method behind it, a part between slashes that is empty, `.` or `..`,
    /// or characters that a header cannot carry or that end a path (`?`, `#`). Percent-escapes are for spaces and what is
    /// not ASCII, and in upper case, such as `%20` and `%C3%A4`; what can stand for itself has to.
    pub fn new(path: impl Into<String>) -> Result<Self, ConfigError> {
        let path = path.into();
        if !is_method_path(path.as_bytes()) {
            return Err(ConfigError::new(
                ConfigErrorKind::Method,
                format!("method path {path:?}: it has to be /package.Service/Method"),
            ));
        }
        Ok(Self(Cow::Owned(path)))
    }

    /// The path as it goes over the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MethodPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for MethodPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl TryFrom<&str> for MethodPath {
    type Error = ConfigError;

    fn try_from(path: &str) -> Result<Self, ConfigError> {
        Self::new(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_paths() {
        for path in ["/a/b", "/pkg.v1.Service/Method", "/a/b/c", "/S/%20"] {
            assert_eq!(MethodPath::new(path).unwrap().as_str(), path);
        }
    }

    #[test]
    fn bad_paths_are_named_in_the_error() {
        for path in [
            "", "/", "a/b", "/a", "/a/", "//b", "/a b/c", "/a/b\n", "/ä/b", "/a/b\0", "/a//b",
            "/a/b?x=1", "/a/b#c", "/a/../b", "/a/%2Fb",
        ] {
            let error = MethodPath::new(path).unwrap_err();
            assert_eq!(error.kind(), ConfigErrorKind::Method);
            assert!(error.to_string().contains(&format!("{path:?}")));
        }
    }
}
