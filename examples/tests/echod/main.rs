//! echod as its users see it: clients, a collector of metrics, whoever sends it signals.

#![forbid(unsafe_code)]

mod daemon;
mod mounted;
mod openmetrics;
mod process;

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use process::{Client, Echod, Scratch, command, http, run, until};

const GET: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

/// The samples that it serves now.
fn samples(echod: &Echod) -> openmetrics::Samples {
    let (_, body) = http(echod.metrics, GET);
    openmetrics::parse(&body).unwrap_or_else(|why| panic!("{why} in {body}"))
}

#[test]
fn what_is_sent_comes_back_and_sigterm_ends_it_in_peace() {
    let echod = Echod::start(&[]);
    let mut client = Client::connect(echod.echo);
    assert_eq!(client.line(), "hello\n");
    assert_eq!(client.say("one\n"), "one\n");
    let long = "x".repeat(100_000) + "\n";
    assert_eq!(client.say(&long), long);
    // With the client still there.
    let (code, text) = echod.end();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("connections: 1 served, 0 refused"), "{text}");
    assert!(text.contains("0 connections, 0 nodes, 0 callbacks, 0 mounts: nothing"));
    assert_eq!(client.line(), "");
}

#[test]
fn a_run_with_an_end_talks_to_itself_and_prints_the_table() {
    let (code, out, err) = run(&["--seconds=1", "--no-mount"]);
    assert_eq!((code, &*err), (0, ""), "{out}");
    for line in ["connections: ", "bytes: ", "metrics: ", "left:  "] {
        assert!(out.lines().any(|l| l.starts_with(line)), "{out}");
    }
    assert!(out.ends_with(": nothing\n"), "{out}");
}

#[test]
fn metrics_are_the_tree_as_openmetrics_text() {
    let echod = Echod::start(&[]);
    let mut clients = [1, 2].map(|_| Client::greeted(echod.echo).0);
    clients[1].say("12345\n");
    let (head, body) = http(echod.metrics, GET);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let kind = "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(head.lines().any(|line| line == kind), "{head}");
    let samples = openmetrics::parse(&body).unwrap_or_else(|why| panic!("{why} in {body}"));
    for (name, value) in [
        ("echod_stats_accepted_total", 2.0),
        ("echod_stats_connections", 2.0),
        ("echod_stats_bytes_total", 6.0),
        ("echod_conn_bytes_in_total{conn=\"1\"}", 0.0),
        ("echod_conn_bytes_in_total{conn=\"2\"}", 6.0),
        ("echod_config_max_connections", 100.0),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name} in {body}");
    }
    promtool(&body);
}

