//! The global allocator of a plugin, with the feature `allocator`.
//!
//! The standard library's allocator grows the memory in every run, at the first allocation. The host then changes the
//! protection of pages in every run, which interrupts the other processors. This allocator first uses the memory that
//! the linker has reserved with `--initial-heap`.

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;
