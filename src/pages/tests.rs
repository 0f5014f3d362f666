//! Every page in every language, as a browser and as an attacker would look at it.

use std::sync::Arc;

use serde_json::json;

use crate::identity::{Claims, Identity};
use crate::provider::Trouble;

use super::*;

const TROUBLES: [Trouble; 17] = [
    Trouble::Rejected,
    Trouble::NoAnswer,
    Trouble::WrongNumber,
    Trouble::ConsentRefused,
    Trouble::SerialMismatch,
    Trouble::LocationFailed,
    Trouble::SimNeeded,
    Trouble::NoMethod,
    Trouble::SmsCodeWrong,
    Trouble::AnotherRunning,
    Trouble::PasskeyMismatch,
    Trouble::Refused,
    Trouble::LoginRequired,
    Trouble::Unavailable,
    Trouble::BadRequest,
    Trouble::NotAllowed,
    Trouble::Unknown,
];

const HOSTILE: &str = r#"</pre><script>alert(1)</script>"'><img src=x onerror=alert(2)>');alert(3)//"#;

fn person() -> Identity {
    let claims = json!({
        "name": "Zoë Müller-François", "phone_number": "+41791234567", "documentId": "E-4711-0815",
        "mid_profile_serial": "MIDCHE0123456789", "groups": ["finance", "audit"], "age": 44, "verified": true,
        "address": {"locality": "Zürich", "country": "CH"}
    });
    Identity {
        provider: Arc::from("mobileid"),
        issuer: Arc::from("https://openid.mobileid.ch"),
        subject: "5b8d7c1e-93a4-4d0b-9a53-6f2f6f1c0a77".into(),
        user_key: "q0Yw3Zb2iT5o9bKcJm1Qe8rXtVh7uLsPaNdFg4Ey6Mk".into(),
        acr: Some("mid_al3_any".into()),
        amr: ["mid_sim".into(), "phr".into()].into(),
        auth_time: Some(1_795_533_700),
        claims: claims.as_object().unwrap().clone(),
    }
}

fn session(identity: &Identity) -> WhoAmI<'_> {
    WhoAmI {
        identity,
        provider: "Mobile ID",
        created: 1_795_533_720,
        expires: 1_795_533_720 + 8 * 3600,
        idle_expires: 1_795_533_720 + 1800,
        now: 1_795_533_750,
        logout: "/.midgate/logout",
    }
}

const CHOICES: [Choice<'static>; 2] = [
    Choice { name: "Mobile ID", href: "/.midgate/login?rd=%2F&provider=mobileid", is_last: true },
    Choice { name: "mID", href: "/.midgate/login?rd=%2F&provider=idemia", is_last: false },
];

/// One page of each kind and trouble, under the name of its file.
fn all<'a>(identity: &'a Identity) -> Vec<(String, Page<'a>)> {
    let again = "/.midgate/login?rd=%2F";
    let trouble = |trouble| Page::LoginFailed { trouble, trace: Some("A9W1GLUM"), again };
    let mut pages: Vec<Page<'_>> = TROUBLES.map(trouble).into();
    pages.extend([
        Page::Choice { choices: &CHOICES },
        Page::ProviderBadAnswer { reason: "nonce-mismatch", again },
        Page::ProviderNoAnswer { again },
        Page::ProviderUnavailable { again },
        Page::LoginStale { again: Some(again) },
        Page::LoginStale { again: None },
        Page::TooWeak { wanted: "mid_al4_any", again },
        Page::NotEnrolled,
        Page::MissingClaim { claim: "documentId", again },
        Page::SignedOutForm { login: again },
        Page::NotSignedIn { login: again },
        Page::Forbidden { reason: "claim-differs", logout: Some("/.midgate/logout") },
        Page::NotFound,
        Page::MethodNotAllowed { allow: "GET, HEAD" },
        Page::UnknownHost,
        Page::BadRequest { reason: "encoded-slash" },
        Page::TooLarge,
        Page::HeadersTooLarge,
        Page::UpstreamDown { outage: Outage::BadAnswer },
        Page::UpstreamDown { outage: Outage::NoServer },
        Page::UpstreamDown { outage: Outage::NoAnswer },
        Page::StoreDown,
        Page::Broken,
        Page::ConfirmLogout { action: "/.midgate/logout", csrf: "c2VjcmV0", rd: Some("/bye") },
        Page::SignedOut { again, provider_session_may_live: false },
        Page::SignedOut { again, provider_session_may_live: true },
        Page::LogoutRefused { logout: "/.midgate/logout" },
        Page::WhoAmI(session(identity)),
        Page::Repost { action: "/.midgate/callback", fields: &[("code", "c0de"), ("state", "st4te")] },
    ]);
    pages.into_iter().enumerate().map(|(i, page)| (format!("{i:02}-{}", page.texts()), page)).collect()
}

