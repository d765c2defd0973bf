//! The commands that the documentation shows make what it says they make.

use std::fs;
use std::process::Command;

use super::super::*;
use super::Met;

/// The blocks of shell commands in the page, in order.
fn commands() -> String {
    let page = include_str!("../certificates.rs");
    let lines = page.lines().filter_map(|line| line.strip_prefix("//!"));
    let lines = lines.map(|line| line.strip_prefix(' ').unwrap_or(line));
    let mut inside = false;
    let mut found = String::new();
    for line in lines {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            _ if inside => found.extend([line, "\n"]),
            _ => {}
        }
    }
    found
}

#[test]
fn the_documented_commands_make_certificates_that_work() {
    let openssl = Command::new("openssl").arg("version").output();
    if !openssl.is_ok_and(|found| String::from_utf8_lossy(&found.stdout).starts_with("OpenSSL 3")) {
        println!("skipped: the commands of the documentation (no OpenSSL 3 here)");
        return;
    }
    let folder = super::Folder::new();
    let ran = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &commands()])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let read = |name: &str| fs::read(folder.file(name)).unwrap();

    let pair = (read("localhost.key"), read("localhost.pem"));
    let server = ssl_server_credentials(std::slice::from_ref(&pair), None, false).unwrap();
    for name in ["localhost", "127.0.0.1", "::1"] {
        Met::of(&super::trusting(&pair.1), name, &server).succeeded();
    }

    for (key, root) in
        [("server.key", "ca.pem"), ("plain.key", "plain.pem"), ("server.key", "plain-too.pem")]
    {
        let pair = (read(key), read("server.pem"));
        let server = ssl_server_credentials(&[pair], Some(&read(root)), true).unwrap();
        let client = ssl_channel_credentials(
            Some(&read(root)),
            Some(&read("client.key")),
            Some(&read("client.pem")),
        )
        .unwrap();
        for name in ["localhost", "server.example", "127.0.0.1"] {
            let mut met = Met::of(&client, name, &server);
            assert!(met.succeeded().server.peer_certificates().is_some());
        }
    }
    // And what is shown in wrong forms is wrong.
    assert!(ssl_channel_credentials(Some(&read("ca.der")), None, None).is_err());
    assert!(ssl_channel_credentials(Some(&read("trusted.pem")), None, None).is_err());
}

#[test]
fn the_page_has_commands() {
    assert!(commands().matches("openssl ").count() > 10);
}
