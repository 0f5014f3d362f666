//! Runs byte-reading code over inputs that are known to be odd, then over random ones, for as long as is asked.
//!
//! Only tests name it. `FUZZ_SECONDS` is how long each target runs (2 unless set), `FUZZ_SEED` where the random ones begin:
//! the same place each time unless set, so that a test that fails blames the change at hand. `make fuzz` begins
//! elsewhere, and a failure names the seed that repeats it. What once broke a target, or nearly did, lies in
//! `tests/fuzz/<target>/`, one input a file, and runs first each time.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Inputs between two looks at the clock.
const ROUND: u32 = 256;
/// Pieces that an input is made of, at most.
const MOST_PIECES: usize = 12;

/// Holds `check` against the corpus of `target`, then against inputs made of `words`, parts of the corpus and noise.
///
/// `check` panics when something does not hold.
pub(crate) fn run(target: &str, words: &[&str], check: impl Fn(&[u8])) {
    let corpus = corpus(target);
    assert!(!corpus.is_empty(), "tests/fuzz/{target} holds no input");
    for (path, input) in &corpus {
        let named = Named(path);
        check(input);
        drop(named);
    }
    let inputs = inputs(words, corpus.into_iter().map(|(_, input)| input).collect());
    let deadline = Instant::now() + Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(2));
    let mut seed = number("FUZZ_SEED").unwrap_or(1);
    loop {
        round(target, seed, &inputs, &check);
        if Instant::now() >= deadline {
            return;
        }
        seed = seed.wrapping_add(1);
    }
}

fn round(target: &str, seed: u64, inputs: &impl Strategy<Value = Vec<u8>>, check: &impl Fn(&[u8])) {
    let config = Config { cases: ROUND, failure_persistence: None, ..Config::default() };
    let bytes: Vec<u8> = seed.to_le_bytes().repeat(4);
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let result = runner.run(inputs, |input| {
        check(&input);
        Ok(())
    });
    if let Err(proptest::test_runner::TestError::Fail(reason, input)) = result {
        panic!(
            "{target}: {reason}\ninput: b\"{}\"\nFUZZ_SEED={seed} repeats it; keep the input as a file of tests/fuzz/{target}/",
            input.escape_ascii()
        );
    }
}

/// Words, noise, and what can be cut out of the corpus, in any order.
fn inputs(words: &[&str], corpus: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> + use<> {
    let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    let cut = (select(corpus), any::<prop::sample::Index>(), any::<prop::sample::Index>());
    let cut = cut.prop_map(|(whole, one, other)| {
        let (one, other) = (one.index(whole.len() + 1), other.index(whole.len() + 1));
        whole.get(one.min(other)..one.max(other)).unwrap_or_default().to_vec()
    });
    let piece = prop_oneof![
        6 => select(words),
        2 => cut,
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..MOST_PIECES).prop_map(|pieces| pieces.concat())
}

/// The checked-in inputs of a target, by the names of their files.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect()
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Says which file of the corpus was held when a check failed.
struct Named<'p>(&'p Path);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input is {}", self.0.display());
        }
    }
}
