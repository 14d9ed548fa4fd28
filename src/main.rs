//! The `dokkai` program.
fn main() {}
