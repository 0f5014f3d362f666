//! Section 3: open redirects. What stays at home is judged by a WHATWG parser.

use url::Url;

use super::stage::{ROUTES, Stage};
use crate::rig::browser::NAVIGATION;

const HOME: &str = "https://app.test/";

/// Whether a browser that is at home stays there, or at an own origin of a wildcard route.
fn is_home(location: &str, wildcard: bool) -> bool {
    let landed = Url::parse(HOME).expect("a URL").join(location).expect("a URL");
    let host = landed.host_str().unwrap_or_default();
    landed.scheme() == "https"
        && landed.port().is_none()
        && (host == "app.test" || (wildcard && host.ends_with(".app.test")))
}

/// STAY, for a login and for a logout: refused, or every URL that the browser is handed is ours or the provider's.
fn stays(stage: &Stage, target: &str, wildcard: bool) {
    let encoded: String = url::form_urlencoded::byte_serialize(target.as_bytes()).collect();
    let bare = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#').then(|| target.to_owned());
    for written in [Some(encoded), bare].into_iter().flatten() {
        for name in ["rd", "target_link_uri"] {
            let mut browser = stage.none();
            let issuer: String = url::form_urlencoded::byte_serialize(stage.op.issuer().as_bytes()).collect();
            let start = browser.open(&format!("/.midgate/login?{name}={written}&iss={issuer}"));
            if start.status == 400 {
                continue;
            }
            assert_eq!(start.status, 302, "{name}={target}: {start:?}");
            assert!(
                start.location().starts_with(&format!("http://127.0.0.1:{}/", stage.op.port())),
                "{start:?}"
            );
            let callback = browser.visit_provider(start.location());
            let end = browser.deliver(&callback);
            assert_eq!(end.status, 303, "{name}={target}: {end:?}");
            assert!(is_home(end.location(), wildcard), "{name}={target} led to {}", end.location());
        }
        let mut browser = stage.none();
        browser.sign_in("/x");
        let out = browser.post(&format!("/.midgate/logout?rd={written}"), &[], true);
        let ends = match out.status {
            303 if out.location().starts_with("http://127.0.0.1:") => {
                let back = browser.visit_provider(out.location());
                browser.open(&back.target)
            }
            _ => out,
        };
        assert!(matches!(ends.status, 200 | 303 | 400), "{target}: {ends:?}");
        assert!(
            ends.status != 303 || is_home(ends.location(), wildcard),
            "{target} led to {}",
            ends.location()
        );
    }
}

fn all_stay(targets: &[&str]) {
    let stage = Stage::new();
    for target in targets {
        stays(&stage, target, false);
    }
}

#[test]
fn a26_slashes_and_backslashes_lead_nowhere() {
    all_stay(&[
        "//evil.test/x",
        "///evil.test",
        "/\\evil.test",
        "/%5Cevil.test",
        "\\\\evil.test",
        "\\/evil.test",
        "/.\\evil.test",
        "/./\\evil.test",
        "%2f%2fevil.test",
        "/..//evil.test",
    ]);
}

#[test]
fn a27_control_characters_lead_nowhere() {
    all_stay(&[
        "/%09/evil.test",
        "/%0a/evil.test",
        "/%0d%0a//evil.test",
        "/%20/evil.test",
        "/%0b/evil.test",
        "/%00/evil.test",
        "%09//evil.test",
        "/\t/evil.test",
        "/\n/evil.test",
        "/\r\n//evil.test",
        "/ /evil.test",
        "/\u{b}/evil.test",
        "/\0/evil.test",
        "\t//evil.test",
        "\u{a0}//evil.test",
    ]);
    let stage = Stage::new();
    for byte in [b'\t', 0x0b, 0x00, 0x1b, b'\r'] {
        let request =
            [b"GET /.midgate/login?rd=/", &[byte][..], b"/evil.test HTTP/1.1\r\nHost: app.test\r\n\r\n"]
                .concat();
        assert_eq!(stage.raw(request).status, 400, "{byte}");
    }
}

#[test]
fn a28_schemes_and_user_information_lead_nowhere() {
    all_stay(&[
        "https:evil.test",
        "https:///evil.test",
        "https:\\\\evil.test",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://app.test@evil.test",
        "https://app.test\\@evil.test/",
        "https://app.test:80@evil.test",
        "https://evil.test\\.app.test",
        "https://evil.test#.app.test",
        "https://evil.test/",
    ]);
}

#[test]
fn a29_neighbours_of_a_wildcard_are_strangers() {
    let wildcard = "[[route]]\nhost = \"*.app.test\"\nupstream = \"{up}\"\n[session]\ncookie = { domain = \"app.test\" }\n";
    let stage = Stage::with("", &format!("{ROUTES}{wildcard}"));
    for target in [
        "https://badapp.test/",
        "https://app.test.evil.test/",
        "https://app.test:8443/",
        "http://app.test/",
        "https://evil\u{3002}test/",
        "https:\u{ff0f}\u{ff0f}evil.test",
        "https://.app.test.evil.test/",
        "https://x.app.test@evil.test/",
        "https://x.app.test/good",
    ] {
        stays(&stage, target, true);
    }
}

#[test]
fn a30_only_our_own_parameter_names_where_to_go() {
    let stage = Stage::new();
    stays(&stage, "https://evil.test/target", false);
    let navigation =
        format!("{NAVIGATION}X-Auth-Request-Redirect: https://evil.test/\r\nReferer: https://evil.test/\r\n");
    for (target, lands) in
        [("/x?rd=/other", "/x?rd=/other"), ("/x?rd=https://evil.test/&y", "/x?rd=https://evil.test/&y")]
    {
        let mut browser = stage.none();
        let start = browser.ask("GET", target, &navigation, b"");
        assert!(!start.location().contains("evil.test"), "{start:?}");
        let callback = browser.visit_provider(start.location());
        assert_eq!(browser.deliver(&callback).location(), lands);
    }
}
