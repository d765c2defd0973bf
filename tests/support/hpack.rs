//! HPACK (RFC 7541) as far as a test peer needs it: literals out, and in what a stateless encoder writes.

/// RFC 7541, appendix A.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// A header list as it was received.
pub type Fields = Vec<(String, Vec<u8>)>;

/// Every field as a literal without indexing, name and all, no Huffman code.
pub fn encode<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for part in [name.as_ref(), value.as_ref()] {
            integer(&mut block, 7, 0, part.len());
            block.extend_from_slice(part);
        }
    }
    block
}

fn integer(into: &mut Vec<u8>, prefix: u32, first: u8, mut value: usize) {
    let most = (1 << prefix) - 1;
    if value < most {
        return into.push(first | value as u8);
    }
    into.push(first | most as u8);
    value -= most;
    while value >= 128 {
        into.push((value % 128) as u8 | 128);
        value /= 128;
    }
    into.push(value as u8);
}

/// Panics at what the library never writes: insertions into the table, references to it, and Huffman code.
pub fn decode(block: &[u8]) -> Fields {
    let mut rest = block;
    let mut fields = Vec::new();
    while let Some(&first) = rest.first() {
        match first {
            0x80.. => {
                let (name, value) = STATIC[read_integer(&mut rest, 7) - 1];
                fields.push((name.to_owned(), value.as_bytes().to_vec()));
            }
            0x40.. => panic!("an insertion into the dynamic table: {block:02x?}"),
            0x20.. => {
                read_integer(&mut rest, 5);
            }
            _ => {
                let index = read_integer(&mut rest, 4);
                let name = match index {
                    0 => String::from_utf8(string(&mut rest)).expect("names are ASCII"),
                    index => STATIC[index - 1].0.to_owned(),
                };
                fields.push((name, string(&mut rest)));
            }
        }
    }
    fields
}

fn read_integer(rest: &mut &[u8], prefix: u32) -> usize {
    let most = (1usize << prefix) - 1;
    let mut value = rest[0] as usize & most;
    *rest = &rest[1..];
    if value < most {
        return value;
    }
    for shift in (0..).step_by(7) {
        let byte = rest[0];
        *rest = &rest[1..];
        value += (byte as usize & 127) << shift;
        if byte < 128 {
            break;
        }
    }
    value
}

fn string(rest: &mut &[u8]) -> Vec<u8> {
    assert!(rest[0] < 128, "a string in Huffman code");
    let len = read_integer(rest, 7);
    let (value, tail) = rest.split_at(len);
    *rest = tail;
    value.to_vec()
}
