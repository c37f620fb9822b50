//! Computes the size of a value's JSON form without storing the JSON in memory.

use serde::Serialize;

/// Returns the size of a value's JSON form in bytes.
pub(crate) fn size(value: &impl Serialize) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Cannot fail: the writer only counts bytes, and the callers' types always serialize.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}
