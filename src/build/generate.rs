//! One run: messages by prost-build, services by us, put together package by package.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use prost_build::{Module, ServiceGenerator};

use super::clashes::{Items, Rules};
use super::settings::Settings;
use super::sources::Sources;
use super::{Builder, Error, MethodSettings, boxes, is_path_of, known, nesting};
use crate::codegen::descriptor::Index;
use crate::codegen::docs::Docs;
use crate::codegen::{self, Method, Service, Style, descriptor, docs, names, tidy};

/// A generated file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Generated {
    /// Its name: `package.name.rs`.
    pub name: String,
    /// Its text.
    pub text: String,
    /// The modules of its package, outermost first.
    pub modules: Vec<String>,
    /// The `.proto` files that it was made of.
    pub sources: Vec<String>,
}

/// What is to be said about names.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Lines about names that are other than one would expect.
    pub(super) changed: Vec<String>,
    /// Services and methods for which another name was given.
    renamed: HashSet<String>,
    /// Which of the builder's settings are those of a method.
    settled: HashSet<usize>,
}

impl Names {
    /// A name was given for something that is not there: a slip of the pen.
    pub(super) fn check(&self, builder: &Builder) -> Result<(), Error> {
        if let Some(path) = builder.renames.keys().find(|path| !self.renamed.contains(*path)) {
            let text = format!("rename({path:?}, ..): there is no such service or method");
            return Err(Error::new(text));
        }
        let mut settings = builder.method_settings.iter().enumerate();
        match settings.find(|(at, _)| !self.settled.contains(at)) {
            None => Ok(()),
            Some((_, (path, _))) => {
                Err(Error::new(format!("method_settings({path:?}, ..): there is no such method")))
            }
        }
    }
}

/// The code of all packages; those for which `wanted` is not are for others to write.
pub(super) fn generate(
    builder: &mut Builder,
    sources: &mut Sources,
    wanted: impl Fn(&Module) -> bool,
) -> Result<(Vec<Generated>, Names), Error> {
    let rules =
        Rules { elsewhere: &builder.elsewhere, strip_enum_prefix: builder.strip_enum_prefix };
    known::check(sources, &builder.elsewhere)?;
    let items = Items::of(sources, &rules)?;
    let mut origins: BTreeMap<Module, Vec<String>> = BTreeMap::new();
    for file in &sources.descriptors {
        let module = Module::from_protobuf_package_name(file.package());
        origins.entry(module).or_default().push(file.name().to_owned());
    }
    let (mut texts, services) = messages(builder, sources)?;
    let style =
        Style { library: builder.library.clone(), client: builder.client, server: builder.server };
    let mut names = Names::default();
    let mut packages: BTreeMap<Module, Vec<String>> = BTreeMap::new();
    for (module, services) in services {
        let text = texts.entry(module.clone()).or_default();
        let mut taken = names::types_of(text);
        taken.extend(items.names(&module));
        for (package, service) in services {
            let service = named(service, builder, &sources.settings, &mut taken, &mut names)?;
            text.push_str(&codegen::service(&service, &style));
            packages.entry(module.clone()).or_default().push(package);
        }
    }
    let index = Index::of(&sources.encoded);
    let embeds = builder.embed_descriptors && (style.client || style.server);
    let finish = |(module, text): (Module, String)| {
        let text = text.trim_start_matches(PROST_HEAD).trim_start();
        let mut text = tidy::tidy(text, &sources.docs);
        if let (true, Some(packages)) = (embeds, packages.get(&module)) {
            embed(packages, builder, &index, &mut text);
        }
        (module, text)
    };
    let mut texts: Texts =
        texts.into_iter().filter(|(module, _)| wanted(module)).map(finish).collect();
    for (module, outer) in nesting::nest(&mut texts, &wanted) {
        let mut more = origins.remove(&module).unwrap_or_default();
        origins.entry(outer.clone()).or_default().append(&mut more);
        let (inner, outer) = (file_name(&module), file_name(&outer));
        names.changed.push(format!(
            "what would be {inner} is in {outer}, where a message has a module of that name"
        ));
    }
    let finish = |(module, text): (Module, String)| {
        finished(&module, &text, origins.remove(&module).unwrap_or_default())
    };
    Ok((texts.into_iter().map(finish).collect(), names))
}

type Texts = BTreeMap<Module, String>;
/// Each with its package.
type Services = BTreeMap<Module, Vec<(String, Service)>>;

