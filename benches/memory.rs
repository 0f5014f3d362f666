//! How much memory a session takes: heap bytes, counted by the allocator, before and after many logins.
//!
//! The goal is at most 1 KiB with ten claims and no kept tokens; the sessions are measured cold, and warm with the
//! identity headers of one mapping.
//!
//! usage: `cargo bench --features bench --bench memory`

// An allocator cannot be written otherwise; this one only counts and hands on.
#![allow(unsafe_code)]
// The result is what it is for.
#![allow(clippy::print_stdout)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use midgate::bench::{Gateway, Id, Request};

const SESSIONS: usize = 100_000;

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    // `cargo test --all-targets` runs benches too, only to see that they start.
    let sessions = if std::env::args().any(|argument| argument == "--bench") { SESSIONS } else { 100 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let gateway = Gateway::new();
        let mut ids: Vec<Id> = Vec::with_capacity(sessions);
        let before = HELD.load(Ordering::Relaxed);
        for number in 0..sessions {
            ids.push(gateway.sign_in(number).await);
        }
        gateway.settle().await;
        // The ids are the bench's own: 32 bytes each, in memory that was there before.
        let cold = HELD.load(Ordering::Relaxed).saturating_sub(before);
        for id in &ids {
            let request = Request::new("/", Some(id));
            assert_eq!(gateway.pass(&request, &mut request.copy()).await, 200);
        }
        gateway.settle().await;
        let warm = HELD.load(Ordering::Relaxed).saturating_sub(before);
        println!(
            "{sessions} sessions: {} bytes each, {} with headers ready",
            cold / sessions,
            warm / sessions
        );
    });
}
