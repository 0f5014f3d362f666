//! Every row has its test.

use std::fs;
use std::path::PathBuf;

#[test]
fn every_row_has_a_test_named_for_it() {
    let mut source = String::new();
    let root = env!("CARGO_MANIFEST_DIR");
    let mut folders = vec![PathBuf::from(format!("{root}/tests/it")), PathBuf::from(format!("{root}/src"))];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                source.push_str(&fs::read_to_string(path).expect("UTF-8"));
            }
        }
    }
    let missing: Vec<u32> = (1..=129).filter(|id| !source.contains(&format!("fn a{id}_"))).collect();
    assert!(missing.is_empty(), "rows without a test: {missing:?}");
}
