//! The serialized size of a value, without allocating it.

use serde::Serialize;

/// The size of a value as JSON, in bytes.
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
    // Counting cannot fail, and neither can the serialization of the contract's types.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}
