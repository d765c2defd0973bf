use super::*;

fn check(cases: &[(&str, &str)]) {
    for (comment, docs) in cases {
        assert_eq!(&harmless(comment), docs, "{comment:?}");
    }
}

#[test]
fn text_stays_as_it_is() {
    check(&[
        (" One.\n Two.\n", "One.\nTwo.\n"),
        (" * a\n   * b\n\n     more\n 1. c\n", "* a\n  * b\n\n    more\n1. c\n"),
        (" > quote\n > goes on\n", "> quote\n> goes on\n"),
        (" # Heading\n ---\n | a | b |\n |---|---|\n", "# Heading\n---\n| a | b |\n|---|---|\n"),
        (" ```x``` is inline\n and so on\n", "```x``` is inline\nand so on\n"),
        ("     all\n     of it\n", "all\nof it\n"),
        ("", ""),
    ]);
}

#[test]
fn code_says_that_it_is_text() {
    check(&[
        (
            " A\n\n     let code(;\n       more\n\n B\n",
            "A\n\n```text\nlet code(;\n  more\n```\n\nB\n",
        ),
        (" Example:\n\n\tlet code(;\n", "Example:\n\n```text\nlet code(;\n```\n"),
        (" # Heading\n     code(;\n", "# Heading\n```text\ncode(;\n```\n"),
        (" ---\n     code(;\n", "---\n```text\ncode(;\n```\n"),
        (" A\n ===\n     code(;\n", "A\n===\n```text\ncode(;\n```\n"),
        (" > quote\n >\n >     code(;\n", "> quote\n>\n> ```text\n> code(;\n> ```\n"),
        (" *     code(;\n", "* ```text\n  code(;\n  ```\n"),
        (" 1.     code(;\n", "1. ```text\n   code(;\n   ```\n"),
        (" * item\n\n\t\tcode(;\n", "* item\n\n  ```text\n    code(;\n  ```\n"),
        ("     ```\n A\n", "~~~~~~text\n```\n~~~~~~\nA\n"),
    ]);
}

#[test]
fn fences_say_that_they_are_text_and_end() {
    check(&[
        (" ```\n x\n ```\n ```rust\n y\n ```\n", "```text\nx\n```\n```text\ny\n```\n"),
        (" ````\n ```\n x\n ```\n ````\n", "````text\n```\nx\n```\n````\n"),
        (" ~~~\n ```\n ~~~\n", "~~~text\n```\n~~~\n"),
        (" > ```\n > x\n after\n", "> ```text\n> x\n> ```\nafter\n"),
        (" * a\n   ```\n   x\n b\n", "* a\n  ```text\n  x\n  ```\nb\n"),
        (" ```\n no end\n", "```text\nno end\n```\n"),
    ]);
}

#[test]
fn what_markdown_would_read_otherwise_is_escaped() {
    check(&[
        (" in\n 2. words\n", "in\n2\\. words\n"),
        (" <a>\n", "\\<a>\n"),
        (" <https://example.com>\n", "<https://example.com>\n"),
        (" [^1]: note\n", "\\[^1]: note\n"),
    ]);
}

#[test]
fn links_are_links_and_brackets_are_none() {
    for (line, linked_line) in [
        ("see https://a.b/c_d) and http://e.", "see <https://a.b/c_d>) and <http://e.>"),
        ("[a] [b](c) [d][e] \\[f] x[g]", "\\[a\\] [b](c) [d][e] \\[f] x\\[g\\]"),
        ("[] [h]] [i", "\\[\\] \\[h]\\] [i"),
        ("a[1][2] b[3]", "a[1][2] b\\[3\\]"),
    ] {
        assert_eq!(linked(line), linked_line);
    }
}

#[test]
fn lines_end_in_one_way_and_nothing_turns_them_around() {
    check(&[
        (" One\r Two\r\n Three\r\r", "One\nTwo\nThree\n\n"),
        (" a\u{202e}b\u{2066}c\n", "aU+202EbU+2066c\n"),
    ]);
    assert_eq!(plain("a\rb\u{202e}"), "a\nbU+202E");
}
