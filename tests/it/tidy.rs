//! The rules of the house, read from the source.

use std::fs;
use std::path::{Path, PathBuf};

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("UTF-8");
                found.push((path, text));
            }
        }
    }
    found
}

/// The module of lib.rs that a file belongs to.
fn module(path: &Path) -> String {
    let src = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    let first = path.strip_prefix(src).ok().and_then(|p| p.components().next()).expect("below src");
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The text without its tests, which may use what they like.
fn program(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

#[test]
fn a_module_names_only_modules_declared_above_it() {
    let lib = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs")).expect("lib.rs");
    let order: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.split_once("mod ").and_then(|(_, rest)| rest.strip_suffix(';')))
        .collect();
    assert!(order.len() > 15, "{order:?}");
    for (path, text) in sources() {
        let own = module(&path);
        let Some(place) = order.iter().position(|name| **name == own) else { continue };
        if path.file_name().is_some_and(|name| name == "tests.rs") {
            continue;
        }
        for line in program(&text).lines().filter(|line| !line.trim_start().starts_with("//")) {
            for (at, _) in line.match_indices("crate::") {
                let named: String =
                    line[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let Some(other) = order.iter().position(|name| **name == named) else { continue };
                assert!(other <= place, "{}: {own} names {named}, which comes after it", path.display());
            }
        }
    }
}

#[test]
fn what_is_pure_is_pure() {
    let impure = [
        "async fn",
        ".await",
        "pingora",
        "tracing::",
        "SystemTime::now",
        "unix_now",
        "Instant::now",
        "std::env",
        "std::fs",
        "std::net::Tcp",
        "random::<",
        "println!",
        "OsRng",
        "SystemRandom",
    ];
    let mut pure = 0;
    for (path, text) in sources() {
        if !text.lines().take(12).any(|line| line == "//! Pure.") {
            continue;
        }
        pure += 1;
        for line in program(&text).lines().filter(|line| !line.trim_start().starts_with("//")) {
            for word in impure {
                assert!(!line.contains(word), "{}: {line}", path.display());
            }
        }
    }
    assert!(pure > 15, "{pure} pure files");
}

#[test]
fn each_opinionated_crate_has_its_owners() {
    for (krate, owners) in [
        ("pingora_core::", &["proxy", "admin", "gateway"][..]),
        ("pingora_proxy::", &["proxy", "gateway"]),
        ("pingora_http::", &["proxy"]),
        ("openidconnect::", &["provider"]),
        ("reqwest::", &["provider"]),
        ("ring::aead", &["seal"]),
        ("toml::", &["config"]),
        ("minijinja::", &["pages", "demo"]),
        ("moka::future", &["session"]),
        ("cedar_policy::", &["policy"]),
        ("miette::", &["policy"]),
        ("clap::", &["cli"]),
        ("crate::demo", &["cli", "demo"]),
    ] {
        for (path, text) in sources() {
            let own = module(&path);
            let used = program(&text)
                .lines()
                // In quotes it is a name and no use, such as the target of a log line.
                .any(|line| {
                    !line.trim_start().starts_with("//")
                        && line.replace(&format!("\"{krate}"), "").contains(krate)
                });
            assert!(!used || owners.contains(&own.as_str()), "{krate} in {}", path.display());
        }
    }
}

#[test]
fn i12_the_demo_shares_no_code_with_the_relying_party() {
    for (path, text) in sources().into_iter().filter(|(path, _)| module(path) == "demo") {
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let others = line.matches("crate::").count() - line.matches("crate::demo").count();
            assert_eq!(others, 0, "{}: {line}", path.display());
        }
    }
}

#[test]
fn files_say_what_they_are_and_stay_small() {
    for (path, text) in sources() {
        let first = text.lines().next().unwrap_or_default();
        assert!(first.starts_with("//! ") && first.ends_with(['.', ':', '?']), "{}: {first}", path.display());
        assert!(text.lines().count() <= 600, "{} is too long", path.display());
        assert_ne!(path.file_name().and_then(|name| name.to_str()), Some("mod.rs"));
        for word in ["TODO", "FIXME", "XXX"] {
            assert!(!text.contains(word), "{} holds {word}", path.display());
        }
    }
}

#[test]
fn names_say_what_they_mean() {
    for (path, text) in sources() {
        for line in text
            .lines()
            .filter(|line| line.trim_start().starts_with("fn ") || line.contains("pub(crate) fn "))
        {
            let name = line.split("fn ").nth(1).unwrap_or_default();
            for vague in ["get_", "handle", "process_", "manage", "util", "helper", "common"] {
                // Names of other crates' traits are theirs.
                let is_theirs = ["process_new", "get_value"].iter().any(|theirs| name.starts_with(theirs));
                assert!(is_theirs || !name.starts_with(vague), "{}: {line}", path.display());
            }
        }
    }
}

/// The versions of a crate in Cargo.lock.
fn locked(lock: &str, name: &str) -> Vec<[u64; 3]> {
    let named = format!("name = \"{name}\"\n");
    let versions = lock.split("[[package]]\n").filter_map(|package| {
        let version = package.strip_prefix(&*named)?.lines().next()?.strip_prefix("version = \"")?;
        let version = version.split(['"', '-', '+']).next()?;
        let mut numbers = version.split('.').map(|number| number.parse().expect("a number"));
        Some(std::array::from_fn(|_| numbers.next().unwrap_or_default()))
    });
    versions.collect()
}

#[test]
fn a125_no_dependency_is_older_than_its_advisories() {
    let lock = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).expect("Cargo.lock");
    for (name, least, advisory) in [
        ("pingora", [0, 9, 1], "RUSTSEC-2026-0033, -0034, -0035; CVE-2026-105299"),
        ("pingora-core", [0, 9, 1], "RUSTSEC-2025-0070"),
        ("pingora-proxy", [0, 9, 1], "RUSTSEC-2026-0033"),
        ("pingora-http", [0, 9, 1], "RUSTSEC-2026-0034"),
        ("pingora-cache", [0, 9, 1], "RUSTSEC-2025-0037, RUSTSEC-2026-0035"),
        ("h2", [0, 4, 16], "RUSTSEC-2026-0258, RUSTSEC-2024-0332, RUSTSEC-2024-0003"),
        ("rustls", [0, 23, 18], "RUSTSEC-2024-0399, RUSTSEC-2024-0336"),
        ("ring", [0, 17, 12], "RUSTSEC-2025-0009"),
        ("idna", [1, 0, 0], "RUSTSEC-2024-0421"),
        ("tokio", [1, 44, 2], "RUSTSEC-2025-0023"),
        ("tracing-subscriber", [0, 3, 20], "RUSTSEC-2025-0055: log lines that a stranger colours"),
    ] {
        let versions = locked(&lock, name);
        assert!(!versions.is_empty(), "{name} is not in Cargo.lock any more");
        for version in versions {
            assert!(version >= least, "{name} {version:?}: {advisory}");
        }
    }
    for gone in ["openssl", "native-tls", "ansi_term", "hyper-tls", "aws-lc-rs"] {
        assert_eq!(locked(&lock, gone), [[0; 3]; 0], "{gone} came back");
    }
    let manifest =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).expect("Cargo.toml");
    for line in manifest.lines().filter(|line| line.starts_with("pingora")) {
        assert!(line.contains("\"=0.9.1\""), "{line}: a newer one is read before it is taken");
    }
}
