;; Fills 30 MiB of memory and computes for a while.
(func $attack (result i32)
  (local $rounds i32)
  (drop (memory.grow (i32.const 478)))
  (memory.fill (i32.const 131072) (i32.const 1) (i32.const 31000000))
  (local.set $rounds (i32.const 200000000))
  (loop $again
    (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
    (br_if $again (local.get $rounds)))
  (call $fine))
