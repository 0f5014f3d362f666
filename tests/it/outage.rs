//! What breaks, and what goes on all the same.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::rig::wire::{connect, read};
use crate::rig::{Browser, plain, until};

const ROUTES: &str = "[[route]]\nupstream = \"{up}\"\n";

#[test]
fn sessions_go_on_while_the_provider_is_down() {
    let shared = plain("", "", ROUTES);
    let mut browser = Browser::signed_in(&shared.gateway, "/echo");
    shared.provider.stop();
    assert_eq!(browser.fetch("/echo").status, 200);
    // Metadata are warm: the browser is sent there, and the provider is down for it.
    assert_eq!(Browser::new(&shared.gateway).open("/echo").status, 302);
    shared.provider.start_again();
    Browser::signed_in(&shared.gateway, "/echo");
}

#[test]
fn a_provider_that_dies_between_redirect_and_callback_is_a_page() {
    let shared = plain("", "", ROUTES);
    let mut browser = Browser::new(&shared.gateway);
    let start = browser.open("/echo");
    let callback = browser.visit_provider(start.location());
    shared.provider.stop();
    let answer = browser.deliver(&callback);
    assert!(matches!(answer.status, 502..=504), "{}", answer.status);
    assert!(!browser.is_signed_in());
    shared.provider.start_again();
    assert_eq!(browser.sign_in("/echo").status, 303);
}

#[test]
fn an_application_that_is_down_is_a_page_and_comes_back() {
    let shared = plain(
        "",
        "",
        "[[route]]\nupstream = \"{up}\"\n[[route]]\npath = \"/gone/\"\nupstream = \"http://127.0.0.1:1\"\n[[route]]\npath = \"/public/\"\nupstream = \"http://127.0.0.1:1\"\naccess = \"public\"\n",
    );
    let mut browser = Browser::signed_in(&shared.gateway, "/echo");
    let page = browser.open("/gone/x");
    assert_eq!(page.status, 502);
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    assert_eq!(browser.fetch("/gone/x").json()["error"], "upstream_failed");
    assert_eq!(Browser::new(&shared.gateway).fetch("/public/x").status, 502);
    assert!(browser.is_signed_in());
    shared.application.stop();
    assert_eq!(browser.fetch("/echo").status, 502);
    shared.application.start_again();
    assert_eq!(browser.fetch("/echo").status, 200);
}

#[test]
fn a_dawdling_application_is_504() {
    let up = "[[upstream]]\nid = \"app\"\nservers = [\"{up}\"]\ntimeouts = { read = \"300ms\" }\n[[route]]\nupstream = \"app\"\naccess = \"optional\"\n";
    let shared = plain("", "", up);
    let mut browser = Browser::new(&shared.gateway);
    assert_eq!(browser.fetch("/slow?ms=5000").status, 504);
    assert_eq!(browser.fetch("/echo").status, 200);
}

#[test]
fn of_several_servers_one_that_is_down_costs_nobody_an_answer() {
    let up = "[[upstream]]\nid = \"app\"\nservers = [\"http://127.0.0.1:1\", \"{up}\"]\n[[route]]\nupstream = \"app\"\naccess = \"optional\"\n";
    let shared = plain("", "", up);
    let mut browser = Browser::new(&shared.gateway);
    for _ in 0..10 {
        assert_eq!(browser.fetch("/echo").status, 200);
    }
}

#[test]
fn a_session_ends_when_it_is_idle_and_when_its_time_is_over() {
    let shared = plain(
        "",
        "",
        "[session]\nidle_timeout = \"2s\"\nlifetime = \"5s\"\n[[route]]\nupstream = \"{up}\"\n",
    );
    let mut idle = Browser::signed_in(&shared.gateway, "/echo");
    let mut busy = Browser::signed_in(&shared.gateway, "/echo");
    let begun = Instant::now();
    let mut last = Duration::ZERO;
    until("the busy session has ended too", || {
        let alive = busy.fetch("/echo").status == 200;
        last = begun.elapsed();
        !alive
    });
    assert!(last > Duration::from_secs(3), "used all the time, it lived for {last:?}");
    assert_eq!(idle.fetch("/echo").status, 401);
    until("nobody is counted any more", || shared.gateway.metric("midgate_sessions") == Some(0.0));
}

