//! Reflection: what a client that has no `.proto` is told, by messages that are written here anew.

#[path = "support/service.rs"]
mod service;
mod support;

#[path = "../examples/common/helloworld.rs"]
#[allow(dead_code, unused_imports, unreachable_pub, reason = "generated")]
mod helloworld;

use grpc_threads::reflection::{
    DescriptorDatabase, SERVICE_NAME, SERVICE_NAME_V1ALPHA, ServerReflection,
};
use grpc_threads::{
    Channel, Code, ConfigErrorKind, Duplex, RequestIterator, Server, Service, ServicerContext,
    ThreadPool, stream_stream_rpc_method_handler,
};
use prost::Message;
use service::channel;
use support::LONG;

#[derive(Clone, PartialEq, Message)]
struct Set {
    #[prost(message, repeated, tag = "1")]
    file: Vec<File>,
}

#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    package: Option<String>,
    #[prost(string, repeated, tag = "3")]
    dependency: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    message_type: Vec<Type>,
    #[prost(message, repeated, tag = "5")]
    enum_type: Vec<Enum>,
    #[prost(message, repeated, tag = "6")]
    service: Vec<Declared>,
    #[prost(message, repeated, tag = "7")]
    extension: Vec<Field>,
    /// Comments.
    #[prost(bytes, optional, tag = "9")]
    source_code_info: Option<Vec<u8>>,
    #[prost(string, optional, tag = "12")]
    syntax: Option<String>,
    /// An edition, of which the library knows nothing.
    #[prost(int32, optional, tag = "14")]
    edition: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(message, repeated, tag = "2")]
    field: Vec<Field>,
    #[prost(message, repeated, tag = "3")]
    nested_type: Vec<Type>,
    #[prost(message, repeated, tag = "4")]
    enum_type: Vec<Enum>,
    #[prost(message, repeated, tag = "6")]
    extension: Vec<Field>,
    #[prost(message, repeated, tag = "8")]
    oneof_decl: Vec<Named>,
}

#[derive(Clone, PartialEq, Message)]
struct Field {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    extendee: Option<String>,
    #[prost(int32, optional, tag = "3")]
    number: Option<i32>,
}

/// An enum with its values, or a service with its methods.
#[derive(Clone, PartialEq, Message)]
struct Enum {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(message, repeated, tag = "2")]
    of: Vec<Named>,
}

type Declared = Enum;

#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(oneof = "Question", tags = "3, 4, 5, 6, 7")]
    question: Option<Question>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Question {
    #[prost(string, tag = "3")]
    File(String),
    #[prost(string, tag = "4")]
    Symbol(String),
    #[prost(message, tag = "5")]
    Extension(Extension),
    #[prost(string, tag = "6")]
    Numbers(String),
    #[prost(string, tag = "7")]
    List(String),
}

#[derive(Clone, PartialEq, Message)]
struct Extension {
    #[prost(string, tag = "1")]
    of: String,
    #[prost(int32, tag = "2")]
    number: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(message, optional, tag = "2")]
    original: Option<Request>,
    #[prost(oneof = "Answer", tags = "4, 5, 6, 7")]
    answer: Option<Answer>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Answer {
    #[prost(message, tag = "4")]
    Files(Files),
    #[prost(message, tag = "5")]
    Numbers(Numbers),
    #[prost(message, tag = "6")]
    Services(Services),
    #[prost(message, tag = "7")]
    Error(Refused),
}