/// The code of the messages. Services come after all of them, when their names are known.
fn messages(builder: &mut Builder, sources: &mut Sources) -> Result<(Texts, Services), Error> {
    let collected: Rc<RefCell<Vec<prost_build::Service>>> = Rc::default();
    builder.config.service_generator(Box::new(Collector(collected.clone())));
    let module = |package: &str| Module::from_protobuf_package_name(package);
    for path in boxes::needed(&sources.descriptors) {
        builder.config.boxed(path);
    }
    let files = std::mem::take(&mut sources.descriptors);
    let names: Vec<String> = files.iter().map(|file| file.name().to_owned()).collect();
    let requests = files.into_iter().map(|file| (module(file.package()), file)).collect();
    // It gives up on some input by panic. What is known of that is refused before; this is for what is not.
    let generate = || builder.config.generate(requests);
    let texts = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(generate)) {
        Ok(result) => result.map_err(|error| Error::new(error.to_string()))?,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
            return Err(Error::new(format!(
                "prost-build gave up on one of {}: {text}",
                names.join(", ")
            )));
        }
    };

    let mut services = Services::new();
    for service in collected.take() {
        let package = service.package.clone();
        services
            .entry(module(&package))
            .or_default()
            .push((package, from_prost(service, &sources.docs)));
    }
    for definition in &builder.definitions {
        let package = definition.package().to_owned();
        services.entry(module(&package)).or_default().push((package, definition.service()?));
    }
    Ok((texts.into_iter().collect(), services))
}

/// Chooses the names of a service and its methods.
fn named(
    mut service: Service,
    builder: &Builder,
    settings: &Settings,
    taken: &mut HashSet<String>,
    names: &mut Names,
) -> Result<Service, Error> {
    let full_name = service.full_name.clone();
    let said = settings.of(&full_name);
    let renamed = builder.renames.get(&full_name);
    names.renamed.extend(renamed.map(|_| full_name.clone()));
    let renamed = renamed.or(said.map(|said| &said.name).filter(|name| !name.is_empty()));
    let base = renamed.unwrap_or(&service.names.service);
    if !names::is_identifier(base) {
        return Err(Error::new(format!("{full_name}: {base:?} is no name for a type")));
    }
    let clash = |name: &str| {
        Error::new(format!(
            "{full_name}: the name {name} is taken; choose another with rename({full_name:?}, ..)"
        ))
    };
    service.names = match names::ServiceNames::take(base, taken) {
        Ok(chosen) => chosen,
        Err(name) if renamed.is_some() => return Err(clash(&name)),
        Err(name) => {
            let other = format!("{base}Service");
            let chosen = names::ServiceNames::take(&other, taken).map_err(|_| clash(&name))?;
            names.changed.push(format!(
                "{full_name}: {name} is taken, so it is called {other} in Rust; rename() chooses another name"
            ));
            chosen
        }
    };
    service.server_attributes = builder.server_attributes.of(&full_name);
    service.stub_attributes = builder.stub_attributes.of(&full_name);
    if let Some(said) = said {
        service.server_attributes.extend_from_slice(&said.server_attribute);
        service.stub_attributes.extend_from_slice(&said.stub_attribute);
    }
    let mut methods = HashSet::new();
    for method in &mut service.methods {
        let path = format!("{full_name}.{}", method.proto_name);
        settle(method, &full_name, builder, settings, names);
        let own = settings.of(&path).map(|said| &said.name).filter(|name| !name.is_empty());
        if let Some(name) = builder.renames.get(&path).or(own) {
            names.renamed.insert(path);
            let name = name.strip_prefix("r#").unwrap_or(name);
            if !names::is_word(name) {
                return Err(Error::new(format!("{full_name}: {name:?} is no name for a method")));
            }
            method.name = names::identifier(name);
        }
        method.name = names::take_method(&method.name, &mut methods);
    }
    Ok(service)
}

