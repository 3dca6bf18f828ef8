//! The machine code of a read section: which loads and stores, in which order, and no fence.
//!
//! What a compiler barrier is for shows in no run: LLVM has not been seen to move these accesses. So the
//! assembly is looked at: between the store of the word and the loads of the section stands the barrier, and
//! another between the store of the idle word and the load of the request.
#![cfg(target_arch = "x86_64")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// The assembly of `asm/probe.rs`, as a release build has it.
fn assembly() -> String {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("asm");
    let output = Command::new(env!("CARGO"))
        .args(["rustc", "--quiet", "--release", "--package", "user-rcu"])
        .args(["--example", "asm_probe", "--target-dir"])
        .arg(&target)
        .args(["--", "--emit=asm", "-Cdebuginfo=0", "-Ccodegen-units=1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let newest = fs::read_dir(target.join("release/examples"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().extension().is_some_and(|e| e == "s"))
        .max_by_key(|entry| entry.metadata().unwrap().modified().unwrap());
    fs::read_to_string(newest.expect("no assembly was written").path()).unwrap()
}

/// The accesses of a function up to its first return, which is its fast path, one letter each: `L`oad, `S`tore,
/// locked e`X`change, `F`ence, compiler `B`arrier, `C`all. Loads in a row are one.
fn accesses(assembly: &str, function: &str) -> String {
    let body: Vec<&str> = assembly
        .lines()
        .skip_while(|line| !line.starts_with(&format!("{function}:")))
        .take_while(|line| line.trim() != "retq")
        .map(str::trim)
        .collect();
    let mut found = String::new();
    for (i, line) in body.iter().enumerate() {
        // A template without instructions is a barrier; what stands in others is looked at as all else.
        let barrier = *line == "#APP" && body.get(i + 1) == Some(&"#NO_APP");
        let letter = if barrier { Some('B') } else { access(line) };
        if let Some(letter) = letter.filter(|&l| l != 'L' || !found.ends_with('L')) {
            found.push(letter);
        }
    }
    found
}

/// What a line does to memory that is neither the stack nor a table of addresses.
fn access(line: &str) -> Option<char> {
    let line = line.trim();
    let (mnemonic, operands) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let is_memory = |operand: &str| {
        operand.contains('(')
            && !["%rsp", "@GOT", "@TLS", "@PLT"]
                .iter()
                .any(|t| operand.contains(t))
    };
    match mnemonic {
        "lock" => Some('X'),
        "mfence" | "lfence" | "sfence" => Some('F'),
        "callq" if !operands.contains("__tls_get_addr") => Some('C'),
        _ if mnemonic.starts_with("xchg") => Some('X'),
        _ if mnemonic.starts_with("lea") => None,
        _ => {
            let destination = operands.rsplit(", ").next().unwrap_or_default();
            let reads_only = mnemonic.starts_with("cmp") || mnemonic.starts_with("test");
            match is_memory(operands) {
                true if is_memory(destination) && !reads_only => Some('S'),
                true => Some('L'),
                false => None,
            }
        }
    }
}

#[test]
fn a_section_is_two_stores_and_two_compiler_barriers() {
    let assembly = assembly();
    // Slot, word and sequence; the word; what the section reads; the idle word; the request.
    assert_eq!(accesses(&assembly, "probe_memb"), "LSBLSBL");
    assert_eq!(accesses(&assembly, "probe_mb"), "LXBLSBL");
    assert_eq!(accesses(&assembly, "probe_qsbr"), "L");
}

#[test]
fn each_kind_of_access_is_told_apart() {
    for (line, letter) in [
        ("\tmovq\t(%rbx), %rax", Some('L')),
        ("\tmovq\t%rax, (%rdi)", Some('S')),
        ("\tmovq\t$0, 8(%rdi)", Some('S')),
        ("\ttestb\t$1, 8(%rcx)", Some('L')),
        ("\tcmpw\t$1, (%rdi)", Some('L')),
        ("\tincq\t(%rdi)", Some('S')),
        ("\txchgq\t%rax, (%rdi)", Some('X')),
        ("\tlock\t\torl\t$0, (%rsp)", Some('X')),
        ("\tmfence", Some('F')),
        ("\tmovq\t%fs:(%rax), %rax", Some('L')),
        ("\tcallq\tfoo@PLT", Some('C')),
        ("\tcallq\t__tls_get_addr@PLT", None),
        ("\tmovq\tENGINE@GOTPCREL(%rip), %rax", None),
        ("\tleaq\t8(%rdi), %rax", None),
        ("\tmovq\t%rax, 8(%rsp)", None),
        ("\tpushq\t%rbx", None),
        ("\ttestw\t%ax, %ax", None),
    ] {
        assert_eq!(access(line), letter, "{line}");
    }
}