#[test]
fn sigterm_lets_requests_end_and_says_unready_at_once() {
    let mut shared = plain("", "", "[[route]]\nupstream = \"{up}\"\naccess = \"optional\"\n");
    let mut stream = connect(shared.gateway.port).expect("it listens");
    write!(stream, "GET /slow?ms=2500 HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", shared.gateway.port)
        .expect("sent");
    until("the request is at the application", || shared.application.count() == 1);
    shared.gateway.signal("TERM");
    until("it is unready", || shared.gateway.ready().0 == 503);
    let answer = read(&mut stream, false).expect("the request ends well");
    assert_eq!((answer.status, answer.text().as_str()), (200, "slow"));
    assert_eq!(shared.gateway.wait(), 0);
}

#[test]
fn a_second_sigterm_ends_at_once() {
    let mut shared = plain("", "", "[[route]]\nupstream = \"{up}\"\naccess = \"optional\"\n");
    let mut stream = connect(shared.gateway.port).expect("it listens");
    write!(stream, "GET /slow?ms=20000 HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", shared.gateway.port)
        .expect("sent");
    until("the request is at the application", || shared.application.count() == 1);
    shared.gateway.signal("TERM");
    until("it is unready", || shared.gateway.ready().0 == 503);
    shared.gateway.signal("TERM");
    shared.gateway.wait();
}

#[test]
fn a124_a_reload_is_all_or_nothing() {
    let shared = plain("", "", ROUTES);
    let mut browser = Browser::signed_in(&shared.gateway, "/echo");
    let good = std::fs::read_to_string(shared.gateway.folder.path("gateway.toml")).expect("written");
    let metric = |result: &str| {
        shared.gateway.metric(&format!("midgate_reloads_total{{result=\"{result}\"}}")).unwrap_or_default()
    };
    assert_eq!((metric("ok"), metric("failed")), (0.0, 0.0));
    shared.gateway.folder.write("gateway.toml", &good.replace("[[route]]", "[[rout]]"));
    shared.gateway.signal("HUP");
    until("the reload has failed", || metric("failed") == 1.0);
    assert_eq!(browser.fetch("/echo").status, 200);
    assert!(shared.gateway.log().contains("old configuration stays in force"));
    let changed = good.clone()
        + "\n[headers]\n\"X-Auth-New\" = \"{provider}\"\n[[route]]\npath = \"/public/\"\nupstream = \"http://127.0.0.1:1\"\naccess = \"public\"\n";
    shared.gateway.folder.write("gateway.toml", &changed);
    shared.gateway.signal("HUP");
    until("the reload is done", || metric("ok") == 1.0);
    let echo = browser.echo("/echo", "X-Auth-Name: mallory\r\n");
    assert_eq!(echo.one("X-Auth-New"), "op");
    assert!(echo.all("X-Auth-Name").is_empty());
    assert_eq!(browser.fetch("/public/x").status, 502);
    assert_eq!(shared.provider.calls().discovery, 1, "an unchanged provider stays warm");
}

#[test]
fn a_server_that_cannot_be_found_or_reached_passes_its_turn_on() {
    let shared = plain(
        "",
        "",
        "[[upstream]]\nid = \"app\"\nservers = [\"http://no-such-name.invalid:80\", \"http://127.0.0.1:1\", \"{up}\"]\n\
         [[upstream]]\nid = \"lost\"\nservers = [\"http://no-such-name.invalid:80\"]\n\
         [[route]]\nupstream = \"app\"\naccess = \"public\"\n\
         [[route]]\npath = \"/lost/\"\nupstream = \"lost\"\naccess = \"public\"\n",
    );
    let mut browser = Browser::new(&shared.gateway);
    for round in 0..6 {
        assert_eq!(browser.ask("POST", "/echo", "", b"x").status, 200, "{round}");
    }
    assert_eq!(browser.fetch("/lost/x").status, 502);
}

#[test]
fn an_address_of_a_name_that_does_not_answer_passes_its_turn_on() {
    // `localhost` is ::1 first on many machines, and the application listens on 127.0.0.1 only.
    let application = crate::rig::application();
    let routes =
        format!("[[route]]\nupstream = \"http://localhost:{}\"\naccess = \"public\"\n", application.port());
    let shared = plain("", "", &routes);
    for _ in 0..3 {
        assert_eq!(Browser::new(&shared.gateway).fetch("/echo").status, 200);
    }
}