fn visit(language: Language) -> Visit<'static> {
    Visit { language, request_id: "0b7f6c1d9e2a4f58", home: "/", form_action: &[] }
}

fn plain() -> Pages {
    Pages::new(Settings::default()).unwrap()
}

fn html(pages: &Pages, page: &Page<'_>, language: Language) -> String {
    pages.body(page, &visit(language)).map_err(|e| format!("{page:?} {language:?}: {e:#}")).unwrap()
}

#[test]
fn every_page_is_rendered_in_every_language_and_every_text_is_used() {
    let (pages, nobody) = (plain(), Identity { claims: Claims::new(), acr: None, ..person() });
    for language in Language::ALL {
        for (_, page) in all(&person()) {
            let html = html(&pages, &page, language);
            assert!(html.contains(&format!("<html lang=\"{}\">", language.tag())));
            assert_eq!(html.matches("<h1>").count(), 1, "{page:?}");
            assert_eq!(html.matches("<main").count(), 1, "{page:?}");
        }
        html(&pages, &Page::WhoAmI(session(&nobody)), language);
    }
    assert_eq!(pages.texts.unused(), Vec::<String>::new());
}

#[test]
fn every_failure_shows_the_request_id() {
    let pages = plain();
    for (_, page) in all(&person()) {
        let shows = html(&pages, &page, Language::En).contains("0b7f6c1d9e2a4f58");
        assert_eq!(shows, page.error().is_some(), "{page:?}");
        assert_eq!(page.error().is_some(), !page.status().is_success(), "{page:?}");
    }
}

#[test]
fn the_trace_of_the_provider_is_shown() {
    let page = Page::LoginFailed { trouble: Trouble::Rejected, trace: Some("A9W1GLUM"), again: "/" };
    assert!(html(&plain(), &page, Language::De).contains("<dt>Trace des Anbieters</dt><dd>A9W1GLUM</dd>"));
}

#[test]
fn statuses_are_those_of_the_contract() {
    let identity = person();
    let table: Vec<_> =
        all(&identity).iter().map(|(_, page)| (page.status().as_u16(), page.texts())).collect();
    let with = |status: u16| table.iter().filter(|row| row.0 == status).map(|row| row.1).collect::<Vec<_>>();
    assert_eq!(with(200), ["choice", "confirm-logout", "signed-out", "signed-out-here", "session", "repost"]);
    assert_eq!(with(400), ["login-stale", "login-stale", "bad-request"]);
    assert_eq!(with(401), ["signed-out-form", "not-signed-in"]);
    assert_eq!(
        with(403),
        [
            "rejected",
            "no-answer",
            "wrong-number",
            "consent-refused",
            "serial-mismatch",
            "location-failed",
            "sim-needed",
            "no-method",
            "sms-code-wrong",
            "another-running",
            "passkey-mismatch",
            "refused",
            "provider-login-required",
            "unknown",
            "too-weak",
            "not-enrolled",
            "missing-claim",
            "forbidden",
            "logout-refused",
        ]
    );
    assert_eq!((with(404), with(405)), (vec!["not-found"], vec!["method-not-allowed"]));
    assert_eq!(
        (with(413), with(421), with(431)),
        (vec!["too-large"], vec!["unknown-host"], vec!["headers-too-large"])
    );
    assert_eq!(with(500), ["broken"]);
    assert_eq!(
        with(502),
        [
            "provider-unavailable",
            "provider-bad-request",
            "provider-not-allowed",
            "provider-bad-answer",
            "provider-unreachable",
            "upstream-down",
        ]
    );
    assert_eq!(with(503), ["upstream-down", "store-down"]);
    assert_eq!(with(504), ["provider-no-answer", "upstream-slow"]);
}