#[derive(Clone, PartialEq, Message)]
struct Files {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Numbers {
    #[prost(string, tag = "1")]
    of: String,
    #[prost(int32, repeated, tag = "2")]
    number: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Services {
    #[prost(message, repeated, tag = "1")]
    service: Vec<Named>,
}

#[derive(Clone, PartialEq, Message)]
struct Refused {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    text: String,
}

fn name(text: &str) -> Option<String> {
    Some(text.into())
}

fn named(texts: &[&str]) -> Vec<Named> {
    texts.iter().map(|text| Named { name: name(text) }).collect()
}

fn field(text: &str, extendee: Option<&str>, number: i32) -> Field {
    Field { name: name(text), extendee: extendee.map(str::to_owned), number: Some(number) }
}

/// a.proto imports b.proto, which imports c.proto.
fn sample() -> Set {
    let nested = Type {
        name: name("Inner"),
        field: vec![field("deep", None, 1)],
        enum_type: vec![Enum { name: name("Kind"), of: named(&["KIND_NONE"]) }],
        extension: vec![field("inner_ext", Some(".two.Base"), 200)],
        ..Type::default()
    };
    let outer = Type {
        name: name("Outer"),
        field: vec![field("text", None, 1)],
        nested_type: vec![nested],
        oneof_decl: named(&["choice"]),
        ..Type::default()
    };
    let a = File {
        name: name("a.proto"),
        package: name("one"),
        dependency: vec!["b.proto".into()],
        message_type: vec![outer],
        enum_type: vec![Enum { name: name("Color"), of: named(&["RED"]) }],
        service: vec![Declared { name: name("Shop"), of: named(&["Buy", "Sell"]) }],
        extension: vec![field("ext", Some(".two.Base"), 100)],
        edition: Some(1000),
        syntax: name("editions"),
        source_code_info: None,
    };
    let base = |text| Type { name: name(text), ..Type::default() };
    let b = File {
        name: name("b.proto"),
        package: name("two"),
        dependency: vec!["c.proto".into()],
        message_type: vec![base("Base"), base("Plain")],
        ..File::default()
    };
    let service = vec![Declared { name: name("Bare"), of: named(&["Go"]) }];
    let c = File { name: name("c.proto"), service, ..File::default() };
    Set { file: vec![a, b, c] }
}

struct Asked {
    _server: Server,
    channel: Channel,
    stream: Duplex<Request, Response>,
}

impl Asked {
    fn of(reflection: &ServerReflection) -> Self {
        let server = grpc_threads::server(ThreadPool::new(2));
        reflection.add_to(&server).unwrap();
        let port = server.add_insecure_port("127.0.0.1:0").unwrap();
        server.start().unwrap();
        let channel = channel(&format!("127.0.0.1:{port}"));
        let stream = open(&channel, SERVICE_NAME);
        Self { _server: server, channel, stream }
    }

    fn sample() -> Self {
        Self::of(&ServerReflection::new([sample().encode_to_vec()]).unwrap())
    }

    /// Each answer tells what was asked.
    fn ask(&mut self, question: Question) -> Answer {
        ask(&mut self.stream, question)
    }

    /// The names of the files that come for it.
    fn files(&mut self, question: Question) -> Vec<String> {
        let Answer::Files(files) = self.ask(question) else { panic!("no files") };
        files.file.iter().map(|file| File::decode(&file[..]).unwrap().name.unwrap()).collect()
    }

    fn refused(&mut self, question: Question) -> (i32, String) {
        let Answer::Error(refused) = self.ask(question) else { panic!("no error") };
        (refused.code, refused.text)
    }

