//! Compression, built in and of one's own: a server and a client that speak gzip, and lz4, which gRPC does not have.
//!
//! `cargo run --example compression`

use std::error::Error;
use std::io::{self, Read, Write};

use grpc_threads::{
    Channel, Compression, Compressor, Server, ServerOptions, Service, ServicerContext,
    unary_unary_rpc_method_handler,
};
use lz4_flex::frame::{FrameDecoder, FrameEncoder};

/// LZ4 frames. Faster than gzip, and longer. Any name will do that both sides know.
struct Lz4;

const LZ4: Compression = Compression::Custom("lz4");

impl Compressor for Lz4 {
    fn name(&self) -> &str {
        LZ4.name()
    }

    fn compress(&self, message: &[u8], out: &mut dyn Write) -> io::Result<()> {
        let mut encoder = FrameEncoder::new(out);
        encoder.write_all(message)?;
        encoder.finish()?;
        Ok(())
    }

    /// `out` takes no more than the limit, so there is no need to look at it here. Nothing may stand behind the frame.
    fn decompress(&self, packed: &[u8], _limit: usize, out: &mut dyn Write) -> io::Result<()> {
        let mut decoder = FrameDecoder::new(packed);
        io::copy(&mut decoder, out)?;
        match decoder.into_inner().read(&mut [0])? {
            0 => Ok(()),
            _ => Err(io::Error::other("something stands behind the frame")),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::builder()
        .options(ServerOptions::default().compression(Compression::Gzip))
        .compressor(Lz4)
        .build()?;
    server.add_service(Service::new("demo.Text").method(
        "Repeat",
        unary_unary_rpc_method_handler(|text: String, context: &ServicerContext| {
            // The server's gzip, unless the request came in something better.
            if context.request_was_compressed() {
                context.set_compression(LZ4)?;
            }
            Ok(text.repeat(100))
        }),
    ))?;
    let port = server.add_insecure_port("127.0.0.1:0")?;
    server.start()?;

    let channel =
        Channel::builder(&format!("127.0.0.1:{port}")).compressor(Lz4).connect_lazily()?;
    let repeat = channel.unary_unary::<String, String>("/demo.Text/Repeat")?;
    // Nothing is compressed unless it is asked for: this request is not, its answer is, by gzip.
    assert_eq!(repeat.call(&"plain ".to_owned())?.len(), 600);
    let text = "a text that says the same again and again, ".repeat(100);
    for compression in [Compression::Gzip, LZ4] {
        let answer = repeat.compression(compression).call(&text)?;
        println!("{}: {} bytes back", compression.name(), answer.len());
        assert_eq!(answer, text.repeat(100));
    }
    server.stop(None);
    Ok(())
}
