;; Waits for a day, again and again, and ignores the cancellation of its job.
(import "wardroom:plugin/clock@0.1.0" "after" (func $after (param i64 i32)))
(import "wardroom:plugin/pipelines@0.1.0" "wait" (func $wait (param i32 i32 i32)))
(data (i32.const 2992) "timer")
(func $attack (result i32)
  (call $after (i64.const 86400000) (i32.const 64))
  (i32.store (i32.const 640) (i32.const 2992))
  (i32.store (i32.const 644) (i32.const 5))
  (i32.store (i32.const 648) (i32.load (i32.const 72)))
  (i32.store (i32.const 652) (i32.load (i32.const 76)))
  (loop $again
    (call $wait (i32.const 640) (i32.const 1) (i32.const 128))
    (br $again))
  (unreachable))
