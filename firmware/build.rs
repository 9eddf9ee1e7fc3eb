//! Tells the linker where memory is.

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("Cargo says where the package is");
    println!("cargo::rustc-link-search={folder}");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=--nmagic");
    println!("cargo::rerun-if-changed=memory.x");
}
