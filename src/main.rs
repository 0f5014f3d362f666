//! The binary: everything is in the library.

fn main() {
    std::process::exit(midgate::cli::main());
}
