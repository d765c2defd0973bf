//! How fast are the parts that need no socket: frames, HPACK, message framing?
//!
//! `cargo bench --features _internals --bench pure`

use bytes::Bytes;
use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher, black_box};
use grpc_threads::_bench::{
    FieldReader, MessageReader, encode_message, encode_request_block, encode_request_frames,
    scan_frames,
};

/// Counts allocations: the paths of a small call are to have hardly any.
#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const PATH: &str = "/helloworld.Greeter/SayHello";
const AUTHORITY: &str = "127.0.0.1:50051";
const CALLS: u32 = 100;

fn request_block() -> Vec<u8> {
    let mut block = Vec::new();
    encode_request_block(PATH, AUTHORITY, &mut block);
    block
}

mod frames {
    use super::*;

    /// HEADERS and DATA of small unary requests, written.
    #[divan::bench]
    fn encode_unary_requests(bencher: Bencher) {
        let (block, mut out) = (request_block(), Vec::with_capacity(64 << 10));
        bencher.counter(ItemsCount::new(CALLS)).bench_local(|| {
            out.clear();
            for call in 0..CALLS {
                encode_request_frames(2 * call + 1, &block, black_box(&[7; 37]), &mut out);
            }
            out.len()
        });
    }

    /// The same, read.
    #[divan::bench]
    fn scan_unary_requests(bencher: Bencher) {
        let (block, mut input) = (request_block(), Vec::new());
        for call in 0..CALLS {
            encode_request_frames(2 * call + 1, &block, &[7; 37], &mut input);
        }
        bencher.counter(ItemsCount::new(CALLS)).bench_local(|| scan_frames(black_box(&input)));
    }
}

mod hpack {
    use super::*;

    /// A request as this library sends it.
    #[divan::bench]
    fn encode_request(bencher: Bencher) {
        let mut out = Vec::with_capacity(256);
        bencher.bench_local(|| {
            out.clear();
            encode_request_block(black_box(PATH), AUTHORITY, &mut out);
            out.len()
        });
    }

    /// A request of ours, where every field is spelled out.
    #[divan::bench]
    fn decode_spelled_out(bencher: Bencher) {
        let (block, mut reader) = (request_block(), FieldReader::default());
        bencher.bench_local(|| reader.read(black_box(&block)));
    }

    /// A request of most others, once the dynamic table holds its fields.
    #[divan::bench]
    fn decode_from_the_table(bencher: Bencher) {
        let fields = [
            (":path", PATH),
            (":authority", AUTHORITY),
            ("content-type", "application/grpc"),
            ("user-agent", "grpc-go/1.85.0"),
            ("te", "trailers"),
        ];
        let mut first = Vec::new();
        for (name, value) in fields {
            first.push(0x40); // a literal that is added to the table (RFC 7541 §6.2.1)
            for text in [name, value] {
                first.push(text.len() as u8);
                first.extend_from_slice(text.as_bytes());
            }
        }
        let mut reader = FieldReader::default();
        assert_eq!(reader.read(&first), fields.len());
        // Static: POST, http. Dynamic, the oldest entry has the highest number.
        let block = [0x83, 0x86, 0x80 | 66, 0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62];
        assert_eq!(reader.read(&block), block.len());
        bencher.bench_local(|| reader.read(black_box(&block)));
    }
}

mod framing {
    use super::*;

    /// A message and its prefix into a buffer.
    #[divan::bench(args = [32, 65_536])]
    fn encode(bencher: Bencher, size: usize) {
        let message = Bytes::from(vec![7; size]);
        let mut out = Vec::with_capacity(size + 5);
        bencher.counter(BytesCount::new(size)).bench_local(|| {
            out.clear();
            encode_message(black_box(&message), &mut out);
            out.len()
        });
    }

    /// Messages out of DATA frames of 16 KiB.
    #[divan::bench(args = [32, 65_536, 1 << 20])]
    fn assemble(bencher: Bencher, size: usize) {
        let mut stream = Vec::new();
        while stream.len() < 1 << 20 {
            encode_message(&Bytes::from(vec![7; size]), &mut stream);
        }
        let mut reader = MessageReader::default();
        bencher.counter(BytesCount::new(stream.len())).bench_local(|| {
            stream.chunks(16 << 10).map(|frame| reader.read(black_box(frame))).sum::<usize>()
        });
    }
}
