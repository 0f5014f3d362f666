//! The way in: what the gateway does for one request before it goes up, and one session's look-up.
//!
//! The way in is all of it: the context with its clocks and request id, the scan of the raw head, one canonical view,
//! route, cookie, hash, session, policy, the identity headers set, the meters counted. Pingora's own work is left out.
//! Beside times stand allocations.
//!
//! usage: `cargo bench --features bench --bench admission`

use std::pin::pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use divan::{AllocProfiler, Bencher, black_box};
use midgate::bench::{Gateway, Id, Request};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// In memory nothing is waited for, so that a runtime would only blur the picture.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

/// A gateway and the ids of its sessions.
fn signed_in(gateway: Gateway, number: usize) -> (Gateway, Vec<Id>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ids = runtime.expect("a runtime").block_on(async {
        let mut ids = Vec::with_capacity(number);
        for number in 0..number {
            ids.push(gateway.sign_in(number).await);
            if number % 1024 == 0 {
                gateway.settle().await;
            }
        }
        gateway.settle().await;
        ids
    });
    (gateway, ids)
}

fn ten_thousand() -> &'static (Gateway, Vec<Id>) {
    static STAGE: OnceLock<(Gateway, Vec<Id>)> = OnceLock::new();
    STAGE.get_or_init(|| signed_in(Gateway::new(), 10_000))
}

/// The same with `[assertion]`.
fn asserted() -> &'static (Gateway, Vec<Id>) {
    static STAGE: OnceLock<(Gateway, Vec<Id>)> = OnceLock::new();
    STAGE.get_or_init(|| signed_in(Gateway::with_assertion(), 10_000))
}

/// Steps through a list so that neighbours in time are not neighbours in memory.
fn stepping(length: usize) -> impl FnMut() -> usize {
    let mut at = 0_usize;
    move || {
        at = (at + 7_919) % length;
        at
    }
}

fn way_in(bencher: Bencher<'_, '_>, path: &str, with_session: bool, expected: u16) {
    way_into(ten_thousand(), bencher, path, with_session, expected);
}

fn way_into(
    (gateway, ids): &(Gateway, Vec<Id>),
    bencher: Bencher<'_, '_>,
    path: &str,
    with_session: bool,
    expected: u16,
) {
    let requests: Vec<Request> =
        ids.iter().map(|id| Request::new(path, with_session.then_some(id))).collect();
    // Warm: the second request of each session and all later ones are what a gateway spends its days with.
    for request in &requests {
        assert_eq!(at_once(gateway.pass(request, &mut request.copy())), expected);
    }
    let mut next = stepping(requests.len());
    bencher
        .with_inputs(|| {
            let request = &requests[next()];
            (request, request.copy())
        })
        .bench_local_refs(|(request, upward)| at_once(gateway.pass(black_box(request), upward)));
}

#[divan::bench(sample_size = 100)]
fn required_route_with_a_warm_session(bencher: Bencher<'_, '_>) {
    way_in(bencher, "/app/index.html?tab=1", true, 200);
}

/// The same request with the assertion that the session has ready.
#[divan::bench(sample_size = 100)]
fn required_route_with_a_ready_assertion(bencher: Bencher<'_, '_>) {
    way_into(asserted(), bencher, "/app/index.html?tab=1", true, 200);
}

/// The first request of a session, which finds nothing ready.
#[divan::bench(args = [false, true], sample_count = 20, sample_size = 100)]
fn first_request_of_a_session(bencher: Bencher<'_, '_>, asserts: bool) {
    let gateway = if asserts { Gateway::with_assertion() } else { Gateway::new() };
    let (gateway, ids) = signed_in(gateway, 3_000);
    let mut requests = ids.iter().map(|id| Request::new("/app/index.html?tab=1", Some(id)));
    bencher
        .with_inputs(|| {
            let request = requests.next().expect("more sessions than are measured");
            let upward = request.copy();
            (request, upward)
        })
        .bench_local_refs(|(request, upward)| assert_eq!(at_once(gateway.pass(request, upward)), 200));
}

#[divan::bench(sample_size = 100)]
fn demanding_route_with_a_warm_session(bencher: Bencher<'_, '_>) {
    way_in(bencher, "/staff/index.html", true, 200);
}

#[divan::bench(sample_size = 100)]
fn three_policies_with_a_warm_session(bencher: Bencher<'_, '_>) {
    way_in(bencher, "/policy/index.html", true, 200);
}

#[divan::bench(sample_size = 100)]
fn public_route(bencher: Bencher<'_, '_>) {
    way_in(bencher, "/public/logo.svg", true, 200);
}

#[divan::bench(sample_size = 100)]
fn no_session(bencher: Bencher<'_, '_>) {
    way_in(bencher, "/app/data.json", false, 401);
}

/// From the cookie's text to the session; the goal is under 2 µs with one million.
#[divan::bench(args = [10_000, 1_000_000], sample_size = 1000)]
fn look_up(bencher: Bencher<'_, '_>, sessions: usize) {
    let (gateway, ids) = signed_in(Gateway::new(), sessions);
    let cookies: Vec<String> = ids.iter().map(Id::text).collect();
    let mut next = stepping(cookies.len());
    bencher
        .with_inputs(|| &cookies[next()])
        .bench_local_values(|cookie| assert!(at_once(gateway.find(black_box(cookie)))));
}