#[test]
fn headers_of_every_page_are_strict() {
    let pages = plain();
    for (_, page) in all(&person()) {
        let reply = pages.render(&page, &visit(Language::Fr));
        let header = |name: &str| reply.headers.get(name).map(|v| v.to_str().unwrap()).unwrap_or_default();
        assert_eq!(reply.status, page.status());
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("content-language"), "fr");
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(policy.ends_with("frame-ancestors 'none'; base-uri 'none'"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert_eq!(policy.contains("script-src"), matches!(page, Page::Repost { .. }));
        assert_eq!(header("www-authenticate").is_empty(), reply.status != 401);
        assert_eq!(header("allow").is_empty(), reply.status != 405);
        assert_eq!(header("retry-after").is_empty(), !matches!(page, Page::StoreDown));
    }
}

/// What stands between two marks, each of which may stand there only once.
fn between<'h>(html: &'h str, open: &str, close: &str) -> &'h str {
    assert_eq!((html.matches(open).count(), html.matches(close).count()), (1, 1), "{open}");
    html.split_once(open).unwrap().1.split_once(close).unwrap().0
}

#[test]
fn the_policy_allows_exactly_the_style_and_script_that_are_sent() {
    let settings = Settings { colour: Some("#b00020".to_owned()), ..Settings::default() };
    let pages = Pages::new(settings).unwrap();
    let page = Page::Repost { action: "/.midgate/callback", fields: &[("state", HOSTILE)] };
    let reply = pages.render(&page, &visit(Language::En));
    let html = std::str::from_utf8(&reply.body).unwrap();
    let policy = reply.headers["content-security-policy"].to_str().unwrap();
    let style = between(html, "<style>", "</style>");
    assert!(style.contains("#b00020"));
    assert!(policy.contains(&format!("style-src {};", source_hash(style))));
    assert!(policy.contains(&format!("script-src {};", source_hash(between(html, "<script>", "</script>")))));
    assert!(!html.contains(" style=") && !html.contains(" onload="));
}

#[test]
fn hostile_values_stay_text() {
    let claims = json!({ "name": HOSTILE, HOSTILE: [HOSTILE, {"a": HOSTILE}] }).as_object().unwrap().clone();
    let mut identity = Identity { acr: Some(HOSTILE.into()), subject: HOSTILE.into(), claims, ..person() };
    identity.amr = [HOSTILE.into()].into();
    let pages =
        Pages::new(Settings { product_name: Some(HOSTILE.to_owned()), ..Settings::default() }).unwrap();
    let hostile = [
        Page::WhoAmI(WhoAmI { provider: HOSTILE, logout: HOSTILE, ..session(&identity) }),
        Page::LoginFailed { trouble: Trouble::Unknown, trace: Some(HOSTILE), again: HOSTILE },
        Page::TooWeak { wanted: HOSTILE, again: "javascript:alert(1)" },
        Page::MissingClaim { claim: HOSTILE, again: HOSTILE },
        Page::ConfirmLogout { action: HOSTILE, csrf: HOSTILE, rd: Some(HOSTILE) },
        Page::Repost { action: "javascript:alert(1)", fields: &[(HOSTILE, HOSTILE)] },
    ];
    for page in hostile {
        let visit = Visit { request_id: HOSTILE, home: HOSTILE, ..visit(Language::It) };
        let html =
            pages.body(&page, &visit).unwrap().replace(&format!("<script>{REPOST_SCRIPT}</script>"), "");
        for wrong in ["<script", "<img", "</pre>", "\"'>", "javascript:"] {
            assert!(!html.contains(wrong), "{page:?} {wrong}");
        }
    }
}

