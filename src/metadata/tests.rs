use super::*;

fn pairs(metadata: &Metadata) -> Vec<(&str, Value<'_>)> {
    metadata.iter().collect()
}

#[test]
fn entries_keep_their_order_and_their_repetitions() {
    let metadata = Metadata::new()
        .with("b", "1")
        .and_then(|m| m.with("a", ""))
        .and_then(|m| m.with("B", "2"))
        .and_then(|m| m.with_bin("c-bin", [0, 255]))
        .unwrap();
    assert_eq!(
        pairs(&metadata),
        [
            ("b", Value::Ascii("1")),
            ("a", Value::Ascii("")),
            ("b", Value::Ascii("2")),
            ("c-bin", Value::Bin(&[0, 255])),
        ]
    );
    assert_eq!(metadata.len(), 4);
    assert_eq!(metadata.iter().len(), 4);
    assert_eq!(metadata.get("b"), Some("1"));
    assert_eq!(metadata.get_all("B").count(), 2);
    assert_eq!(metadata.get("c-bin"), None);
    assert_eq!(metadata.get_bin("b"), None);
    assert_eq!(format!("{metadata:?}"), "[b: \"1\", a: \"\", b: \"2\", c-bin: 00ff]");
}

#[test]
fn insert_and_remove_touch_one_key_only() {
    let mut metadata = Metadata::new();
    for (key, value) in [("a", "1"), ("b", "2"), ("a", "3")] {
        metadata.append(key, value).unwrap();
    }
    metadata.insert("A", "4").unwrap();
    assert_eq!(pairs(&metadata), [("b", Value::Ascii("2")), ("a", Value::Ascii("4"))]);
    assert!(metadata.insert("a", "\n").is_err());
    assert_eq!(metadata.get("a"), Some("4"));
    metadata.insert_bin("x-bin", b"z").unwrap();
    metadata.insert_bin("x-bin", b"y").unwrap();
    assert_eq!(metadata.get_bin("x-bin"), Some(&b"y"[..]));
    assert_eq!(metadata.remove("a"), 1);
    assert_eq!(metadata.remove("a"), 0);
    assert!(!metadata.contains("a"));
    assert_eq!(metadata.len(), 2);
    let rebuilt = Metadata::new().with("b", "2").and_then(|m| m.with_bin("x-bin", "y")).unwrap();
    assert_eq!(metadata, rebuilt);
    assert!(Metadata::new().is_empty());
}

#[test]
fn w25_text_values_are_printable_ascii() {
    for bad in ["a\r\nb: c", "a\0", "\u{7f}", "ä", "a\tb"] {
        let error = Metadata::new().with("k", bad).unwrap_err().to_string();
        assert!(error.contains("\"k\""), "{error}");
    }
    let all: String = (' '..='~').collect();
    assert_eq!(Metadata::new().with("k", &all).unwrap().get("k"), Some(all.trim()));
}

#[test]
fn w26_reserved_keys_are_refused_everywhere() {
    let mut metadata = Metadata::new();
    assert!(metadata.append("grpc-timeout", "1S").is_err());
    assert!(metadata.insert("te", "x").is_err());
    assert!(metadata.append_bin("grpc-x-bin", "x").is_err());
    assert!(metadata.insert_bin(":path-bin", "x").is_err());
    assert!(metadata.is_empty());
}

#[test]
fn w27_received_bytes_are_decoded_and_split_at_commas() {
    let mut joined = Metadata::new();
    joined.append_received(b"k-bin", b"Zg==,Zm8, Zm9v,").unwrap();
    let mut repeated = Metadata::new();
    for part in ["Zg", "Zm8=", "Zm9v", ""] {
        repeated.append_received(b"k-bin", part.as_bytes()).unwrap();
    }
    assert_eq!(joined, repeated);
    let values: Vec<_> = joined.get_all("k-bin").map(Value::as_bytes).collect();
    assert_eq!(values, [&b"f"[..], b"fo", b"foo", b""]);
}

#[test]
fn w27_bad_base64_is_an_error() {
    let mut metadata = Metadata::new();
    assert_eq!(metadata.append_received(b"k-bin", b"!"), Err(BadBin));
    assert!(metadata.is_empty() && metadata.bytes.is_empty());
}

#[test]
fn w28_received_text_is_kept_and_can_be_passed_on() {
    let mut received = Metadata::new();
    received.append_received(b"utf8", "grüße".as_bytes()).unwrap();
    received.append_received(b"latin", b"gr\xfc\xdfe").unwrap();
    received.append_received(b"blank", b" \tx ").unwrap();
    assert_eq!(received.get("utf8"), Some("grüße"));
    assert_eq!(received.get("latin"), Some("gr\u{fffd}\u{fffd}e"));
    assert_eq!(received.get("blank"), Some("x"));
    let mut echo = Metadata::new().with("first", "1").unwrap();
    echo.extend(&received);
    assert_eq!(echo.len(), 4);
    assert_eq!(echo.get("utf8"), Some("grüße"));
}

#[test]
fn w29_size_counts_the_text_form() {
    let metadata = Metadata::new().with("ab", "cde").and_then(|m| m.with_bin("x-bin", "foo1"));
    assert_eq!(metadata.unwrap().list_size(), 2 + 3 + 32 + 5 + 6 + 32);
}
