//! The stub: a struct with a multi-callable for each method.

use super::code::Code;
use super::{Service, Style, constants};

pub(super) fn emit(service: &Service, style: &Style, code: &mut Code) {
    let (library, stub) = (&style.library, &service.names.stub);
    if service.docs.is_empty() {
        code.line(&format!("/// Calls `{}`.", service.full_name));
    } else {
        code.docs(&service.docs);
        code.line("///");
        code.line(&format!("/// This calls it (`{}`).", service.full_name));
    }
    code.deprecated(service.deprecated);
    service.stub_attributes.iter().for_each(|attribute| code.line(attribute));
    code.line("#[derive(Clone, Debug)]");
    code.open(&format!("pub struct {stub} {{"));
    for method in &service.methods {
        if method.docs.is_empty() {
            code.line(&format!("/// `{}`.", method.proto_name));
        }
        code.docs(&method.docs);
        code.deprecated(method.deprecated);
        method.stub_attributes.iter().for_each(|attribute| code.line(attribute));
        code.line(&format!(
            "pub {}: {library}::{}<{}, {}>,",
            method.name,
            method.kind_type(),
            method.request,
            method.response
        ));
    }
    code.close("}");

    code.open(&format!("impl {stub} {{"));
    constants(service, style, code);
    code.line("");
    emit_new(service, style, code);
    code.line("");
    emit_with_options(service, style, code);
    code.close("}");
}

fn emit_new(service: &Service, style: &Style, code: &mut Code) {
    let library = &style.library;
    code.line("/// The methods of the service, on `channel`. Nothing is sent yet.");
    code.line("#[must_use]");
    code.open(&format!("pub fn new(channel: &{library}::Channel) -> Self {{"));
    if service.methods.is_empty() {
        code.line("let _ = channel;");
    }
    code.open("Self {");
    for method in &service.methods {
        let mut calls = method.settings.of_stub(style);
        let make = format!(
            ".{}_at(Self::{}, {})",
            method.kind(),
            method.path_constant(),
            method.codec(style)
        );
        match calls.pop() {
            None => code.line(&format!("{}: channel{make},", method.name)),
            Some(last) => {
                code.open(&format!("{}: channel", method.name));
                code.line(&make);
                calls.iter().for_each(|call| code.line(call));
                code.line(&format!("{last},"));
                code.dedent();
            }
        }
    }
    code.close("}");
    code.close("}");
}

fn emit_with_options(service: &Service, style: &Style, code: &mut Code) {
    let library = &style.library;
    code.line("/// The methods of the service, on `channel`; all calls have these options.");
    code.line("#[must_use]");
    code.open("pub fn with_options(");
    code.line(&format!("channel: &{library}::Channel,"));
    code.line(&format!("options: {library}::CallOptions,"));
    code.reopen(") -> Self {");
    if service.methods.is_empty() {
        code.line("let _ = options;");
        code.line("Self::new(channel)");
    } else {
        code.line("let stub = Self::new(channel);");
        code.open("Self {");
        for method in &service.methods {
            code.line(&format!("{0}: stub.{0}.options(&options),", method.name));
        }
        code.close("}");
    }
    code.close("}");
}
