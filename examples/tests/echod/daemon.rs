//! What a manager of daemons needs: readiness, and a process that is really in the background.

use std::fs;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use crate::process::{Client, Daemon, Echod, Scratch, WATCHDOG, command, run};

/// The session of a process, as text: 0 where its leader is outside our pid namespace, which no `Pid` can be.
fn session(of: &str) -> String {
    let stat = fs::read_to_string(format!("/proc/{of}/stat")).unwrap();
    // The name may hold anything; after its last parenthesis come state, parent, group and session.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().nth(3).unwrap().to_owned()
}

/// Starts it with this socket, and ends it; what it was told each time.
fn states(socket: &UnixDatagram, name: &str) -> Vec<String> {
    socket.set_read_timeout(Some(WATCHDOG)).unwrap();
    let next = || {
        let mut text = [0; 100];
        let n = socket.recv(&mut text).unwrap();
        String::from_utf8(text[..n].to_vec()).unwrap()
    };
    let mut command = command();
    let echod = Echod::start_command(command.arg("--no-mount").env("NOTIFY_SOCKET", name));
    let ready = next();
    // It is: whoever comes now is served.
    assert_eq!(Client::connect(echod.echo).line(), "hello\n");
    assert_eq!(echod.end().0, Some(0));
    vec![ready, next()]
}

#[test]
fn notify_socket_hears_of_readiness_and_of_the_end() {
    let scratch = Scratch::new();
    let path = scratch.file("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    assert_eq!(states(&socket, &path), ["READY=1", "STOPPING=1"]);

    // As unique as the directory.
    let name = scratch.path().file_name().unwrap().to_str().unwrap();
    let address = SocketAddr::from_abstract_name(name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    let name = format!("@{name}");
    assert_eq!(states(&socket, &name), ["READY=1", "STOPPING=1"]);
}

#[test]
fn a_notify_socket_that_nobody_reads_is_told_and_no_reason_to_end() {
    for name in ["/nowhere/at/all", "relative"] {
        let mut command = command();
        let echod = Echod::start_command(command.arg("--no-mount").env("NOTIFY_SOCKET", name));
        echod.expect_error("did not get READY=1");
        assert_eq!(echod.end().0, Some(0));
    }
}

#[test]
fn a_daemon_is_ready_when_its_parent_exits_and_has_left_everything() {
    let scratch = Scratch::new();
    let daemon = Daemon::new(scratch.path().join("pid"));
    let pidfile = scratch.file("pid");
    let (code, out, err) = run(&[
        "--daemon",
        "--no-mount",
        "--seconds=0",
        "--pidfile",
        &pidfile,
    ]);
    assert_eq!((code, &*err), (0, ""), "{out}");
    let address = out
        .lines()
        .find_map(|line| line.strip_prefix("listening on "));
    let mut client = Client::connect(address.unwrap().parse().unwrap());
    assert_eq!(client.line(), "hello\n");
    assert_eq!(client.say("background\n"), "background\n");

    let pid = daemon.pid().unwrap();
    let pid = pid.as_raw_nonzero();
    let leader = session(&pid.to_string());
    assert_ne!(leader, session("self"));
    // Who leads no session gets no terminal; and its leader is gone.
    assert_ne!(leader, pid.to_string());
    assert!(!Path::new("/proc").join(&leader).exists());
    let of = |what: &str| fs::read_link(format!("/proc/{pid}/{what}")).unwrap();
    assert_eq!(of("cwd"), Path::new("/"));
    for fd in ["fd/0", "fd/1", "fd/2"] {
        assert_eq!(of(fd), Path::new("/dev/null"), "{fd}");
    }
    assert_eq!(daemon.end(), Some(0));
    assert_eq!(client.line(), "");
    assert!(!daemon.pidfile.exists());
}
