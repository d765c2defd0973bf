//! The server side: a trait with a method for each of the service's, and the struct that serves an
//! implementation of it.

use super::code::Code;
use super::{Method, Service, Style, constants};

pub(super) fn emit(service: &Service, style: &Style, code: &mut Code) {
    emit_trait(service, style, code);
    emit_arc(service, style, code);
    emit_struct(service, style, code);
    emit_new(service, style, code);
    emit_conversions(service, style, code);
}

fn emit_trait(service: &Service, style: &Style, code: &mut Code) {
    let names = &service.names;
    if service.docs.is_empty() {
        code.line(&format!("/// What a server of `{}` implements.", service.full_name));
    } else {
        code.docs(&service.docs);
    }
    let server = &names.server;
    code.line("///");
    code.line(&format!(
        "/// Implement it and serve it with [`{server}`]. A method that is left out answers"
    ));
    code.line("/// `UNIMPLEMENTED`.");
    code.deprecated(service.deprecated);
    service.server_attributes.iter().for_each(|attribute| code.line(attribute));
    code.open(&format!(
        "pub trait {}: ::core::marker::Send + ::core::marker::Sync + 'static {{",
        names.service
    ));
    for (at, method) in service.methods.iter().enumerate() {
        if at > 0 {
            code.line("");
        }
        if method.docs.is_empty() {
            code.line(&format!("/// `{}`.", method.proto_name));
        }
        code.docs(&method.docs);
        if method.response_streaming {
            code.line("///");
            code.line(
                "/// The iterator may borrow the service and the context; a worker pulls it.",
            );
        }
        code.deprecated(method.deprecated);
        method.server_attributes.iter().for_each(|attribute| code.line(attribute));
        signature(method, style, code);
        code.line(&format!("let _ = ({}, context);", argument(method)));
        let ok = if method.response_streaming { "::<::core::iter::Empty<_>, _>" } else { "" };
        code.line(&format!(
            "::core::result::Result::Err{ok}({}::Status::unimplemented(\"Method not implemented!\"))",
            style.library
        ));
        code.close("}");
    }
    code.close("}");
}

/// What a handler calls what it is given.
fn argument(method: &Method) -> &'static str {
    if method.request_streaming { "requests" } else { "request" }
}

/// The type of that.
fn argument_type(method: &Method, style: &Style) -> String {
    if method.request_streaming {
        format!("{}::RequestIterator<{}>", style.library, method.request)
    } else {
        method.request.clone()
    }
}

/// The head of a trait's method, up to its opening brace.
fn signature(method: &Method, style: &Style, code: &mut Code) {
    let library = &style.library;
    code.open(&format!("fn {}(", method.name));
    code.line("&self,");
    code.line(&format!("{}: {},", argument(method), argument_type(method, style)));
    code.line(&format!("context: &{library}::ServicerContext,"));
    if method.response_streaming {
        code.reopen(") -> ::core::result::Result<");
        code.line(&format!(
            "impl ::core::iter::Iterator<Item = ::core::result::Result<{}, {library}::Status>>,",
            method.response
        ));
        code.line(&format!("{library}::Status,"));
        code.reopen("> {");
    } else {
        code.reopen(&format!(
            ") -> ::core::result::Result<{}, {library}::Status> {{",
            method.response
        ));
    }
}

/// The trait for a shared implementation.
fn emit_arc(service: &Service, style: &Style, code: &mut Code) {
    let (name, t) = (&service.names.service, &service.names.type_parameter);
    code.open(&format!(
        "impl<{t}: {name} + ?::core::marker::Sized> {name} for ::std::sync::Arc<{t}> {{"
    ));
    for (at, method) in service.methods.iter().enumerate() {
        if at > 0 {
            code.line("");
        }
        signature(method, style, code);
        code.line(&format!(
            "<{t} as {name}>::{}(&**self, {}, context)",
            method.name,
            argument(method)
        ));
        code.close("}");
    }
    code.close("}");
}

