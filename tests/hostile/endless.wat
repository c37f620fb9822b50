;; Loops without end.
(func $attack (result i32)
  (loop $again (br $again))
  (unreachable))
(func $peek (result i32) (call $attack))