/// What options and builder say of a method: first of what has it, last of itself.
fn settle(
    method: &mut Method,
    service: &str,
    builder: &Builder,
    settings: &Settings,
    names: &mut Names,
) {
    let path = format!("{service}.{}", method.proto_name);
    let mut all: Vec<(usize, MethodSettings)> = Vec::new();
    all.extend(settings.of(service).map(|said| (service.len(), said.settings())));
    all.extend(settings.of(&path).map(|said| (path.len(), said.settings())));
    for (at, (of, settings)) in builder.method_settings.iter().enumerate() {
        if is_path_of(of, &path) {
            names.settled.insert(at);
            all.push((of.trim_matches('.').len(), settings.clone()));
        }
    }
    // Of the same length are those of the same: the builder's come after the file's.
    all.sort_by_key(|(length, _)| *length);
    let own = std::mem::take(&mut method.settings);
    all.iter().for_each(|(_, settings)| method.settings.merge(settings));
    method.settings.merge(&own);
    method.server_attributes = builder.server_attributes.of_method(&path);
    method.stub_attributes = builder.stub_attributes.of_method(&path);
    if let Some(said) = settings.of(&path) {
        method.server_attributes.extend_from_slice(&said.server_attribute);
        method.stub_attributes.extend_from_slice(&said.stub_attribute);
    }
}

/// The descriptors of the module's packages: most often of one.
fn embed(packages: &[String], builder: &Builder, index: &Index<'_>, text: &mut String) {
    let mut done: HashSet<&str> = HashSet::new();
    let mut set = Vec::new();
    for package in packages.iter().filter(|package| done.insert(package)) {
        set.extend(index.set_of_package(package));
    }
    for definition in &builder.definitions {
        if done.contains(definition.package()) {
            set.extend(definition.descriptor_set());
        }
    }
    text.push_str(
        "/// What the services of this package are made of: an encoded `FileDescriptorSet`.\n",
    );
    text.push_str(tidy::ALLOW);
    text.push_str("pub const FILE_DESCRIPTOR_SET: &[u8] = ");
    text.push_str(&descriptor::literal(&set, "    "));
    text.push_str(";\n");
}

fn finished(module: &Module, text: &str, sources: Vec<String>) -> Generated {
    Generated {
        name: file_name(module),
        text: format!("{}{text}", head(&sources)),
        modules: module.parts().map(str::to_owned).collect(),
        sources,
    }
}

/// Says what the file is made of, in lines that are not too long.
pub(super) fn head(sources: &[String]) -> String {
    let mut out = HEAD.to_owned();
    let mut column = 0;
    for (at, source) in sources.iter().enumerate() {
        let source = docs::plain(source).replace('\n', " ");
        if at == 0 || column + source.len() > 100 {
            out.push_str(if at == 0 { "\n// Of:" } else { "\n//    " });
            column = 6;
        }
        out.push(' ');
        out.push_str(&source);
        column += source.len() + 1;
    }
    out.push_str("\n\n");
    out
}

/// `package.name.rs`, without the marks of keywords.
pub(super) fn file_name(module: &Module) -> String {
    module.to_file_name_or("_").replace("r#", "")
}

/// Keeps the services for later.
struct Collector(Rc<RefCell<Vec<prost_build::Service>>>);

impl ServiceGenerator for Collector {
    fn generate(&mut self, service: prost_build::Service, text: &mut String) {
        self.0.borrow_mut().push(service);
        // A module without any text is given up by prost-build.
        text.push('\n');
    }
}

fn from_prost(service: prost_build::Service, texts: &Docs) -> Service {
    let full_name = if service.package.is_empty() {
        service.proto_name
    } else {
        format!("{}.{}", service.package, service.proto_name)
    };
    Service {
        full_name,
        names: names::ServiceNames::unchosen(&service.name),
        docs: texts.lines(&service.comments.leading),
        deprecated: service.options.deprecated(),
        methods: service
            .methods
            .into_iter()
            .map(|method| method_from_prost(method, texts))
            .collect(),
        server_attributes: Vec::new(),
        stub_attributes: Vec::new(),
    }
}

fn method_from_prost(method: prost_build::Method, texts: &Docs) -> Method {
    Method {
        proto_name: method.proto_name,
        name: method.name,
        docs: texts.lines(&method.comments.leading),
        deprecated: method.options.deprecated(),
        request: method.input_type,
        response: method.output_type,
        request_streaming: method.client_streaming,
        response_streaming: method.server_streaming,
        codec: None,
        settings: MethodSettings::new(),
        server_attributes: Vec::new(),
        stub_attributes: Vec::new(),
    }
}

const HEAD: &str = "// @generated by grpc-threads from .proto files: changes here get lost.";
const PROST_HEAD: &str = "// This file is @generated by prost-build.\n";