fn emit_struct(service: &Service, style: &Style, code: &mut Code) {
    let (library, names) = (&style.library, &service.names);
    let (server, t) = (&names.server, &names.type_parameter);
    code.line(&format!(
        "/// Serves `{}` with an implementation of [`{}`]:",
        service.full_name, names.service
    ));
    code.line("/// what `Server::add_service` takes.");
    code.deprecated(service.deprecated);
    service.server_attributes.iter().for_each(|attribute| code.line(attribute));
    code.open(&format!("pub struct {server}<{t}> {{"));
    code.line(&format!("service: ::std::sync::Arc<{t}>,"));
    for method in &service.methods {
        code.line(&format!("{}_handler: {library}::RpcMethodHandler,", method.stem()));
    }
    for method in with_pools(service) {
        code.line(&format!(
            "{}_pool: ::core::option::Option<{library}::ThreadPool>,",
            method.stem()
        ));
    }
    code.line("receive_limit: ::core::option::Option<usize>,");
    code.line("send_limit: ::core::option::Option<usize>,");
    code.close("}");
    code.open(&format!("impl {server}<()> {{"));
    constants(service, style, code);
    code.close("}");
}

fn emit_new(service: &Service, style: &Style, code: &mut Code) {
    let names = &service.names;
    let (server, name, t) = (&names.server, &names.service, &names.type_parameter);
    code.open(&format!("impl<{t}: {name}> {server}<{t}> {{"));
    code.line("/// Serves `service`; an `Arc` of one, too.");
    code.line("#[must_use]");
    code.open(&format!("pub fn new(service: {t}) -> Self {{"));
    code.line("let service = ::std::sync::Arc::new(service);");
    code.open("Self {");
    for method in &service.methods {
        emit_handler(method, service, style, code);
    }
    code.line("service,");
    for method in with_pools(service) {
        code.line(&format!("{}_pool: ::core::option::Option::None,", method.stem()));
    }
    code.line("receive_limit: ::core::option::Option::None,");
    code.line("send_limit: ::core::option::Option::None,");
    code.close("}");
    code.close("}");
    for method in &service.methods {
        code.line("");
        emit_with(method, service, style, code);
    }
    for method in with_pools(service) {
        code.line("");
        emit_pool(method, style, code);
    }
    code.line("");
    emit_limits(code);
    code.close("}");
}

/// The handler that calls the trait's method.
fn emit_handler(method: &Method, service: &Service, style: &Style, code: &mut Code) {
    let (library, name, t) =
        (&style.library, &service.names.service, &service.names.type_parameter);
    let (kind, codec) = (method.kind(), method.codec(style));
    let target = format!("<{t} as {name}>::{}", method.name);
    if method.response_streaming {
        code.open(&format!("{}_handler: {library}::{kind}_rpc_method_handler_of(", method.stem()));
        code.line("::core::clone::Clone::clone(&service),");
        code.line(&format!("{target},"));
    } else {
        let argument = argument(method);
        code.open(&format!(
            "{}_handler: {library}::{kind}_rpc_method_handler_with(",
            method.stem()
        ));
        code.open("{");
        code.line("let service = ::core::clone::Clone::clone(&service);");
        code.open(&format!(
            "move |{argument}: {}, context: &{library}::ServicerContext| {{",
            argument_type(method, style)
        ));
        code.line(&format!("{target}(&service, {argument}, context)"));
        code.close("}");
        code.close("},");
    }
    code.line(&format!("{codec},"));
    code.line(&format!("{codec},"));
    method.settings.close_handler(",", code);
}

/// The choice to write one method by hand.
fn emit_with(method: &Method, service: &Service, style: &Style, code: &mut Code) {
    let (library, names) = (&style.library, &service.names);
    let (t, f, codec) = (&names.type_parameter, &names.function_parameter, method.codec(style));
    code.line(&format!(
        "/// Handles `{}` with `method` instead of the trait's: by hand, through a",
        method.proto_name
    ));
    code.line("/// `ServerStream`.");
    code.deprecated(method.deprecated);
    code.line("#[must_use]");
    code.line(&format!("pub fn {}_with<{f}>(mut self, method: {f}) -> Self", method.stem()));
    code.open("where");
    code.open(&format!("{f}: ::core::ops::Fn("));
    code.line(&format!("&{t},"));
    code.line(&format!("&mut {library}::ServerStream<{}, {}>,", method.request, method.response));
    code.line(&format!("&{library}::ServicerContext,"));
    code.reopen(&format!(") -> ::core::result::Result<(), {library}::Status>"));
    code.line("+ ::core::marker::Send");
    code.line("+ ::core::marker::Sync");
    code.line("+ 'static,");
    code.dedent();
    code.reopen("{");
    code.line("let service = ::core::clone::Clone::clone(&self.service);");
    code.open(&format!(
        "self.{}_handler = {library}::stream_rpc_method_handler_with(",
        method.stem()
    ));
    code.line(&format!("{library}::Cardinality::{},", method.kind_type()));
    code.line(&format!(
        "move |stream: &mut {library}::ServerStream<{}, {}>, context: &{library}::ServicerContext| {{",
        method.request, method.response
    ));
    code.line("    method(&service, stream, context)");
    code.line("},");
    code.line(&format!("{codec},"));
    code.line(&format!("{codec},"));
    method.settings.close_handler(";", code);
    code.line("self");
    code.close("}");
}