/// What Prometheus's own checker says, where it is. It reads the older format too, for which this is right but for
/// matters of taste: it wants help texts, and seconds.
fn promtool(body: &str) {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("SKIP: no promtool");
        return;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(body.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    // 3: it could be read, and something was not to its taste.
    assert!(
        matches!(output.status.code(), Some(0 | 3)),
        "{text}\n{body}"
    );
    let taste = |line: &str| {
        line.ends_with("no help text")
            || line == "echod_config_idle_ms metric names should not contain abbreviated units"
    };
    assert!(text.lines().all(taste), "{text}");
}

#[test]
fn other_requests_are_refused_by_their_numbers() {
    let echod = Echod::start(&[]);
    let status = |request: &[u8]| http(echod.metrics, request).0[9..12].to_owned();
    assert_eq!(status(b"GET / HTTP/1.1\r\n\r\n"), "404");
    assert_eq!(status(b"GET /metrics?a=b HTTP/1.0\r\n\r\n"), "200");
    assert_eq!(status(b"POST /metrics HTTP/1.1\r\n\r\n"), "405");
    assert_eq!(status(b"\xff\r\n\r\n"), "400");
    assert_eq!(status(&[b'x'; 20_000]), "431");
    let (head, body) = http(echod.metrics, b"HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.contains(" 200 OK\r\n") && body.is_empty(), "{head}");
    assert_eq!(samples(&echod)["echod_stats_scrapes_total"], 3.0);
}

#[test]
fn limits_hold() {
    let scratch = Scratch::new();
    let config = scratch.file("config");
    fs::write(&config, "max_connections=2\ngreeting=in").unwrap();
    let echod = Echod::start(&["--config", &config]);
    let connect = || {
        let mut client = Client::connect(echod.echo);
        (client.line() == "in\n").then_some(client)
    };
    let (first, second) = (connect(), connect());
    assert!(first.is_some() && second.is_some());
    for refused in 1..=50 {
        assert!(connect().is_none());
        let told = samples(&echod)["echod_stats_refused_total"];
        assert_eq!(told, f64::from(refused));
    }
    drop(first);
    // When the server has heard of that there is a place.
    until("a place is free", || connect().is_some());

    fs::write(&config, "idle_ms=1\ngreeting=in").unwrap();
    echod.signal(Signal::HUP);
    echod.expect("configuration read from");
    let mut silent = connect().unwrap();
    assert_eq!(silent.line(), "");
    assert!(samples(&echod)["echod_stats_idle_closed_total"] >= 1.0);
}

#[test]
fn sighup_reads_the_file_again_and_a_bad_one_is_refused() {
    let scratch = Scratch::new();
    let config = scratch.file("config");
    fs::write(&config, "greeting=first").unwrap();
    let echod = Echod::start(&["--config", &config]);
    let greeting = || Client::connect(echod.echo).line();
    let mut old = Client::connect(echod.echo);
    assert_eq!(old.line(), "first\n");

    fs::write(&config, "greeting=second").unwrap();
    echod.signal(Signal::HUP);
    echod.expect("configuration read from");
    assert_eq!(greeting(), "second\n");

    fs::write(&config, "greeting=third\nmax_connections=none").unwrap();
    echod.signal(Signal::HUP);
    let told = echod.expect_error("the old configuration stays: ");
    assert!(
        told.contains("line 2: max_connections wants a number from 0"),
        "{told}"
    );
    assert_eq!(greeting(), "second\n");
    fs::remove_file(&config).unwrap();
    echod.signal(Signal::HUP);
    echod.expect_error("the old configuration stays: ");
    assert_eq!(greeting(), "second\n");

    assert_eq!(old.say("still here\n"), "still here\n");
    let samples = samples(&echod);
    assert_eq!(samples["echod_stats_reloads_total"], 1.0);
    assert_eq!(samples["echod_stats_refused_reloads_total"], 2.0);
}

#[test]
fn what_cannot_work_is_told_in_one_line() {
    let scratch = Scratch::new();
    let bad = scratch.file("bad");
    fs::write(&bad, "speed=9").unwrap();
    let echod = Echod::start(&[]);
    let taken = echod.echo.to_string();
    let missing = scratch.file("missing/file");
    let once = "--seconds=0";
    for (code, args, names) in [
        (2, &["--bogus"][..], "unknown option --bogus; --help lists"),
        (1, &[once, "--no-mount", "--listen", &taken], &taken),
        (
            1,
            &[once, "--no-mount", "--metrics", &taken],
            "cannot be listened on",
        ),
        (
            1,
            &[once, "--no-mount", "--config", &bad],
            "line 1: no setting",
        ),
        (
            1,
            &[once, "--no-mount", "--config", &missing],
            "missing/file: ",
        ),
        (
            1,
            &[once, "--no-mount", "--pidfile", &missing],
            "cannot be written",
        ),
        (1, &[once, "--mount", &missing], "--no-mount"),
        // The daemon's own line, through its parent.
        (
            1,
            &[once, "--daemon", "--no-mount", "--listen", &taken],
            &taken,
        ),
        (
            1,
            &[once, "--daemon", "--no-mount", "--config", &bad],
            "line 1: no setting",
        ),
    ] {
        let (got, out, err) = run(args);
        assert_eq!((got, &*out), (code, ""), "{args:?} {err}");
        assert!(err.starts_with("echod: ") && err.contains(names), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
}

#[test]
fn a_reader_of_its_output_that_leaves_early_hurts_nobody() {
    let mut child = command()
        .args(["--seconds=1", "--no-mount"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
}
