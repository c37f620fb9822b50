;; Writes log lines without end; reads the clock without end in a query.
(import "wardroom:plugin/log@0.1.0" "write" (func $write (param i32 i32 i32 i32)))
(import "wardroom:plugin/clock@0.1.0" "now" (func $now (param i32)))
(func $attack (result i32)
  (loop $again
    (call $write (i32.const 0) (i32.const 1112) (i32.const 4) (i32.const 0))
    (br $again))
  (unreachable))
(func $peek (result i32)
  (loop $again
    (call $now (i32.const 0))
    (br $again))
  (unreachable))
