//! Errors that say more than a code and a text: which fields are wrong, when to try again, and a detail of one's own.
//!
//! `cargo run --example error_details`

use std::error::Error;
use std::time::Duration;

use grpc_threads::rpc_status::{
    BadRequest, Detail, DetailMessage, ErrorInfo, FieldViolation, RetryInfo, RpcStatus,
};
use grpc_threads::{
    Code, Service, ServicerContext, Status, ThreadPool, UnaryUnary, insecure_channel,
    unary_unary_rpc_method_handler,
};

/// A detail that is not one of the standard's: a message of one's own, with its full name.
#[derive(Clone, PartialEq, prost::Message)]
struct Seats {
    #[prost(uint32, tag = "1")]
    left: u32,
}

impl DetailMessage for Seats {
    const TYPE_NAME: &'static str = "demo.Seats";
}

fn book(name: &str) -> Result<String, Status> {
    if name.is_empty() {
        let violation = FieldViolation {
            field: "name".into(),
            description: "must not be empty".into(),
            ..FieldViolation::default()
        };
        let bad = BadRequest { field_violations: vec![violation] };
        return Err(Status::invalid_argument("the booking is not complete").with_rpc_details([bad]));
    }
    if name == "everybody" {
        let info = ErrorInfo {
            reason: "SOLD_OUT".into(),
            domain: "demo.example".into(),
            ..ErrorInfo::default()
        };
        let retry = RetryInfo { retry_delay: Some(Duration::from_secs(30).into()) };
        let full = RpcStatus::new(Code::ResourceExhausted, "there are not enough seats");
        return Err(full.with(&info).with(&retry).with(&Seats { left: 2 }).to_status()?);
    }
    Ok(format!("a seat for {name}"))
}

fn tell(status: &Status) -> Result<(), Status> {
    println!("{}: {}", status.code(), status.message());
    for detail in status.rpc_details()? {
        match detail {
            Detail::BadRequest(bad) => {
                for wrong in bad.field_violations {
                    println!("  {} {}", wrong.field, wrong.description);
                }
            }
            Detail::RetryInfo(retry) => {
                let after = retry.retry_delay.as_ref().map(Duration::from).unwrap_or_default();
                println!("  try again in {after:?}");
            }
            Detail::ErrorInfo(info) => println!("  {} of {}", info.reason, info.domain),
            Detail::Other(any) => match any.unpack::<Seats>() {
                Some(seats) => println!("  {} seats are left", seats?.left),
                None => println!("  and a {}", any.type_name()),
            },
            other => println!("  {other:?}"),
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let book = unary_unary_rpc_method_handler(|name: String, _: &ServicerContext| book(&name));
    let server = grpc_threads::server(ThreadPool::new(2));
    server.add_service(Service::new("demo.Theatre").method("Book", book))?;
    let port = server.add_insecure_port("127.0.0.1:0")?;
    server.start()?;

    let channel = insecure_channel(&format!("127.0.0.1:{port}"))?;
    let book: UnaryUnary<String, String> = channel.unary_unary("/demo.Theatre/Book")?;
    for name in ["you", "", "everybody"] {
        match book.call(&name.to_owned()) {
            Ok(seat) => println!("{seat}"),
            Err(status) => tell(&status)?,
        }
    }
    Ok(())
}