#[test]
fn only_origins_come_into_the_policy() {
    let form_action = [
        "https://idp.example.ch".to_owned(),
        "http://localhost:9000".to_owned(),
        "https://x; script-src *".to_owned(),
        "https://x,y".to_owned(),
        "javascript:".to_owned(),
        "https://*".to_owned(),
        "https://é".to_owned(),
    ];
    let visit = Visit { form_action: &form_action, ..visit(Language::En) };
    let reply = plain().render(&Page::NotFound, &visit);
    let policy = reply.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("form-action 'self' https://idp.example.ch http://localhost:9000; frame"),
        "{policy}"
    );
}

#[test]
fn the_form_is_sent_again_from_another_tab() {
    let html = html(&plain(), &Page::SignedOutForm { login: "/.midgate/login" }, Language::En);
    assert!(html.contains("target=\"_blank\" rel=\"noopener\""));
}

#[test]
fn all_problems_of_the_settings_are_shown_at_once() {
    let settings = Settings {
        colour: Some("red".to_owned()),
        logo: Some(b"MZ".to_vec()),
        texts: [("rm".to_owned(), Sections::new())].into(),
        templates: [("style.css", "</style>"), ("message.html", "{% if %}"), ("massage.html", "")]
            .map(|(name, source)| (name.to_owned(), source.to_owned()))
            .into(),
        ..Settings::default()
    };
    let problems = Pages::new(settings).unwrap_err();
    let keys: Vec<_> = problems.iter().map(PagesError::key).collect();
    let template = "pages.template_dir";
    assert_eq!(keys, ["pages.texts_file", template, template, "pages.colour", template, "pages.logo_file"]);
    let problems: Vec<_> = problems.iter().map(PagesError::to_string).collect();
    assert!(problems.iter().any(|problem| problem.contains("(in message.html:1)")), "{problems:?}");
}

#[test]
fn a_template_that_fails_becomes_plain_text() {
    let templates = [("message.html".to_owned(), "{{ nothing.here }}".to_owned())].into();
    let pages = Pages::new(Settings { templates, ..Settings::default() }).unwrap();
    let reply = pages.render(&Page::NotFound, &visit(Language::En));
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (404, &b"not-found\n0b7f6c1d9e2a4f58\n"[..]));
}

#[test]
fn programs_read_error_reason_and_request_id() {
    let page = Page::Forbidden { reason: "claim-differs", logout: None };
    let reply = error_json(page.status(), page.error().unwrap(), page.reason(), "r1");
    let json: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(json, json!({"error": "forbidden", "reason": "claim-differs", "request_id": "r1"}));
}

/// Writes every page below `target/pages`, for a person to look at: `cargo test pages_are_written -- --ignored`.
#[test]
#[ignore = "writes files for a person to look at"]
fn pages_are_written() {
    let product_name = Some("Payroll of the Canton".to_owned());
    let pages = Pages::new(Settings { product_name, ..Settings::default() }).unwrap();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pages");
    std::fs::create_dir_all(&folder).unwrap();
    for language in Language::ALL {
        for (name, page) in all(&person()) {
            // Without the script, which would leave the page; under its policy, so that a wrong hash is seen.
            let html = html(&pages, &page, language).replace(REPOST_SCRIPT, "");
            let policy = pages.content_security_policy(&page, &visit(language));
            let meta = format!("<head><meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">");
            let html = html.replace("<head>", &meta);
            std::fs::write(folder.join(format!("{name}.{}.html", language.tag())), html).unwrap();
        }
    }
}
