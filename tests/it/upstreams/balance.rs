//! Which server of several is asked.

use std::io::Write;

use midgate::demo::application::Application;

use super::{app, http};
use crate::rig::wire::connect;
use crate::rig::{Browser, Plain, application, plain, until};

struct Setting {
    plain: Plain,
    servers: Vec<Application>,
}

fn setting(servers: usize, balance: &str, access: &str) -> Setting {
    let servers: Vec<_> = (0..servers).map(|_| application()).collect();
    let addresses: Vec<_> = servers.iter().map(|server| http(server.port())).collect();
    let route = format!("[[route]]\nupstream = \"app\"\naccess = \"{access}\"\n");
    let plain = plain("", "", &(app(&addresses, &format!("balance = \"{balance}\"")) + &route));
    Setting { plain, servers }
}

impl Setting {
    fn counts(&self) -> Vec<usize> {
        self.servers.iter().map(Application::count).collect()
    }

    /// The server that a request of this browser reaches.
    fn home(&self, browser: &mut Browser) -> usize {
        let before = self.counts();
        assert_eq!(browser.fetch("/echo").status, 200);
        let grown: Vec<usize> = (0..before.len()).filter(|at| self.counts()[*at] > before[*at]).collect();
        assert_eq!(grown.len(), 1, "{before:?} {:?}", self.counts());
        grown[0]
    }
}

#[test]
fn servers_take_turns() {
    let setting = setting(3, "round_robin", "public");
    let mut browser = Browser::new(&setting.plain.gateway);
    for _ in 0..9 {
        assert_eq!(browser.fetch("/echo").status, 200);
    }
    assert_eq!(setting.counts(), [3, 3, 3]);
}

#[test]
fn the_server_with_the_fewest_requests_under_way_is_asked() {
    let setting = setting(2, "least_connections", "public");
    let port = setting.plain.gateway.port;
    let mut held = connect(port).expect("it listens");
    write!(held, "GET /slow?ms=20000 HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").expect("sent");
    until("one is at work", || setting.counts().iter().sum::<usize>() == 1);
    let busy = setting.counts().iter().position(|count| *count == 1).expect("one of them");
    let mut browser = Browser::new(&setting.plain.gateway);
    for _ in 0..6 {
        assert_eq!(setting.home(&mut browser), 1 - busy);
    }
    // Whoever breaks off is under way no more.
    drop(held);
    until("both are asked again", || setting.home(&mut browser) == busy);
}

#[test]
fn a_session_stays_with_its_server_goes_elsewhere_when_that_is_dead_and_comes_back() {
    let mut setting = setting(3, "session", "required");
    let mut browsers: Vec<_> = (0..8).map(|_| Browser::signed_in(&setting.plain.gateway, "/echo")).collect();
    let homes: Vec<_> = browsers.iter_mut().map(|browser| setting.home(browser)).collect();
    assert!(homes.iter().any(|home| *home != homes[0]), "eight sessions on one server: {homes:?}");
    assert_eq!(all(&setting, &mut browsers), homes);
    let (dead, port) = (homes[0], setting.servers[homes[0]].port());
    setting.servers.remove(dead);
    setting.servers.insert(dead, application());
    let meanwhile = all(&setting, &mut browsers);
    for (now, home) in meanwhile.iter().zip(&homes) {
        assert!(if *home == dead { *now != dead } else { now == home }, "{homes:?} became {meanwhile:?}");
    }
    setting.servers[dead] = Application::start(port).expect("the port is free again");
    until("it is tried again", || setting.home(&mut browsers[0]) == dead);
    assert_eq!(all(&setting, &mut browsers), homes);
}

fn all(setting: &Setting, browsers: &mut [Browser]) -> Vec<usize> {
    browsers.iter_mut().map(|browser| setting.home(browser)).collect()
}

#[test]
fn without_a_session_a_client_stays_with_its_server() {
    let setting = setting(3, "session", "optional");
    let mut browser = Browser::new(&setting.plain.gateway);
    let home = setting.home(&mut browser);
    for _ in 0..5 {
        assert_eq!(setting.home(&mut browser), home);
    }
}
