//! The size of a value as JSON, without making it.

use serde::Serialize;

/// How large a value is when it is written down, without writing it down.
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
    // Counting cannot fail, and neither can writing the contract's own types.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}
