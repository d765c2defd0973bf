use super::*;

use crate::compression::Compressor;

struct Named(&'static str);

impl Compressor for Named {
    fn name(&self) -> &str {
        self.0
    }

    fn compress(&self, message: &[u8], out: &mut dyn Write) -> io::Result<()> {
        out.write_all(message)
    }

    fn decompress(&self, packed: &[u8], _: usize, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(packed)
    }
}

fn custom(names: &[&'static str]) -> Vec<Arc<dyn Compressor>> {
    names.iter().map(|name| Arc::new(Named(name)) as Arc<dyn Compressor>).collect()
}

#[test]
#[cfg(feature = "gzip")]
fn gzip_comes_first_and_the_list_has_no_blanks() {
    assert_eq!(Encodings::default().announced(), "gzip,deflate");
    let own = Encodings::new(&custom(&["lz4"]), None).unwrap();
    assert_eq!(own.announced(), "gzip,deflate,lz4");
}

#[test]
fn a_side_that_takes_none_says_identity() {
    let none = Encodings::new(&custom(&["lz4"]), Some(&[])).unwrap();
    assert_eq!(none.announced(), "identity");
    assert!(none.find(b"lz4").is_none() && none.find(b"gzip").is_none());
    assert_eq!(none.find(b"identity"), Some(Encoding::IDENTITY));
    let encoding = none.asked(Compression::Custom("lz4")).unwrap();
    assert_eq!(none.name(encoding), Some("lz4"), "it may be sent all the same");
}

#[test]
#[cfg(feature = "gzip")]
fn what_is_accepted_is_chosen_with_its_order() {
    let lz4 = Compression::Custom("lz4");
    let chosen = [lz4, Compression::None, Compression::Deflate, lz4];
    let some = Encodings::new(&custom(&["lz4"]), Some(&chosen)).unwrap();
    assert_eq!(some.announced(), "lz4,deflate");
    assert!(some.find(b"gzip").is_none() && some.find(b"deflate").is_some());
    assert!(Encodings::new(&[], Some(&[lz4])).unwrap_err().to_string().contains("\"lz4\""));
}

#[test]
#[cfg(feature = "gzip")]
fn lists_are_read_with_blanks_over_lines_and_without_q_values() {
    let ours = Encodings::default();
    let [gzip, deflate] = ["gzip", "deflate"].map(|name| ours.find(name.as_bytes()).unwrap());
    let takes = |list: &str| {
        let accepted = ours.accepted(list.as_bytes());
        assert!(accepted.takes(Encoding::IDENTITY), "that is implied");
        (accepted.takes(gzip), accepted.takes(deflate))
    };
    for (list, expected) in [
        ("identity, deflate, gzip", (true, true)),
        ("gzip,deflate", (true, true)),
        ("\tgzip ,br", (true, false)),
        ("identity", (false, false)),
        ("", (false, false)),
        (",,deflate,", (false, true)),
        ("GZIP,x-gzip,gzip;q=0,gzip;q=1", (false, false)),
    ] {
        assert_eq!(takes(list), expected, "{list}");
    }
    let lines = ours.accepted(b"identity").join(ours.accepted(b"gzip"));
    assert!(lines.takes(gzip) && !lines.takes(deflate));
    assert!(Accepted::ALL.takes(gzip) && Accepted::ALL.takes(deflate));
    assert_eq!(Accepted::from_bits(lines.bits()), lines);
}

#[test]
fn names_are_found_as_they_are_written() {
    let ours = Encodings::new(&custom(&["lz4"]), None).unwrap();
    assert!(ours.find(b"lz4").is_some());
    for other in [&b"LZ4"[..], b"x-lz4", b"lz4, identity", b"", b" lz4", b"br"] {
        assert!(ours.find(other).is_none(), "{other:?}");
    }
}

#[test]
fn names_that_cannot_be_are_refused() {
    for name in ["", "identity", "GZIP", "a b", "a,b", "z\u{e4}"] {
        let error = Encodings::new(&custom(&[name]), None).unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Option);
        assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
    }
    let error = Encodings::new(&custom(&["lz4", "lz4"]), None).unwrap_err();
    assert!(error.to_string().contains("two compressors"), "{error}");
    const MANY: [&str; 15] =
        ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o"];
    assert!(Encodings::new(&custom(&MANY), None).unwrap_err().to_string().contains("14"));
    let ours = Encodings::default();
    assert!(ours.configured(Compression::None).is_ok());
    assert!(ours.configured(Compression::Custom("lz4")).is_err());
}

#[test]
#[cfg(feature = "gzip")]
fn a_compressor_may_stand_in_for_ours() {
    let own = Encodings::new(&custom(&["gzip"]), None).unwrap();
    assert_eq!(own.announced(), "gzip,deflate");
    let encoding = own.asked(Compression::Gzip).unwrap();
    assert!(matches!(own.how(encoding), Some(How::Custom(_))));
}

#[test]
fn a_limited_buffer_takes_its_limit_and_remembers_more() {
    let mut exact = Limited::new(b"front".to_vec(), 4);
    exact.write_all(b"1234").unwrap();
    assert_eq!(exact.finish().unwrap(), b"front1234");
    let mut over = Limited::new(Vec::new(), 4);
    assert!(over.write_all(b"12345").is_err());
    // Whoever goes on in spite of it gets nowhere.
    assert!(over.write_all(b"1").is_err());
    assert!(over.finish().is_none());
    let mut grows = Limited::new(Vec::new(), 1 << 20);
    for _ in 0..1 << 10 {
        grows.write_all(&[0; 1 << 10]).unwrap();
    }
    let octets = grows.finish().unwrap();
    assert!(octets.len() == 1 << 20 && octets.capacity() <= 1 << 20);
}