    fn listed(&mut self) -> Vec<String> {
        let Answer::Services(services) = self.ask(Question::List(String::new())) else {
            panic!("no list")
        };
        services.service.into_iter().map(|service| service.name.unwrap()).collect()
    }
}

fn open(channel: &Channel, service: &str) -> Duplex<Request, Response> {
    let info = channel.stream_stream(&format!("/{service}/ServerReflectionInfo")).unwrap();
    info.timeout(LONG).open()
}

fn ask(stream: &mut Duplex<Request, Response>, question: Question) -> Answer {
    let request = Request { host: "host".into(), question: Some(question) };
    stream.send(&request).unwrap();
    let response = stream.recv().unwrap().unwrap();
    assert_eq!((response.host.as_str(), response.original), ("host", Some(request)));
    response.answer.unwrap()
}

fn symbol(text: &str) -> Question {
    Question::Symbol(text.into())
}

#[test]
fn a_file_comes_with_all_that_it_imports_itself_first() {
    let mut asked = Asked::sample();
    let all = ["a.proto", "b.proto", "c.proto"];
    assert_eq!(asked.files(Question::File("a.proto".into())), all);
    assert_eq!(asked.files(Question::File("b.proto".into())), all[1..]);
    assert_eq!(asked.files(Question::File("c.proto".into())), all[2..]);
    // As it was given: the edition, too.
    let Answer::Files(files) = asked.ask(Question::File("a.proto".into())) else { panic!() };
    assert_eq!(files.file[0], sample().file[0].encode_to_vec());
}

#[test]
fn everything_that_has_a_name_is_found_by_it() {
    let mut asked = Asked::sample();
    for text in [
        "one.Outer",
        "one.Outer.text",
        "one.Outer.choice",
        "one.Outer.Inner",
        "one.Outer.Inner.deep",
        "one.Outer.Inner.Kind",
        "one.Outer.Inner.KIND_NONE",
        "one.Outer.Inner.inner_ext",
        "one.Color",
        "one.RED",
        "one.Shop",
        "one.Shop.Buy",
        "one.ext",
    ] {
        assert_eq!(asked.files(symbol(text))[0], "a.proto", "{text}");
    }
    assert_eq!(asked.files(symbol("two.Base")), ["b.proto", "c.proto"]);
    assert_eq!(asked.files(symbol("Bare.Go")), ["c.proto"], "without a package");
}

#[test]
fn extensions_are_found_by_their_numbers() {
    let mut asked = Asked::sample();
    let of = |number| Question::Extension(Extension { of: "two.Base".into(), number });
    assert_eq!(asked.files(of(100))[0], "a.proto");
    assert_eq!(asked.files(of(200))[0], "a.proto");
    assert_eq!(asked.refused(of(101)).0, 5);
    let mut numbers = |text: &str| match asked.ask(Question::Numbers(text.into())) {
        Answer::Numbers(numbers) => (numbers.of, numbers.number),
        other => panic!("{other:?}"),
    };
    assert_eq!(numbers("two.Base"), ("two.Base".into(), vec![100, 200]));
    assert_eq!(numbers("two.Plain"), ("two.Plain".into(), Vec::new()));
    assert_eq!(
        asked.refused(Question::Numbers("one.Shop".into())).0,
        5,
        "a service is not extended"
    );
}

/// § Table 3: an error within the answer, and the stream goes on.
#[test]
fn what_is_not_known_is_told_in_band() {
    let mut asked = Asked::sample();
    for question in [
        Question::File("none.proto".into()),
        Question::File(String::new()),
        symbol("one.None"),
        symbol(""),
        Question::Extension(Extension { of: "none".into(), number: 1 }),
        Question::Numbers("none".into()),
    ] {
        let (code, text) = asked.refused(question);
        assert!(code == 5 && text.starts_with("not found"), "{text}");
    }
    asked.stream.send(&Request::default()).unwrap();
    let answer = asked.stream.recv().unwrap().unwrap().answer;
    assert!(matches!(answer, Some(Answer::Error(Refused { code: 3, .. }))), "{answer:?}");
    assert_eq!(asked.listed().len(), 2, "it goes on");
    asked.stream.done_writing().unwrap();
    assert!(asked.stream.recv().unwrap().is_none(), "and ends well");
}

#[test]
fn services_are_listed_in_order_all_or_those_that_are_said() {
    let mut asked = Asked::sample();
    assert_eq!(asked.listed(), ["Bare", "one.Shop"]);
    let reflection = ServerReflection::new([sample().encode_to_vec()]).unwrap();
    let said = reflection.services(["z.Z", "one.Shop", SERVICE_NAME]);
    let mut asked = Asked::of(&said);
    assert_eq!(asked.listed(), [SERVICE_NAME, "one.Shop", "z.Z"]);
    assert_eq!(asked.files(symbol("Bare")), ["c.proto"], "it can be described all the same");
    assert_eq!(asked.refused(symbol("z.Z")).0, 5);
}

#[test]
fn v1alpha_is_the_same() {
    let asked = Asked::sample();
    let mut stream = open(&asked.channel, SERVICE_NAME_V1ALPHA);
    let Answer::Files(files) = ask(&mut stream, symbol("one.Shop")) else { panic!() };
    assert_eq!(files.file.len(), 3);
}

#[test]
fn generated_code_has_its_set() {
    let mut asked = Asked::of(&ServerReflection::new([helloworld::FILE_DESCRIPTOR_SET]).unwrap());
    assert_eq!(asked.listed(), ["helloworld.Greeter"]);
    assert_eq!(asked.files(symbol("helloworld.Greeter.SayHello")), ["helloworld.proto"]);
}

#[test]
fn sets_may_share_files_that_are_the_same() {
    let mut commented = sample();
    commented.file[2].source_code_info = Some(b"\x0a\x00".to_vec());
    let sets = [sample().encode_to_vec(), commented.encode_to_vec()];
    let mut asked = Asked::of(&ServerReflection::new(sets).unwrap());
    assert_eq!(asked.files(Question::File("a.proto".into())).len(), 3);
    // One set after the other may have what the first one imports.
    let mut parts = sample().file;
    let rest = Set { file: parts.split_off(1) };
    ServerReflection::new([Set { file: parts }.encode_to_vec(), rest.encode_to_vec()]).unwrap();
    assert!(ServerReflection::new([[0_u8; 0]]).is_ok(), "none at all");
}

#[test]
fn a_broken_set_is_an_error_that_says_what_is_wrong() {
    let mut other = sample();
    other.file[2].package = name("other");
    let lone = Set { file: vec![sample().file.remove(0)] };
    for (sets, words) in [
        (vec![b"\x0a\x7f".to_vec()], "no FileDescriptorSet"),
        (vec![b"\x0a\x02\x0a\x7f".to_vec()], "no FileDescriptorProto"),
        (vec![sample().file[0].encode_to_vec()], "FileDescriptor"),
        (vec![b"\x0a\x00".to_vec()], "has no name"),
        (vec![sample().encode_to_vec(), other.encode_to_vec()], "\"c.proto\" is in two sets"),
        (vec![lone.encode_to_vec()], "\"a.proto\" imports \"b.proto\", which is in no set"),
    ] {
        let error = ServerReflection::new(sets).unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Option);
        assert!(error.to_string().contains(words), "{error}");
    }
    // Deeper than anybody nests: an error or not, and no overflow.
    let octets = nested(5_000);
    assert!(ServerReflection::new([octets]).is_err());
}

/// A set with a message in a message in a message, by its octets.
fn nested(depth: usize) -> Vec<u8> {
    let wrap = |tag: u8, inner: &[u8]| {
        let mut octets = vec![tag];
        prost::encoding::encode_varint(inner.len() as u64, &mut octets);
        octets.extend_from_slice(inner);
        octets
    };
    let mut message = wrap(0x0a, b"T");
    for _ in 0..depth {
        message = [wrap(0x0a, b"T"), wrap(0x1a, &message)].concat();
    }
    let file = [wrap(0x0a, b"deep.proto"), wrap(0x22, &message)].concat();
    wrap(0x0a, &file)
}

#[test]
fn a_pool_of_its_own_leaves_the_servers_workers_alone() {
    let pool = ThreadPool::new(2);
    let reflection = ServerReflection::new([sample().encode_to_vec()]).unwrap().thread_pool(pool);
    let server = grpc_threads::server(ThreadPool::new(1));
    reflection.add_to(&server).unwrap();
    let served = service::Served::start(server, "127.0.0.1:0", []);
    let channel = served.channel();
    let mut streams = [open(&channel, SERVICE_NAME), open(&channel, SERVICE_NAME)];
    for stream in &mut streams {
        ask(stream, symbol("one.Shop"));
    }
    let echo = channel.raw_unary_unary(service::ECHO).unwrap().timeout(LONG);
    assert_eq!(echo.call(&bytes::Bytes::from_static(b"x")).unwrap(), "x");
}

/// § The other side: what was given comes, with all that it needs before it, and is asked for once.
#[test]
fn a_database_has_what_the_server_has() {
    let asked = Asked::sample();
    let database = DescriptorDatabase::new(&asked.channel).timeout(LONG);
    assert_eq!(database.services().unwrap(), ["Bare", "one.Shop"]);
    let set = Set::decode(&database.descriptor_set("one.Shop.Buy").unwrap()[..]).unwrap();
    let names: Vec<_> = set.file.iter().map(|file| file.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["c.proto", "b.proto", "a.proto"]);
    let mut as_given = set.file;
    as_given.reverse();
    assert_eq!(as_given, sample().file);
    let (a, b) = (&sample().file[0].encode_to_vec(), &sample().file[1].encode_to_vec());
    assert_eq!(database.file_containing_symbol("one.RED").unwrap(), a);
    assert_eq!(database.file_containing_extension("two.Base", 100).unwrap(), a);
    assert_eq!(database.all_extension_numbers("two.Base").unwrap(), [100, 200]);
    assert_eq!(database.file_containing_symbol("none").unwrap_err().code(), Code::NotFound);
    asked.channel.close();
    assert_eq!(database.file("b.proto").unwrap(), b, "it is known");
    assert!(database.file("d.proto").is_err());
}

#[test]
fn a_database_asks_by_v1alpha_where_there_is_no_other_and_says_so_where_there_is_none() {
    let server = grpc_threads::server(ThreadPool::new(2));
    let services = stream_stream_rpc_method_handler(
        |questions: RequestIterator<Request>, _: &ServicerContext| {
            Ok(questions.map(|question| {
                let service = named(&["old.Service"]);
                question.map(|_| Response {
                    answer: Some(Answer::Services(Services { service })),
                    ..Response::default()
                })
            }))
        },
    );
    let old = Service::new(SERVICE_NAME_V1ALPHA).method("ServerReflectionInfo", services);
    server.add_service(old).unwrap();
    let served = service::Served::start(server, "127.0.0.1:0", []);
    let database = DescriptorDatabase::new(&served.channel());
    for _ in 0..2 {
        assert_eq!(database.services().unwrap(), ["old.Service"]);
    }
    let error = database.file("a.proto").unwrap_err();
    assert_eq!(error.code(), Code::DataLoss, "it answers another question");
    let none = service::Served::new();
    let error = DescriptorDatabase::new(&none.channel()).services().unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
}

#[test]
fn files_that_import_each_other_are_an_error_and_no_endless_loop() {
    let server = grpc_threads::server(ThreadPool::new(2));
    let info = stream_stream_rpc_method_handler(
        |questions: RequestIterator<Request>, _: &ServicerContext| {
            Ok(questions.map(|question| {
                let of = |text: &str, import: &str| File {
                    name: name(text),
                    dependency: vec![import.into()],
                    ..File::default()
                };
                let file = match question?.question {
                    Some(Question::File(text)) if text == "b" => of("b", "a"),
                    _ => of("a", "b"),
                };
                let files = Files { file: vec![file.encode_to_vec()] };
                Ok(Response { answer: Some(Answer::Files(files)), ..Response::default() })
            }))
        },
    );
    server.add_service(Service::new(SERVICE_NAME).method("ServerReflectionInfo", info)).unwrap();
    let served = service::Served::start(server, "127.0.0.1:0", []);
    let error = DescriptorDatabase::new(&served.channel()).descriptor_set("x").unwrap_err();
    assert!(
        error.code() == Code::DataLoss && error.message().contains("import each other"),
        "{error}"
    );
}
