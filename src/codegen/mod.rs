//! From service descriptions to the text of Rust code.
//!
//! Owns what the code of a service looks like ([`client`], [`server`]), the choice of names
//! that do not clash ([`names`]), the descriptor set as a literal ([`descriptor`]), and what is done to the text of
//! messages that another generator wrote ([`tidy`]). Ignores `.proto` files, the file system and the
//! command line: those are `build`'s; and the runtime, of which it only writes names.
//!
//! Pure: text in, text out. Names in the code are written from the root (`::core::…`), since a package may
//! have messages called `Result` or `Status`.

mod client;
mod code;
pub(crate) mod descriptor;
pub(crate) mod docs;
pub(crate) mod names;
mod server;
mod settings;
pub(crate) mod tidy;

use code::Code;
pub use settings::MethodSettings;

/// A service, with the names its code is to have.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// With its package: `helloworld.Greeter`.
    pub(crate) full_name: String,
    pub(crate) names: names::ServiceNames,
    /// Its comment, as lines of documentation without slashes.
    pub(crate) docs: Vec<String>,
    pub(crate) deprecated: bool,
    pub(crate) methods: Vec<Method>,
    /// Before the trait and the server.
    pub(crate) server_attributes: Vec<String>,
    /// Before the stub.
    pub(crate) stub_attributes: Vec<String>,
}

/// A method of a service.
#[derive(Clone, Debug)]
pub(crate) struct Method {
    /// As in the service definition: `SayHello`.
    pub(crate) proto_name: String,
    /// As a Rust identifier: `say_hello`, `r#type`.
    pub(crate) name: String,
    pub(crate) docs: Vec<String>,
    pub(crate) deprecated: bool,
    /// The type of requests, as a path from the module of the service.
    pub(crate) request: String,
    pub(crate) response: String,
    pub(crate) request_streaming: bool,
    pub(crate) response_streaming: bool,
    /// An expression for the codec; `None` is the one for prost messages.
    pub(crate) codec: Option<String>,
    pub(crate) settings: MethodSettings,
    /// Before the trait's method.
    pub(crate) server_attributes: Vec<String>,
    /// Before the stub's field.
    pub(crate) stub_attributes: Vec<String>,
}

/// What the code of all services has in common.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    /// Where the library is: `::grpc_threads`.
    pub(crate) library: String,
    pub(crate) client: bool,
    pub(crate) server: bool,
}

impl Method {
    /// The identifier as a part of longer ones.
    fn stem(&self) -> &str {
        names::stem(&self.name)
    }

    /// The name of the constant with its path. Never `SERVICE_NAME`, whatever the method is called.
    fn path_constant(&self) -> String {
        format!("{}_PATH", self.stem().to_uppercase())
    }

    /// The four kinds, as functions of the library spell them.
    fn kind(&self) -> &'static str {
        match (self.request_streaming, self.response_streaming) {
            (false, false) => "unary_unary",
            (false, true) => "unary_stream",
            (true, false) => "stream_unary",
            (true, true) => "stream_stream",
        }
    }

    /// The four kinds, as types of the library are called.
    fn kind_type(&self) -> &'static str {
        match (self.request_streaming, self.response_streaming) {
            (false, false) => "UnaryUnary",
            (false, true) => "UnaryStream",
            (true, false) => "StreamUnary",
            (true, true) => "StreamStream",
        }
    }

    fn codec(&self, style: &Style) -> String {
        self.codec.clone().unwrap_or_else(|| format!("{}::Prost", style.library))
    }
}

/// The code of one service.
pub(crate) fn service(service: &Service, style: &Style) -> String {
    let mut code = Code::default();
    if style.server {
        server::emit(service, style, &mut code);
    }
    if style.client {
        client::emit(service, style, &mut code);
    }
    code.into_text()
}

/// The constants that client and server both have.
fn constants(service: &Service, style: &Style, code: &mut Code) {
    let library = &style.library;
    code.line("/// The full name of the service.");
    code.line(&format!("pub const SERVICE_NAME: &'static str = {:?};", service.full_name));
    for method in &service.methods {
        code.line(&format!("/// The path of `{}`.", method.proto_name));
        code.line(&format!(
            "pub const {}: {library}::MethodPath = {library}::MethodPath::from_static({:?});",
            method.path_constant(),
            format!("/{}/{}", service.full_name, method.proto_name),
        ));
    }
}
