//! The tree as the shell sees it: limits written, connections kicked.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use crate::process::{Client, Echod, Scratch, command, until};

/// One write, as `echo` does it.
fn write(path: &Path, text: &str) -> Result<(), Option<i32>> {
    let file = fs::File::options().write(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|e| e.raw_os_error())
}

#[test]
fn limits_are_written_and_connections_kicked_through_the_mount() {
    let scratch = Scratch::new();
    let mut command = command();
    let echod = Echod::start_command(command.env("TMPDIR", scratch.path()));
    let Some(dir) = echod.mounted.clone() else {
        let required = std::env::var_os("KERNFS_FUSE_TESTS").is_some_and(|v| v == "require");
        assert!(!required, "KERNFS_FUSE_TESTS=require, but not mounted");
        eprintln!("SKIP: not mounted");
        return;
    };
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    let config = dir.join("config");
    assert_eq!(write(&config.join("greeting"), "good day\n"), Ok(()));
    assert_eq!(write(&config.join("max_connections"), "2\n"), Ok(()));
    for (name, text) in [("max_connections", "-1\n"), ("idle_ms", "long\n")] {
        let error = Err(Some(rustix::io::Errno::INVAL.raw_os_error()));
        assert_eq!(write(&config.join(name), text), error, "{name}");
    }
    assert_eq!(read("config/max_connections"), "2\n");
    assert_eq!(read("config/idle_ms"), "30000\n");

    let mut clients = [1, 2].map(|_| {
        let (client, greeting) = Client::greeted(echod.echo);
        assert_eq!(greeting, "good day\n");
        client
    });
    assert_eq!(Client::connect(echod.echo).line(), ""); // the third
    assert_eq!(clients[0].say("12345\n"), "12345\n");
    assert_eq!(read("conn/1/bytes_in_total"), "6\n");
    let peer = clients[0].0.get_ref().local_addr().unwrap();
    assert_eq!(read("conn/1/peer"), format!("{peer}\n"));

    let kick = dir.join("conn/1/kick");
    let error = Err(Some(rustix::io::Errno::INVAL.raw_os_error()));
    assert_eq!(write(&kick, "2\n"), error);
    assert_eq!(clients[0].say("still here\n"), "still here\n");
    assert_eq!(write(&kick, "1\n"), Ok(()));
    assert_eq!(clients[0].line(), "");
    assert_eq!(read("stats/kicked_total"), "1\n");
    // The connection's thread takes the directory away, then the place is free.
    until("a place is free", || {
        !Client::connect(echod.echo).line().is_empty()
    });
    // The kernel hears of it a moment later.
    until("its directory is gone", || !dir.join("conn/1").exists());
    assert_eq!(clients[1].say("me too\n"), "me too\n");

    let (code, text) = echod.end();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("0 mounts: nothing"), "{text}");
    assert!(!dir.exists());
}
