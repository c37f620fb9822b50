;; Imports files, as an ordinary program would.
(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "path_open" (func (param i32)))
