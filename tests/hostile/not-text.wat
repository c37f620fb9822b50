;; Replies and fails with invalid UTF-8.
(data (i32.const 4096) "ok \ff\fe\80 then")
(func $attack (result i32) (call $said (i32.const 4096) (i32.const 11)))
(func $peek (result i32)
  (i32.store (i32.const 600) (i32.const 4096))
  (i32.store (i32.const 604) (i32.const 11))
  (i32.store (i32.const 608) (i32.const 4096))
  (i32.store (i32.const 612) (i32.const 11))
  (call $failed (i32.const 600)))