/// The methods that may have pools of their own.
fn with_pools(service: &Service) -> impl Iterator<Item = &Method> {
    service.methods.iter().filter(|method| method.settings.has_thread_pool())
}

fn emit_pool(method: &Method, style: &Style, code: &mut Code) {
    let (library, stem) = (&style.library, method.stem());
    code.line(&format!(
        "/// Has the calls of `{}` run by this pool, not by the server's.",
        method.proto_name
    ));
    code.deprecated(method.deprecated);
    code.line("#[must_use]");
    code.open(&format!(
        "pub fn {stem}_thread_pool(mut self, pool: {library}::ThreadPool) -> Self {{"
    ));
    code.line(&format!("self.{stem}_pool = ::core::option::Option::Some(pool);"));
    code.line("self");
    code.close("}");
}

fn emit_limits(code: &mut Code) {
    for (name, field, what) in [
        ("max_receive_message_size", "receive_limit", "request"),
        ("max_send_message_size", "send_limit", "response"),
    ] {
        code.line(&format!(
            "/// The longest {what} message of the service's methods, in bytes; without it the"
        ));
        code.line("/// server's limit holds.");
        code.line("#[must_use]");
        code.open(&format!("pub fn {name}(mut self, bytes: usize) -> Self {{"));
        code.line(&format!("self.{field} = ::core::option::Option::Some(bytes);"));
        code.line("self");
        code.close("}");
        if field == "receive_limit" {
            code.line("");
        }
    }
}

fn emit_conversions(service: &Service, style: &Style, code: &mut Code) {
    let (library, names) = (&style.library, &service.names);
    let (server, t) = (&names.server, &names.type_parameter);
    code.open(&format!("impl<{t}> ::core::convert::From<{server}<{t}>> for {library}::Service {{"));
    let has_pools = with_pools(service).next().is_some();
    let mutable = if has_pools { "mut " } else { "" };
    code.open(&format!("fn from({mutable}server: {server}<{t}>) -> Self {{"));
    for method in with_pools(service) {
        let stem = method.stem();
        code.open(&format!("if let ::core::option::Option::Some(pool) = server.{stem}_pool {{"));
        code.line(&format!("server.{stem}_handler = server.{stem}_handler.thread_pool(pool);"));
        code.close("}");
    }
    let mutable = "let mut service = ";
    if service.methods.is_empty() {
        code.line(&format!("{mutable}{library}::Service::new({:?});", service.full_name));
    } else {
        code.open(&format!("{mutable}{library}::Service::new({:?})", service.full_name));
        for (at, method) in service.methods.iter().enumerate() {
            let end = if at + 1 == service.methods.len() { ";" } else { "" };
            code.line(&format!(
                ".method({:?}, server.{}_handler){end}",
                method.proto_name,
                method.stem()
            ));
        }
        code.dedent();
    }
    for (name, field) in
        [("max_receive_message_size", "receive_limit"), ("max_send_message_size", "send_limit")]
    {
        code.open(&format!("if let ::core::option::Option::Some(bytes) = server.{field} {{"));
        code.line(&format!("service = service.{name}(bytes);"));
        code.close("}");
    }
    code.line("service");
    code.close("}");
    code.close("}");
    code.open(&format!("impl<{t}> ::core::fmt::Debug for {server}<{t}> {{"));
    code.open("fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {");
    code.line(&format!("f.debug_struct({server:?}).finish_non_exhaustive()"));
    code.close("}");
    code.close("}");
}
